#include "server/http/consul/passed_on.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "consul/base/errors.h"
#include "consul/base/mutex.h"
#include "server/http/consul/answer.h"
#include "server/http/exchange.h"

namespace meshgate::server::consul_api {
namespace {

// An answer that is whole by then, and no larger, is given in one piece, which can be packed and has its length.
constexpr absl::Duration kWholeWithin = absl::Seconds(1);
constexpr size_t kMaxWhole = 256 << 10;
// Of one that can only be given whole.
constexpr size_t kMaxAtOnce = 64 << 20;
// What is held of a stream that its reader has not taken.
constexpr size_t kMaxHeld = 512 << 10;
// Longer than Consul takes for anything, an election among it.
constexpr absl::Duration kTimeout = absl::Seconds(60);
// Beyond the wait that Consul was asked for.
constexpr absl::Duration kSlack = absl::Seconds(15);

// Of the answer; what concerns the connection is its own affair, and some of what follows is said anew.
bool IsGivenOn(const std::string& name) {
  for (const char* own : {"content-length", "content-type", "server", "date", "vary", "x-content-type-options"}) {
    if (absl::EqualsIgnoreCase(name, own)) return false;
  }
  // Which pages may read this port is for its own options to say.
  return !absl::StartsWithIgnoreCase(name, "access-control-");
}

HttpResponse ResponseOf(const consul::RelayHead& head) {
  HttpResponse response;
  response.status = head.status;
  response.content_type.clear();
  for (const auto& [name, value] : head.headers) {
    if (absl::EqualsIgnoreCase(name, "content-type")) response.content_type = value;
    if (IsGivenOn(name)) response.headers.emplace_back(name, value);
  }
  return response;
}

// What of a request may take its time.
enum class Kind { kWhole, kStreamed, kWaiting };

consul::RelayRequest RelayRequestOf(const Request& request, consul::CallToken token, Kind kind) {
  const HttpRequest& http = request.http();
  consul::RelayRequest relay;
  relay.method = request.is_read() ? "GET" : http.method;
  relay.target = kind == Kind::kWaiting || !request.is_read() ? TargetWithout(http, {"token"})
                                                              : TargetWithout(http, {"token", "index", "wait", "hash"});
  relay.headers = http.headers;
  relay.body = http.body;
  relay.token = std::move(token);
  relay.waits = kind == Kind::kWaiting;
  // The time until one that is streamed begins is looked after here, and its end is its reader's affair.
  relay.timeout = kind == Kind::kWhole ? kTimeout : absl::InfiniteDuration();
  return relay;
}

// How long until an answer has to begin.
absl::Duration BeginsWithin(const Request& request) {
  const absl::StatusOr<ReadHow> how = HowToRead(request.parameters());
  if (!request.waits() || !how.ok()) return kTimeout;
  return how->wait + how->wait / 16 + kSlack;
}

// One request. What the relay's thread brings lies under the lock until the connection's thread takes it.
class PassedOn final : public HttpExchange,
                       public consul::RelaySink,
                       public Waiter,
                       public std::enable_shared_from_this<PassedOn> {
 public:
  PassedOn(SharedRequest request, bool attaches, IfAway if_away)
      : request_(std::move(request)),
        connection_(attaches ? request_->http().connection : nullptr),
        thread_(request_->thread()),
        streams_(attaches),
        if_away_(std::move(if_away)) {}

  ~PassedOn() override { request_->sources().waiters->Remove(this); }

  void Start(consul::CallToken token) {
    const bool waits = streams_ && request_->waits();
    if (streams_ && !connection_->Attach(shared_from_this())) {
      if (waits) return request_->Fail(TooManyWait());
      // Some connections are kept for such as this one.
      streams_ = false;
      connection_ = nullptr;
    }
    if (streams_) connection_->WakeAfter(kWholeWithin);
    const Kind kind = waits ? Kind::kWaiting : streams_ ? Kind::kStreamed : Kind::kWhole;
    call_ = request_->sources().relay->Send(RelayRequestOf(*request_, std::move(token), kind), shared_from_this());
    // Whoever is attached in its place hears that the caller has gone.
    if (!streams_) request_->WhenDropped([call = call_] { call->Cancel(); });
    if (waits) request_->sources().waiters->Add(shared_from_this());
  }

  // ---- Waiter
  void EndWait() override {
    RunOn(thread_, [self = shared_from_this()] {
      self->Cancel(MakeError(absl::StatusCode::kUnavailable, reason::kDraining,
                             "the gateway is draining; ask again, elsewhere or in a moment"));
    });
  }

  // ---- consul::RelaySink, on the relay's thread.
  void OnHead(consul::RelayHead head) override {
    {
      MutexLock lock(mu_);
      head_ = std::move(head);
    }
    Tell();
  }

  bool OnBody(std::string_view bytes) override {
    bool tell;
    {
      MutexLock lock(mu_);
      if (held_ + bytes.size() > (streams_ ? kMaxHeld : kMaxAtOnce)) {
        too_large_ = !streams_;
        refused_ = streams_;
        if (refused_) return false;
      }
      if (too_large_) return true;
      held_ += bytes.size();
      if (pieces_.empty() || pieces_.back().size() + bytes.size() > kPiece) pieces_.emplace_back();
      pieces_.back().append(bytes);
      tell = streams_ && !std::exchange(told_, true);
    }
    if (tell) Tell();
    return true;
  }

  void OnEnd(const absl::Status& status) override {
    {
      MutexLock lock(mu_);
      end_ = status;
      if (too_large_) {
        end_ = MakeError(absl::StatusCode::kResourceExhausted, reason::kAnswerTooLarge,
                         "Consul's answer is too large to be given whole");
      }
    }
    Tell();
  }

  // ---- HttpExchange, on the connection's thread.
  Piece Next() override {
    Piece piece;
    bool resume = false;
    absl::Status error;
    {
      MutexLock lock(mu_);
      told_ = false;
      if (!pieces_.empty()) {
        piece.bytes = std::make_shared<const std::string>(std::move(pieces_.front()));
        pieces_.pop_front();
        held_ -= piece.bytes->size();
        resume = held_ <= kMaxHeld / 2 && std::exchange(refused_, false);
      } else if (end_.has_value()) {
        piece.last = end_->ok();
        piece.cut = !end_->ok();
        error = *end_;
      }
    }
    if (piece.cut) request_->Drop(error);
    if (resume) call_->Resume();
    return piece;
  }

  void OnTimer() override {
    if (std::exchange(late_, true)) {
      if (responded_) return;
      return Cancel(MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                              "Consul has not answered in time; try again"));
    }
    OnNews();
    if (!responded_ && !closed_) connection_->WakeAfter(BeginsWithin(*request_));
  }

  void OnClosed(Why why) override {
    connection_ = nullptr;
    closed_ = true;
    call_->Cancel();
    // For one that has been answered it has no effect.
    request_->Drop(why == Why::kDone ? absl::OkStatus() : absl::CancelledError("the caller has gone"));
  }

 private:
  static constexpr size_t kPiece = 64 << 10;

  void Cancel(absl::Status why) {
    why_cancelled_ = std::move(why);
    call_->Cancel();
  }

  void Tell() {
    RunOn(thread_, [self = shared_from_this()] { self->OnNews(); });
  }

  void OnNews() {
    if (closed_) return;
    if (responded_) {
      if (streaming_) connection_->Ready();
      return;
    }
    HttpResponse response;
    absl::Status error;
    {
      MutexLock lock(mu_);
      told_ = false;
      const bool whole = end_.has_value();
      if (!whole && !(head_.has_value() && streams_ && (late_ || held_ > kMaxWhole))) return;
      // Nothing of it has been given.
      if (whole) error = absl::IsCancelled(*end_) && !why_cancelled_.ok() ? why_cancelled_ : *end_;
      if (error.ok()) response = ResponseOf(*head_);
      response.streamed = !whole;
      if (whole && error.ok()) {
        for (std::string& piece : pieces_) response.body += piece;
        pieces_.clear();
      }
    }
    responded_ = true;
    streaming_ = response.streamed;
    const bool away = error.ok() ? response.status >= 500 && !streaming_
                                 : absl::IsUnavailable(error) || absl::IsDeadlineExceeded(error);
    if (away && if_away_ != nullptr) return if_away_(request_, error.ok() ? std::move(response) : ErrorAnswer(error));
    if (!error.ok()) return request_->Fail(error);
    request_->Answer(std::move(response));
  }

  const SharedRequest request_;
  // ---- On the connection's thread. Null once the exchange is over.
  HttpConnection* connection_;
  consul::ReaderThread* const thread_;
  // Its answer may be given bit by bit.
  bool streams_;
  const IfAway if_away_;
  bool closed_ = false;
  absl::Status why_cancelled_;
  std::shared_ptr<consul::RelayCall> call_;
  bool late_ = false;
  bool responded_ = false;
  bool streaming_ = false;

  Mutex mu_;
  std::optional<consul::RelayHead> head_ ABSL_GUARDED_BY(mu_);
  std::deque<std::string> pieces_ ABSL_GUARDED_BY(mu_);
  size_t held_ ABSL_GUARDED_BY(mu_) = 0;
  // Word has been left for the connection's thread, which has not come yet.
  bool told_ ABSL_GUARDED_BY(mu_) = false;
  // Has to be resumed.
  bool refused_ ABSL_GUARDED_BY(mu_) = false;
  bool too_large_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

void PassOn(const SharedRequest& request, consul::CallToken token) { PassOnOr(request, std::move(token), nullptr); }

void PassOnOr(const SharedRequest& request, consul::CallToken token, IfAway if_away) {
  std::make_shared<PassedOn>(request, request->is_read(), std::move(if_away))->Start(std::move(token));
}

void PassOnWhole(const SharedRequest& request, consul::CallToken token) {
  std::make_shared<PassedOn>(request, false, nullptr)->Start(std::move(token));
}

}  // namespace meshgate::server::consul_api
