#include "server/wire/message_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace meshgate::server::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kMax = 1 << 20;

std::string Framed(const std::string& message, char flag = 0) {
  const size_t size = message.size();
  return {std::string{flag, static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8),
                      static_cast<char>(size)} +
          message};
}

std::string Packed(const std::string& text, Encoding encoding) {
  z_stream z = {};
  deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, encoding == Encoding::kGzip ? 15 + 16 : 15, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()), 0);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

struct Result {
  std::vector<std::string> messages;
  absl::Status status;
  bool at_boundary = false;
};

// Reads `pieces` in turn, as DATA frames would bring them.
Result Read(const std::vector<std::string>& pieces, Encoding encoding = Encoding::kIdentity, size_t max = kMax) {
  MessageReader reader(encoding, max);
  Result result;
  for (const std::string& piece : pieces) {
    result.status = reader.Add(piece, [&](std::string message) {
      result.messages.push_back(std::move(message));
      return true;
    });
    if (!result.status.ok()) break;
  }
  result.at_boundary = reader.AtBoundary();
  return result;
}

// Would break if it mattered where frames end: messages and frames know nothing of each other.
TEST(MessageReaderTest, SplitAnywhere) {
  const std::string bytes = Framed("first") + Framed("") + Framed(std::string(300, 'x')) + Framed("");
  const auto want = ElementsAre("first", "", std::string(300, 'x'), "");
  for (size_t at = 0; at <= bytes.size(); ++at) {
    const Result result = Read({bytes.substr(0, at), bytes.substr(at)});
    ASSERT_THAT(result.messages, want) << at;
    ASSERT_TRUE(result.at_boundary);
  }
  std::vector<std::string> single;
  for (const char c : bytes) single.emplace_back(1, c);
  EXPECT_THAT(Read(single).messages, want);
}

// Would break if an empty message, which a request without fields is, waited for bytes that never come.
TEST(MessageReaderTest, AnEmptyMessageIsCompleteWithItsPrefix) {
  EXPECT_THAT(Read({Framed("")}).messages, ElementsAre(""));
}

// Would break if a request that was cut off were taken for a whole one.
TEST(MessageReaderTest, KnowsWhetherItMayEnd) {
  EXPECT_TRUE(Read({}).at_boundary);
  const std::string bytes = Framed("abc");
  for (size_t at = 1; at < bytes.size(); ++at) EXPECT_FALSE(Read({bytes.substr(0, at)}).at_boundary) << at;
  EXPECT_TRUE(Read({bytes}).at_boundary);
}

// Would break if one request could take any amount of memory: what is announced is refused before it comes.
TEST(MessageReaderTest, TooLarge) {
  EXPECT_TRUE(Read({Framed(std::string(100, 'x'))}, Encoding::kIdentity, 100).status.ok());
  const Result result = Read({Framed(std::string(101, 'x')).substr(0, 5)}, Encoding::kIdentity, 100);
  EXPECT_EQ(result.status, absl::ResourceExhaustedError("Received message larger than max (101 vs. 100)"));
  EXPECT_EQ(Read({std::string("\0\xff\xff\xff\xff", 5)}).status.code(), absl::StatusCode::kResourceExhausted);
}

class PackedTest : public ::testing::TestWithParam<Encoding> {};
INSTANTIATE_TEST_SUITE_P(Encodings, PackedTest, ::testing::Values(Encoding::kGzip, Encoding::kDeflate));

// Would break if clients that compress were not understood, or could not send some messages as they are.
TEST_P(PackedTest, Unpacks) {
  const std::string text(100'000, 'a');
  const std::string bytes = Framed(Packed(text, GetParam()), 1) + Framed("plain") + Framed(Packed("", GetParam()), 1);
  for (size_t at = 0; at <= bytes.size(); ++at) {
    const Result result = Read({bytes.substr(0, at), bytes.substr(at)}, GetParam());
    ASSERT_TRUE(result.status.ok()) << result.status;
    ASSERT_THAT(result.messages, ElementsAre(text, "plain", ""));
  }
}

// Would break if the limit were off by one, or a message right at it were refused.
TEST_P(PackedTest, MayBeAsLargeAsTheLimit) {
  EXPECT_TRUE(Read({Framed(Packed(std::string(kMax, 'a'), GetParam()), 1)}, GetParam()).status.ok());
  EXPECT_EQ(Read({Framed(Packed(std::string(kMax + 1, 'a'), GetParam()), 1)}, GetParam()).status.code(),
            absl::StatusCode::kResourceExhausted);
}

// Would break if what comes were put off until all of it is there, or cost more than is said of it.
TEST_P(PackedTest, UnpacksAsItComes) {
  const std::string text(200'000, 'a');
  const std::string bytes = Framed(Packed(text, GetParam()), 1);
  MessageReader reader(GetParam(), kMax);
  std::vector<std::string> messages;
  size_t most = 0;
  for (const char c : bytes) {
    ASSERT_TRUE(reader
                    .Add({&c, 1},
                         [&](std::string message) {
                           messages.push_back(std::move(message));
                           return true;
                         })
                    .ok());
    most = std::max(most, reader.held_bytes());
  }
  EXPECT_THAT(messages, ElementsAre(text));
  EXPECT_GT(most, Unpacker::kBytes + text.size() / 2);
  EXPECT_LE(most, Unpacker::kBytes + 2 * text.size());
  EXPECT_EQ(reader.held_bytes(), 0u);
}

// Would break if a few bytes could become a gigabyte.
TEST_P(PackedTest, Bomb) {
  const std::string bomb = Framed(Packed(std::string(16 << 20, 0), GetParam()), 1);
  ASSERT_LT(bomb.size(), size_t{100'000});
  const Result result = Read({bomb}, GetParam());
  EXPECT_EQ(result.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(result.messages, IsEmpty());
}

// Would break if bytes that are not what they are said to be were passed on, or read beyond their end.
TEST_P(PackedTest, Garbage) {
  const std::string good = Packed("some text that is long enough", GetParam());
  EXPECT_EQ(Read({Framed("no such thing", 1)}, GetParam()).status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Read({Framed("", 1)}, GetParam()).status.code(), absl::StatusCode::kInternal);
  for (size_t size = 1; size < good.size(); ++size) {
    ASSERT_EQ(Read({Framed(good.substr(0, size), 1)}, GetParam()).status.code(), absl::StatusCode::kInternal) << size;
  }
  // gRPC's own server takes no more than one of gzip's members, either.
  EXPECT_EQ(Read({Framed(good + "x", 1)}, GetParam()).status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Read({Framed(good + good, 1)}, GetParam()).status.code(), absl::StatusCode::kInternal);
  std::mt19937 random(1);
  for (int i = 0; i < 1000; ++i) {
    std::string bad = good;
    bad[random() % bad.size()] ^= static_cast<char>(1 + random() % 255);
    const Result result = Read({Framed(bad, 1)}, GetParam());
    // A checksum covers all but parts of gzip's header.
    if (!result.status.ok()) continue;
    ASSERT_THAT(result.messages, ElementsAre("some text that is long enough"));
  }
}

// Would break if what is no gRPC message were taken for one, or bytes nobody can unpack for a message.
TEST(MessageReaderTest, BadFlags) {
  EXPECT_EQ(Read({Framed("x", 2)}).status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Read({Framed("x", static_cast<char>(0x80))}, Encoding::kGzip).status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Read({Framed("x", 1)}, Encoding::kIdentity).status.code(), absl::StatusCode::kInternal);
}

// Would break if a call that has ended were given the rest of what came with its last message.
TEST(MessageReaderTest, StopsWhenItIsToldTo) {
  MessageReader reader(Encoding::kIdentity, kMax);
  int messages = 0;
  const absl::Status status = reader.Add(Framed("1") + Framed("2"), [&](std::string) {
    ++messages;
    return false;
  });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(messages, 1);
}

// Would break if an encoding that we do not have were taken for none.
TEST(MessageReaderTest, Encodings) {
  EXPECT_EQ(ParseEncoding(""), Encoding::kIdentity);
  EXPECT_EQ(ParseEncoding("identity"), Encoding::kIdentity);
  EXPECT_EQ(ParseEncoding("gzip"), Encoding::kGzip);
  EXPECT_EQ(ParseEncoding("deflate"), Encoding::kDeflate);
  EXPECT_EQ(ParseEncoding("snappy"), std::nullopt);
  EXPECT_EQ(ParseEncoding("GZIP"), std::nullopt);
}

}  // namespace
}  // namespace meshgate::server::wire
