#include "client/hold.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <optional>
#include <utility>

#include "client/errors.h"
#include "client/renewed_token.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"

namespace meshgate::client {
namespace {

// States that nobody has taken yet; the newest ones count.
constexpr size_t kMaxStates = 16;

// Somebody else has the id now: coming back would take it from them.
bool MayComeBack(const absl::Status& status) {
  return IsTransient(status) && status.code() != absl::StatusCode::kAborted;
}

}  // namespace

// One stream. gRPC's callbacks and the owner's threads meet under its lock; what is decided there is carried out after
// it. gRPC holds OnDone() back until the reading is over and nobody is about to start something from outside.
class Hold::Stream final : public grpc::ClientBidiReactor<v1::HoldRegistrationRequest, v1::HoldRegistrationResponse> {
 public:
  Stream(Client* client, const std::string& token, v1::HoldRegistrationRequest first) : next_(std::move(first)) {
    AttachToken(token, &context_);
    client->registry()->async()->HoldRegistration(&context_, this);
    AddHold();
    StartRead(&response_);
    StartCall();
    Write();
  }

  void Report(v1::HealthStatus status) {
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (!next_.has_value()) next_.emplace();
      next_->set_status(status);
    }
    Write();
  }

  void HalfClose() {
    {
      std::lock_guard<std::mutex> lock(mu_);
      closing_ = true;
    }
    Write();
  }

  void Interrupt() {
    std::lock_guard<std::mutex> lock(mu_);
    interrupted_ = true;
    changed_.notify_all();
  }

  void Cancel() { context_.TryCancel(); }

  enum class Event { kState, kEnd, kInterrupt, kTimeout };

  // The next thing that happened: a state in `state`, the end in `status`, or after `until` nothing. An interruption is
  // told once.
  Event Wait(absl::Time until, v1::HoldRegistrationResponse* state, absl::Status* status) {
    std::unique_lock<std::mutex> lock(mu_);
    const auto happened = [this] { return !states_.empty() || end_.has_value() || interrupted_; };
    if (until == absl::InfiniteFuture()) {
      changed_.wait(lock, happened);
    } else if (!changed_.wait_until(lock, absl::ToChronoTime(until), happened)) {
      return Event::kTimeout;
    }
    if (!states_.empty()) {
      *state = std::move(states_.front());
      states_.pop_front();
      return Event::kState;
    }
    if (end_.has_value()) {
      *status = *end_;
      return Event::kEnd;
    }
    interrupted_ = false;
    return Event::kInterrupt;
  }

  void OnReadDone(bool ok) override {
    bool last = false;
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (ok) {
        if (states_.size() == kMaxStates) states_.pop_front();
        states_.push_back(std::move(response_));
        changed_.notify_all();
      } else {
        over_ = true;
        last = starting_ == 0;
      }
    }
    if (ok) return StartRead(&response_);
    if (last) RemoveHold();
  }

  void OnWriteDone(bool ok) override {
    {
      std::lock_guard<std::mutex> lock(mu_);
      writing_ = false;
    }
    if (ok) Write();
  }

  void OnDone(const grpc::Status& status) override {
    std::lock_guard<std::mutex> lock(mu_);
    end_ = FromGrpc(status);
    changed_.notify_all();
  }

 private:
  // Starts what there is to write, one thing at a time, and then the end of it.
  void Write() {
    bool close = false;
    {
      std::lock_guard<std::mutex> lock(mu_);
      if (over_ || writing_ || closed_) return;
      if (next_.has_value()) {
        request_ = *std::move(next_);
        next_.reset();
        writing_ = true;
      } else if (closing_) {
        closed_ = close = true;
      } else {
        return;
      }
      ++starting_;
    }
    close ? StartWritesDone() : StartWrite(&request_);
    bool last;
    {
      std::lock_guard<std::mutex> lock(mu_);
      last = --starting_ == 0 && over_;
    }
    if (last) RemoveHold();
  }

  grpc::ClientContext context_;
  v1::HoldRegistrationRequest request_;
  v1::HoldRegistrationResponse response_;

  // All that follows is guarded by mu_.
  std::mutex mu_;
  std::condition_variable changed_;
  std::optional<v1::HoldRegistrationRequest> next_;
  std::deque<v1::HoldRegistrationResponse> states_;
  std::optional<absl::Status> end_;
  int starting_ = 0;
  bool writing_ = false;
  bool closing_ = false;
  bool closed_ = false;
  bool over_ = false;
  bool interrupted_ = false;
};

Hold::Hold(Client* client, v1::RegisterRequest registration, HoldOptions options)
    : client_(client), registration_(std::move(registration)), options_(options) {}

void Hold::Report(v1::HealthStatus status) {
  std::lock_guard<std::mutex> lock(mu_);
  status_ = status;
  if (stream_ != nullptr) stream_->Report(status);
}

Hold::Ending Hold::RunStream(Listener* listener, Cancellation* cancellation) {
  v1::HoldRegistrationRequest first;
  *first.mutable_registration() = registration_;
  const timespec linger = absl::ToTimespec(options_.linger);
  first.mutable_linger()->set_seconds(linger.tv_sec);
  first.mutable_linger()->set_nanos(static_cast<int32_t>(linger.tv_nsec));

  absl::StatusOr<std::string> token = client_->Token();
  if (!token.ok()) return {token.status()};
  std::unique_ptr<Stream> stream;
  {
    std::lock_guard<std::mutex> lock(mu_);
    first.set_status(status_);
    stream = std::make_unique<Stream>(client_, *token, std::move(first));
    stream_ = stream.get();
  }
  Ending ending;
  ending.token = *std::move(token);
  {
    Cancellation::Hook hook(cancellation, [&stream] { stream->Interrupt(); });
    absl::Time until = absl::InfiniteFuture();
    v1::HoldRegistrationResponse state;
    for (bool ended = false; !ended;) {
      switch (stream->Wait(until, &state, &ending.status)) {
        case Stream::Event::kState:
          ending.received = true;
          listener->OnState(state);
          break;
        case Stream::Event::kInterrupt:
          stream->HalfClose();
          until = absl::Now() + options_.goodbye;
          break;
        case Stream::Event::kTimeout:
          stream->Cancel();
          until = absl::InfiniteFuture();
          break;
        case Stream::Event::kEnd:
          ended = true;
          break;
      }
    }
  }
  std::lock_guard<std::mutex> lock(mu_);
  stream_ = nullptr;
  return ending;
}

absl::Status Hold::Run(Listener* listener, Cancellation* cancellation) {
  // For waiting between two streams, too.
  Cancellation never;
  if (cancellation == nullptr) cancellation = &never;
  Backoff backoff(options_.backoff);
  while (true) {
    if (cancellation->cancelled()) return absl::CancelledError("cancelled");
    Ending ending = RunStream(listener, cancellation);
    if (cancellation->cancelled()) return ending.status;
    if (ending.status.ok()) ending.status = absl::UnavailableError("the gateway ended the stream");
    if (!options_.reconnect) return ending.status;
    if (!MayComeBack(ending.status) && !MayCallAgain(*client_, ending.status, ending.token)) return ending.status;
    if (ending.received) backoff.Reset();

    const absl::Duration delay = std::max(backoff.Next(), RetryAfterOf(ending.status).value_or(absl::ZeroDuration()));
    listener->OnDisconnected(ending.status, delay);
    if (!cancellation->Sleep(delay)) {
      return absl::CancelledError(
          "cancelled without a connection, so nobody was told: the instance goes by itself, after linger or with its "
          "TTL check");
    }
    client_->ConnectNow();
  }
}

}  // namespace meshgate::client
