// An outbox's surroundings by hand: the thread it belongs to, and a transport that takes from it.
#ifndef MESHGATE_TESTS_TESTING_MANUAL_EXECUTOR_H_
#define MESHGATE_TESTS_TESTING_MANUAL_EXECUTOR_H_

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "consul/watch/hub.h"
#include "server/stream/outbox.h"

namespace meshgate::testing {

// Keeps what is scheduled until the test runs it. Scheduling is thread-safe; running is for one thread.
class ManualExecutor final : public consul::ReaderThread {
 public:
  void Schedule(std::shared_ptr<consul::Work> work) override {
    MutexLock lock(mu_);
    scheduled_.push_back(std::move(work));
  }

  // Runs what was scheduled, and what that schedules, until nothing is left. Returns how many were run.
  int RunReady() {
    int ran = 0;
    while (true) {
      std::vector<std::shared_ptr<consul::Work>> some;
      {
        MutexLock lock(mu_);
        some.swap(scheduled_);
      }
      if (some.empty()) return ran;
      for (const auto& work : some) {
        while (work->Run()) {
        }
      }
      ran += static_cast<int>(some.size());
    }
  }

  size_t scheduled() {
    MutexLock lock(mu_);
    return scheduled_.size();
  }

 private:
  Mutex mu_;
  std::vector<std::shared_ptr<consul::Work>> scheduled_ ABSL_GUARDED_BY(mu_);
};

// A stream with its outbox, as a transport has them: takes while its reader has room, and the end without. For the
// thread that runs the executor.
class TakingStream final : public server::Outbox::Listener {
 public:
  static constexpr int kPlenty = std::numeric_limits<int>::max();

  // `room`: so many messages, until GiveRoom().
  TakingStream(ManualExecutor* executor, Scheduler* scheduler, consul::WatchReporter* reporter, int room = kPlenty)
      : outbox_(std::make_shared<server::Outbox>(executor, this, scheduler, reporter)), room_(room) {}
  ~TakingStream() override { Close(); }

  const std::shared_ptr<server::Outbox>& outbox() const { return outbox_; }
  const std::vector<consul::SharedMessage>& messages() const { return messages_; }
  std::vector<std::string> taken() const {
    std::vector<std::string> out;
    for (const auto& message : messages_) out.push_back(message->bytes);
    return out;
  }
  const std::optional<absl::Status>& end() const { return end_; }
  // How often the outbox said that there may be something.
  int ready() const { return ready_; }

  void GiveRoom(int messages = 1) {
    room_ = messages;
    Take();
  }
  // The messages have gone out.
  void Forget() { messages_.clear(); }
  // The stream is over, for whatever reason.
  void Close() { outbox_->Close(); }

  void OnReady() override {
    ++ready_;
    Take();
  }

 private:
  void Take() {
    while (!end_.has_value() && (outbox_->ended() || room_ > 0)) {
      server::Outbox::Taken taken = outbox_->Take(&memo_);
      if (taken.end.has_value()) {
        end_ = std::move(taken.end);
        return Close();
      }
      if (taken.message == nullptr) return;
      if (room_ != kPlenty) --room_;
      messages_.push_back(std::move(taken.message));
    }
  }

  const std::shared_ptr<server::Outbox> outbox_;
  consul::NextMemo memo_;
  int room_;
  int ready_ = 0;
  std::vector<consul::SharedMessage> messages_;
  std::optional<absl::Status> end_;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_MANUAL_EXECUTOR_H_
