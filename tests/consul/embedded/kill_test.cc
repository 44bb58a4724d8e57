// The promise of durability, kept against a process that is killed.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "consul/base/thread_pool_scheduler.h"
#include "consul/embedded/embedded_backend.h"
#include "gtest/gtest.h"
#include "tests/testing/no_prober.h"
#include "tests/testing/pending.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::consul {
namespace {

constexpr int kWriters = 16;

std::unique_ptr<EmbeddedBackend> Open(const std::string& directory, Scheduler* scheduler) {
  EmbeddedOptions options;
  options.data_dir = directory;
  options.scheduler = scheduler;
  options.prober = std::make_unique<testing::NoProber>();
  auto opened = EmbeddedBackend::Open(std::move(options));
  return opened.ok() ? *std::move(opened) : nullptr;
}

struct Acknowledged {
  int writer;
  int round;
  uint64_t index;
};

// Each writer rewrites its key for ever and reports what was acknowledged.
class Writer {
 public:
  Writer(EmbeddedBackend* backend, int number, int first_round, int pipe)
      : backend_(backend), number_(number), pipe_(pipe), round_(first_round) {}

  void Next() {
    KvEntry entry;
    entry.key = "writer/" + std::to_string(number_);
    entry.value = std::to_string(++round_);
    backend_->PutKey(entry, std::nullopt, {}, [this](absl::StatusOr<KvEntry> put) {
      if (!put.ok()) _exit(3);
      const Acknowledged message{number_, round_, put->modify_index};
      // Less than PIPE_BUF: written whole or not at all.
      if (write(pipe_, &message, sizeof(message)) != sizeof(message)) _exit(4);
      Next();
    });
  }

 private:
  EmbeddedBackend* const backend_;
  const int number_;
  const int pipe_;
  int round_;
};

[[noreturn]] void RunChild(const std::string& directory, int first_round, int pipe) {
  ThreadPoolScheduler scheduler(2, "child");
  std::unique_ptr<EmbeddedBackend> backend = Open(directory, &scheduler);
  if (backend == nullptr) _exit(2);
  std::vector<std::unique_ptr<Writer>> writers;
  for (int i = 0; i < kWriters; ++i) {
    writers.push_back(std::make_unique<Writer>(backend.get(), i, first_round, pipe));
    writers.back()->Next();
  }
  while (true) pause();
}

// A write that was acknowledged is lost, or an index is given twice, if the answer runs ahead of the disk.
TEST(KillTest, AcknowledgedWritesSurviveSigkill) {
  testing::TempDir temp;
  const std::string directory = temp.path() + "/data";
  uint64_t highest = 0;
  for (int kill_after : {1, 100, 700}) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(pipes[0]);
      // Other values than before: an identical write would be none.
      RunChild(directory, kill_after * 1000000, pipes[1]);
    }
    close(pipes[1]);
    std::map<int, Acknowledged> last;
    int received = 0;
    Acknowledged message;
    // Killed in the middle of it; what it had acknowledged until then is still in the pipe.
    while (read(pipes[0], &message, sizeof(message)) == sizeof(message)) {
      EXPECT_GT(message.index, highest) << "an index from before the kill was given again";
      last[message.writer] = message;
      if (++received == kill_after) {
        ASSERT_EQ(kill(child, SIGKILL), 0);
      }
    }
    close(pipes[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "exit code " << WEXITSTATUS(status);
    ASSERT_GE(received, kill_after);

    ThreadPoolScheduler scheduler(1, "parent");
    std::unique_ptr<EmbeddedBackend> backend = Open(directory, &scheduler);
    ASSERT_NE(backend, nullptr);
    for (const auto& [writer, acknowledged] : last) {
      testing::Pending<absl::StatusOr<Answer<std::vector<KvEntry>>>> read;
      backend->ReadKey("writer/" + std::to_string(writer), {}, read.Callback());
      auto answer = read.Get(absl::Seconds(60));
      ASSERT_TRUE(answer.has_value() && answer->ok());
      ASSERT_EQ((*answer)->value.size(), 1u);
      const KvEntry& entry = (*answer)->value[0];
      // A later write may have reached the disk without its answer having reached us.
      EXPECT_GE(entry.modify_index, acknowledged.index);
      EXPECT_GE(std::stoi(entry.value), acknowledged.round);
      highest = std::max(highest, entry.modify_index);
    }
    backend = nullptr;
  }
}

}  // namespace
}  // namespace meshgate::consul
