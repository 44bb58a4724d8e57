#include "server/http/consul/blocking_read.h"

#include <random>
#include <utility>

#include "consul/base/errors.h"

namespace meshgate::server::consul_api {
namespace {

// For a state that is not there yet, where nobody asked to wait.
constexpr absl::Duration kFirstState = absl::Seconds(10);
// Of those who are answered because the process ends.
constexpr absl::Duration kLastState = absl::Seconds(1);

// As Consul does, so that those who came together do not all come back together.
absl::Duration Jittered(absl::Duration wait) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return wait + wait * std::uniform_real_distribution<double>(0, 1.0 / 16)(random);
}

// One read of the hub. On the connection's thread but for the steps that say so.
class BlockingRead final : public HttpExchange, public Waiter, public std::enable_shared_from_this<BlockingRead> {
 public:
  enum class Way { kWait, kCached, kLastKnown };

  BlockingRead(SharedRequest request, HubRead read, Way way)
      : request_(std::move(request)),
        read_(std::make_shared<const HubRead>(std::move(read))),
        way_(way),
        connection_(request_->http().connection),
        thread_(request_->thread()) {}
  ~BlockingRead() override { request_->sources().waiters->Remove(this); }

  void Start() {
    if (absl::Status taken = request_->caller().TakeTarget(read_->target); !taken.ok()) return Refuse(taken);
    // The others do not wait, and may be answered where too many do.
    if (way_ == Way::kWait && !connection_->Attach(shared_from_this())) return Refuse(TooManyWait());
    auth::Guard* const guard = request_->sources().guard();
    if (guard == nullptr) return Wait();
    const auto admitted = [self = shared_from_this()](absl::Status status) {
      RunOn(self->thread_, [self, status = std::move(status)] {
        if (self->over()) return;
        if (!status.ok()) return self->Fail(status);
        self->Wait();
      });
    };
    const auth::SharedIdentity& identity = request_->caller().identity;
    // Consul decides about each query by itself, but strangers start none.
    if (read_->target.kind == consul::TargetKind::kQuery) {
      return guard->ConfirmKnown(identity, read_->target.datacenter, admitted);
    }
    guard->Admit(identity, read_->target, admitted);
  }

  // ---- HttpExchange
  Piece Next() override { return {}; }
  void OnTimer() override {}
  void OnClosed(Why why) override {
    connection_ = nullptr;
    awaiting_.reset();
    request_->Leave();
    if (why != Why::kDone) request_->Drop(absl::CancelledError("the caller has gone"));
    answered_ = true;
  }

  // ---- Waiter
  void EndWait() override {
    RunOn(thread_, [self = shared_from_this()] {
      if (self->over() || self->awaiting_ == nullptr) return;
      self->awaiting_.reset();
      self->ReadNow(kLastState);
    });
  }

 private:
  using SharedRead = std::shared_ptr<const HubRead>;

  bool over() const { return answered_ || connection_ == nullptr; }

  void Wait() {
    if (read_->how.index == 0) return ReadNow(kFirstState);
    consul::Hub* const hub = request_->sources().hub;
    awaiting_ = hub->Await(read_->target, {read_->how.index, Jittered(read_->how.wait)}, Done());
    // After it has one: ending the wait takes it away.
    if (awaiting_ != nullptr) request_->sources().waiters->Add(shared_from_this());
  }

  void ReadNow(absl::Duration timeout) {
    consul::CachedReadOptions options;
    options.timeout = timeout;
    request_->sources().hub->Read(read_->target, options, Done());
  }

  absl::AnyInvocable<void(absl::StatusOr<consul::CachedState>)> Done() {
    return [self = shared_from_this(), read = read_](absl::StatusOr<consul::CachedState> state) {
      self->OnState(read, std::move(state));
    };
  }

  // ---- On the scheduler, or on the connection's thread where the hub knows at once.
  void OnState(const SharedRead& read, absl::StatusOr<consul::CachedState> state) {
    if (!state.ok()) return OnError(state.status());
    if (read->only_when) return OnError(absl::OkStatus());
    auth::Guard* const guard = request_->sources().guard();
    if (guard == nullptr) return OnSeen(read, *std::move(state));
    consul::CachedState cached = *std::move(state);
    const auth::SharedIdentity identity = request_->caller().identity;
    // Consul has left out what its token may not read, but may have answered before that was gone.
    if (read->target.kind == consul::TargetKind::kQuery) {
      return guard->ConfirmKnown(identity, read->target.datacenter,
                                 [self = shared_from_this(), read, cached](const absl::Status& known) {
                                   known.ok() ? self->OnSeen(read, cached) : self->OnError(known);
                                 });
    }
    guard->Filter(identity, read->target, cached, {},
                  [self = shared_from_this(), read, cached](absl::StatusOr<consul::SharedState> seen) mutable {
                    if (!seen.ok()) return self->OnError(seen.status());
                    cached.state = *std::move(seen);
                    self->OnSeen(read, std::move(cached));
                  });
  }

  void OnSeen(const SharedRead& read, consul::CachedState state) {
    if (way_ == Way::kLastKnown) state.stale = true;
    // What takes long to write is written where nobody waits for it.
    request_->sources().scheduler()->Post([self = shared_from_this(), read, state = std::move(state)] {
      HttpResponse response = read->answer(*state.state);
      AddMeta(state, &response);
      RunOn(self->thread_, [self, response = std::move(response)]() mutable { self->Answer(std::move(response)); });
    });
  }

  // Or OK, where somebody else answers.
  void OnError(const absl::Status& error) {
    RunOn(thread_, [self = shared_from_this(), error] {
      if (!self->over()) self->Fail(error);
    });
  }

  // ---- On the connection's thread again.
  void Answer(HttpResponse response) {
    if (over()) return;
    answered_ = true;
    request_->Answer(std::move(response));
  }

  void Refuse(const absl::Status& error) {
    answered_ = true;
    request_->Fail(error);
  }

  void Fail(const absl::Status& error) {
    awaiting_.reset();
    if (absl::IsPermissionDenied(error) && read_->where_hidden != nullptr) {
      read_ = read_->where_hidden;
      return Wait();
    }
    const bool key_denied = read_->target.kind == consul::TargetKind::kKey && absl::IsPermissionDenied(error);
    if (read_->fall_back == nullptr || key_denied) return Refuse(error);
    answered_ = true;
    read_->fall_back(request_, error);
  }

  const SharedRequest request_;
  // Whatever is under way goes on with the one that it began with.
  SharedRead read_;
  const Way way_;
  // Null once the exchange is over.
  HttpConnection* connection_;
  consul::ReaderThread* const thread_;
  std::unique_ptr<consul::Awaiting> awaiting_;
  bool answered_ = false;
};

}  // namespace

void ServeBlocking(const SharedRequest& request, HubRead read) {
  std::make_shared<BlockingRead>(request, std::move(read), BlockingRead::Way::kWait)->Start();
}

void ServeCached(const SharedRequest& request, HubRead read) {
  read.how.index = 0;
  std::make_shared<BlockingRead>(request, std::move(read), BlockingRead::Way::kCached)->Start();
}

void ServeLastKnown(const SharedRequest& request, HubRead read) {
  read.how.index = 0;
  std::make_shared<BlockingRead>(request, std::move(read), BlockingRead::Way::kLastKnown)->Start();
}

}  // namespace meshgate::server::consul_api
