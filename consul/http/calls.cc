#include "consul/http/calls.h"

#include <utility>

#include "consul/base/mutex.h"

namespace meshgate::consul::http {

bool ActiveCall::cancelled() {
  MutexLock lock(mu_);
  return cancelled_;
}

int ActiveCall::NextStep() {
  MutexLock lock(mu_);
  return ++steps_;
}

void ActiveCall::Attach(int step, CurlLoop::TransferHandle transfer) {
  {
    MutexLock lock(mu_);
    if (step < attached_) return;
    attached_ = step;
    transfer_ = transfer;
    if (!cancelled_) return;
  }
  CancelTransfer(transfer);
}

void ActiveCall::Cancel() {
  CurlLoop::TransferHandle transfer;
  {
    MutexLock lock(mu_);
    if (cancelled_) return;
    cancelled_ = true;
    transfer = transfer_;
  }
  if (transfer != nullptr) CancelTransfer(transfer);
}

void ActiveCall::CancelTransfer(const CurlLoop::TransferHandle& transfer) {
  if (const std::shared_ptr<CurlLoop> loop = loop_.lock()) loop->Cancel(transfer);
}

// Counts what still has to run.
class Calls::Outstanding : public std::enable_shared_from_this<Outstanding> {
 public:
  // One of them: counts from its creation to its destruction.
  class Ticket {
   public:
    explicit Ticket(std::shared_ptr<Outstanding> count) : count_(std::move(count)) { count_->Add(+1); }
    Ticket(Ticket&&) = default;
    ~Ticket() {
      if (count_ != nullptr) count_->Add(-1);
    }

   private:
    std::shared_ptr<Outstanding> count_;
  };

  void AwaitNone() {
    MutexLock lock(mu_);
    while (count_ > 0) none_.Wait(mu_);
  }

 private:
  void Add(int delta) {
    MutexLock lock(mu_);
    count_ += delta;
    if (count_ == 0) none_.NotifyAll();
  }

  Mutex mu_;
  CondVar none_;
  int count_ ABSL_GUARDED_BY(mu_) = 0;
};

// A task with its ticket, which goes last: with it go the callbacks that the task holds.
struct Calls::Delivery {
  Outstanding::Ticket ticket;
  absl::AnyInvocable<void()> task;

  void operator()() { task(); }
};

Calls::Calls(CurlLoopOptions options, Scheduler* scheduler, BackendReporter* reporter)
    : scheduler_(scheduler),
      reporter_(reporter),
      loop_(std::make_shared<CurlLoop>(std::move(options))),
      outstanding_(std::make_shared<Outstanding>()) {}

Calls::~Calls() { Shutdown(); }

void Calls::Shutdown() {
  loop_->Stop();
  outstanding_->AwaitNone();
}

ActiveCallHandle Calls::Begin(absl::Duration timeout) {
  return std::make_shared<ActiveCall>(loop_, scheduler_->Now() + timeout);
}

void Calls::Post(absl::AnyInvocable<void()> task) {
  scheduler_->Post(Delivery{Outstanding::Ticket(outstanding_), std::move(task)});
}

void Calls::Send(const ActiveCallHandle& call, Endpoint endpoint, Request request, Next next) {
  request.timeout = call->deadline() - scheduler_->Now();
  const bool cancelled = call->cancelled();
  if (cancelled || request.timeout <= absl::ZeroDuration()) {
    Response response;
    response.end = cancelled ? Response::End::kCancelled : Response::End::kTimedOut;
    Post([next = std::move(next), response, now = scheduler_->Now()]() mutable { next(std::move(response), now); });
    return;
  }
  auto done = [this, endpoint, ticket = Outstanding::Ticket(outstanding_),
               next = std::move(next)](Response response) mutable {
    const absl::Time received = scheduler_->Now();
    scheduler_->Post(Delivery{std::move(ticket), [this, endpoint, received, next = std::move(next),
                                                  response = std::move(response)]() mutable {
                                const bool answered = response.end == Response::End::kAnswered;
                                reporter_->OnRequest(endpoint, answered ? response.code : 0, response.took);
                                next(std::move(response), received);
                              }});
  };
  const int step = call->NextStep();
  call->Attach(step, loop_->Start(std::move(request), std::move(done)));
}

}  // namespace meshgate::consul::http
