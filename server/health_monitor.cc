#include "server/health_monitor.h"

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "consul/base/mutex.h"
#include "consul/base/strings.h"
#include "server/log.h"

namespace meshgate::server {
namespace {

// What an operator has to know of a change.
void LogChange(const StoreHealth& before, const StoreHealth& now, const absl::Status& error) {
  if (now.up && now.known_leader) {
    Log(LogLevel::kInfo, before.asked ? "the store answers again" : "the store answers");
  } else if (now.up) {
    Log(LogLevel::kWarn, "the store answers but has no leader: it can neither read nor write");
  } else {
    Log(LogLevel::kWarn, "the store cannot be reached", {{"error", ToStd(error.message())}});
  }
}

}  // namespace

class HealthMonitor::Loop final : public std::enable_shared_from_this<Loop> {
 public:
  Loop(consul::Backend* backend, Scheduler* scheduler, consul::StoreReporter* reporter, HealthMonitorOptions options)
      : backend_(backend), scheduler_(scheduler), reporter_(reporter), options_(options) {}

  void Ask() {
    {
      MutexLock lock(mu_);
      if (stopped_) return;
      timer_ = 0;
    }
    backend_->CheckHealth(options_.timeout, [weak = weak_from_this()](absl::StatusOr<consul::BackendHealth> health) {
      if (auto self = weak.lock()) self->OnAnswer(health);
    });
  }

  void AskNow() {
    Scheduler::TimerId timer;
    {
      MutexLock lock(mu_);
      // One question at a time: this one waits for the answer to the one under way.
      ask_again_ = timer_ == 0;
      timer = std::exchange(timer_, 0);
    }
    if (timer != 0 && scheduler_->Cancel(timer)) Ask();
  }

  void Stop() {
    Scheduler::TimerId timer;
    {
      MutexLock lock(mu_);
      stopped_ = true;
      timer = std::exchange(timer_, 0);
    }
    if (timer != 0) scheduler_->Cancel(timer);
  }

  StoreHealth Latest() const {
    MutexLock lock(mu_);
    return latest_;
  }

 private:
  void OnAnswer(const absl::StatusOr<consul::BackendHealth>& health) {
    StoreHealth now;
    now.asked = true;
    now.up = health.ok();
    now.known_leader = health.ok() && health->known_leader;
    StoreHealth before;
    {
      MutexLock lock(mu_);
      if (stopped_) return;
      before = std::exchange(latest_, now);
      const bool again = std::exchange(ask_again_, false);
      timer_ = scheduler_->After(again ? absl::ZeroDuration() : options_.interval, [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->Ask();
      });
    }
    reporter_->OnStoreHealth(now.up, now.known_leader, health.ok() ? health->last_contact : absl::ZeroDuration());
    const bool same = before.asked && before.up == now.up && before.known_leader == now.known_leader;
    if (!same) LogChange(before, now, health.status());
  }

  consul::Backend* const backend_;
  Scheduler* const scheduler_;
  consul::StoreReporter* const reporter_;
  const HealthMonitorOptions options_;

  mutable Mutex mu_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  StoreHealth latest_ ABSL_GUARDED_BY(mu_);
  // 0 while a question is under way.
  Scheduler::TimerId timer_ ABSL_GUARDED_BY(mu_) = 0;
  bool ask_again_ ABSL_GUARDED_BY(mu_) = false;
};

HealthMonitor::HealthMonitor(consul::Backend* backend, Scheduler* scheduler, consul::StoreReporter* reporter,
                             HealthMonitorOptions options)
    : loop_(std::make_shared<Loop>(backend, scheduler, reporter, options)) {}

HealthMonitor::~HealthMonitor() { Stop(); }
void HealthMonitor::Start() { loop_->Ask(); }
void HealthMonitor::AskNow() { loop_->AskNow(); }
void HealthMonitor::Stop() { loop_->Stop(); }
StoreHealth HealthMonitor::Latest() const { return loop_->Latest(); }

}  // namespace meshgate::server
