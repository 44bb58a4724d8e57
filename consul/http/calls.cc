#include "consul/http/calls.h"

#include <utility>

#include "consul/base/mutex.h"

namespace meshgate::consul::http {
namespace {

BackendReporter::Breaker ReportedAs(CircuitBreaker::State state) {
  switch (state) {
    case CircuitBreaker::State::kClosed:
      return BackendReporter::Breaker::kClosed;
    case CircuitBreaker::State::kHalfOpen:
      return BackendReporter::Breaker::kHalfOpen;
    case CircuitBreaker::State::kOpen:
      break;
  }
  return BackendReporter::Breaker::kOpen;
}

// What an agent does by itself, at first.
bool NeedsLeader(Endpoint endpoint) {
  return endpoint != Endpoint::kAgentService && endpoint != Endpoint::kAgentCheck && endpoint != Endpoint::kStatus;
}

// Valid also when the backend is gone.
class StreamedCall final : public RelayCall {
 public:
  StreamedCall(std::weak_ptr<CurlLoop> loop, CurlLoop::TransferHandle transfer)
      : loop_(std::move(loop)), transfer_(std::move(transfer)) {}

  void Cancel() override {
    if (const std::shared_ptr<CurlLoop> loop = loop_.lock()) loop->Cancel(transfer_);
  }
  void Resume() override {
    if (const std::shared_ptr<CurlLoop> loop = loop_.lock()) loop->Resume(transfer_);
  }

 private:
  const std::weak_ptr<CurlLoop> loop_;
  const CurlLoop::TransferHandle transfer_;
};

}  // namespace

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

Calls::Calls(CurlLoopOptions options, Scheduler* scheduler, BackendReporter* reporter)
    : tasks_(scheduler), reporter_(reporter), loop_(std::make_shared<CurlLoop>(Reporting(std::move(options)))) {}

CurlLoopOptions Calls::Reporting(CurlLoopOptions options) {
  options.on_connections = [this](int open) { reporter_->OnConnections(open); };
  options.on_breaker = [this](CircuitBreaker::State state) { reporter_->OnBreaker(ReportedAs(state)); };
  options.on_agent = [this](std::string_view url) {
    moved_at_ = absl::ToUnixNanos(Now());
    reporter_->OnAgent(url);
  };
  options.on_probe = [this](const Response& response) {
    const bool answered = response.end == Response::End::kAnswered;
    reporter_->OnRequest(Endpoint::kStatus, answered ? response.code : 0, response.took);
  };
  return options;
}

Calls::~Calls() { Shutdown(); }

void Calls::Shutdown() {
  loop_->Stop();
  tasks_.WaitIdle();
}

ActiveCallHandle Calls::Begin(absl::Duration timeout, CallToken token) {
  return std::make_shared<ActiveCall>(loop_, Now() + timeout, std::move(token));
}

void Calls::Send(const ActiveCallHandle& call, Endpoint endpoint, Request request, Next next) {
  request.timeout = call->deadline() - Now();
  request.token = call->token();
  request.needs_leader = request.needs_leader && NeedsLeader(endpoint);
  const bool cancelled = call->cancelled();
  if (cancelled || request.timeout <= absl::ZeroDuration()) {
    Response response;
    response.end = cancelled ? Response::End::kCancelled : Response::End::kTimedOut;
    Post([next = std::move(next), response, now = Now()]() mutable { next(std::move(response), now); });
    return;
  }
  auto done = [this, endpoint, hold = Tasks::Hold(&tasks_), next = std::move(next)](Response response) mutable {
    tasks_.Post([this, endpoint, received = Now(), next = std::move(next), response = std::move(response)]() mutable {
      const bool answered = response.end == Response::End::kAnswered;
      if (response.end != Response::End::kRefused) {
        reporter_->OnRequest(endpoint, answered ? response.code : 0, response.took);
      }
      next(std::move(response), received);
    });
  };
  const int step = call->NextStep();
  call->Attach(step, loop_->Start(std::move(request), std::move(done)));
}

std::shared_ptr<RelayCall> Calls::Stream(Endpoint endpoint, Request request, CurlLoop::Done done) {
  auto ended = [this, endpoint, hold = Tasks::Hold(&tasks_), done = std::move(done)](Response response) mutable {
    // A caller who has seen enough of an answer leaves it by cancelling.
    const bool answered = response.end == Response::End::kAnswered || response.end == Response::End::kCancelled;
    if (response.end != Response::End::kRefused) {
      reporter_->OnRequest(endpoint, answered ? response.code : 0, response.took);
    }
    if (response.end != Response::End::kCancelled) return done(std::move(response));
    // It may have been the loop's end, found inside Start().
    Post([done = std::move(done), response = std::move(response)]() mutable { done(std::move(response)); });
  };
  return std::make_shared<StreamedCall>(loop_, loop_->Start(std::move(request), std::move(ended)));
}

}  // namespace meshgate::consul::http
