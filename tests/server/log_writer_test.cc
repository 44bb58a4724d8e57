#include "server/log_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

namespace meshgate::server {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr absl::Duration kBound = absl::Seconds(30);

class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0); }
  ~Pipe() { close(ends_[0]); }

  int input() const { return ends_[1]; }
  void CloseInput() { close(ends_[1]); }
  std::string ReadAll() {
    std::string all;
    char chunk[4096];
    for (ssize_t n; (n = read(ends_[0], chunk, sizeof chunk)) > 0;) all.append(chunk, static_cast<size_t>(n));
    return all;
  }
  std::string ReadUntil(const std::string& end) {
    std::string all;
    char byte;
    while (all.find(end) == std::string::npos && read(ends_[0], &byte, 1) == 1) all += byte;
    return all;
  }

 private:
  int ends_[2];
};

LogWriter::DroppedLine Dropped() {
  return [](uint64_t count) { return std::to_string(count) + " dropped\n"; };
}

// Would break if lines came out of order, torn, or not at all.
TEST(LogWriterTest, WritesInOrder) {
  Pipe pipe;
  {
    LogWriter writer(pipe.input(), 1 << 20, Dropped());
    for (int i = 0; i < 100; ++i) writer.Write(std::to_string(i) + "\n");
    EXPECT_TRUE(writer.Flush(kBound));
  }
  pipe.CloseInput();
  const std::string all = pipe.ReadAll();
  EXPECT_THAT(all, StartsWith("0\n1\n2\n"));
  EXPECT_THAT(all, EndsWith("98\n99\n"));
}

// Would break if a reader that has stopped reading stopped whoever logs, memory grew with what it does not read, or
// the loss went unnoticed when it reads again.
TEST(LogWriterTest, NobodyWaitsForTheReader) {
  Pipe pipe;
  const std::string full(static_cast<size_t>(fcntl(pipe.input(), F_SETPIPE_SZ, 4096)), '.');
  ASSERT_EQ(write(pipe.input(), full.data(), full.size()), static_cast<ssize_t>(full.size()));
  LogWriter writer(pipe.input(), 1000, Dropped());
  const std::string line(99, 'x');
  for (int i = 0; i < 10000; ++i) writer.Write(line + "\n");
  EXPECT_FALSE(writer.Flush(absl::Milliseconds(1)));
  EXPECT_THAT(pipe.ReadUntil("dropped\n"), HasSubstr(" dropped\n"));
  EXPECT_TRUE(writer.Flush(kBound));
  writer.Write("last\n");
  EXPECT_THAT(pipe.ReadUntil("last\n"), EndsWith("last\n"));
}

}  // namespace
}  // namespace meshgate::server
