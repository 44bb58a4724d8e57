#include "server/http/api/watch_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "server/http/api/fields.h"
#include "server/http/api/unary.h"
#include "server/http/error.h"
#include "server/limits/limits.h"
#include "server/stream/drop_reason.h"

namespace meshgate::server::api {
namespace {

using consul::WatchReporter;

// For the first message, before a stream begins without one. An error that comes as a status is understood by more
// clients than one within a stream; a browser shows a stream as open once it has begun.
constexpr absl::Duration kOpenWithin = absl::Seconds(1);
// Proxies take a connection that is silent for a minute for dead.
constexpr absl::Duration kHeartbeat = absl::Seconds(15);
constexpr char kHeartbeatText[] = "15s";
constexpr absl::Duration kMinWait = absl::Seconds(1), kMaxWait = absl::Minutes(10);
// Milliseconds until a browser comes back; its own default is some seconds.
constexpr char kRetry[] = "retry: 1000\n\n";
constexpr char kProgress[] = "progress_interval";
// An answer that is packed takes a millisecond from here on, which others on the connection's thread must not wait for.
constexpr size_t kLarge = 64 << 10;

std::shared_ptr<const std::string> Shared(std::string text) {
  return std::make_shared<const std::string>(std::move(text));
}

// Whether it is worth while to come back.
bool IsPassing(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
      return true;
    default:
      return false;
  }
}

// Whether a range of Accept says "not this" (RFC 9110, 12.4.2): ";q=0", "; q=0.0".
bool IsRefused(absl::string_view range) {
  for (absl::string_view part : absl::StrSplit(range, ';')) {
    part = absl::StripAsciiWhitespace(part);
    double weight;
    if (absl::ConsumePrefix(&part, "q=") && absl::SimpleAtod(part, &weight) && weight == 0) return true;
  }
  return false;
}

// Whether it was asked for events by name.
bool WantsEvents(const HttpRequest& http) {
  return absl::StrContains(absl::AsciiStrToLower(ToAbsl(http.header("accept"))), "text/event-stream");
}

// A status as its JSON on one line.
std::string StatusJson(const absl::Status& status) {
  std::string json = ErrorResponse(status).body;
  json.pop_back();
  return json;
}

}  // namespace

WatchCall::WatchCall(std::shared_ptr<const Watch> watch, const HttpRequest& http, HttpReply reply)
    : watch_(std::move(watch)),
      reply_(std::move(reply)),
      call_(&watch_->method, watch_->environment, http),
      comes_back_(WantsEvents(http)),
      connection_(http.connection) {}

WatchCall::~WatchCall() {
  if (outbox_ != nullptr) outbox_->Close();
}

void WatchCall::Start(const HttpRequest& http) {
  const auto request = watch_->new_request();
  int http_status = 0;
  if (absl::Status s = Parse(http, request.get(), &http_status); !s.ok()) return Fail(s, http_status);
  call_.NoteSubject(*request);
  const Environment& environment = watch_->environment;
  thread_ = watch_->threads->Of(connection_->thread());
  outbox_ = std::make_shared<Outbox>(connection_->thread(), this, environment.scheduler, environment.watches);
  if (!connection_->Attach(shared_from_this())) {
    call_.Leave();
    return Fail(WithRetryAfter(MakeError(absl::StatusCode::kResourceExhausted, limits::kTooManyStreams,
                                         "too many streams and polls are open over HTTP: some connections are kept "
                                         "for calls (--http_max_connections)"),
                               absl::Seconds(1)));
  }
  connection_->WakeAfter(mode_ == Mode::kPoll ? wait_ : kOpenWithin);
  // Ends it at once where the process drains.
  membership_ = environment.streams->Add(outbox_);
  watch_->handler(*request, call_.caller(), outbox_);
}

absl::Status WatchCall::Parse(const HttpRequest& http, google::protobuf::Message* request, int* http_status) {
  if (absl::Status s = call_.AdmitStream(); !s.ok()) return s;
  absl::StatusOr<Query> query = ParseParameters(watch_->route, http);
  if (!query.ok()) return query.status();
  if (absl::Status s = ReadJsonBody(watch_->route, http, request, http_status); !s.ok()) return s;
  if (absl::Status s = ParseMode(http, *query, http_status); !s.ok()) return s;
  if (absl::Status s = BindParameters(watch_->route, http, *query, request); !s.ok()) return s;
  // Whoever reads lines takes a message for a sign of life rather than an empty one, which comes where there is none
  // yet.
  if (mode_ == Mode::kLines && !query->has(kProgress)) {
    if (absl::Status s = SetField(kProgress, kProgress, kHeartbeatText, request); !s.ok()) return s;
  }
  // A browser that comes back sends the URL it began with, and where it is now.
  const std::string_view last = http.header("last-event-id");
  const std::string token = mode_ != Mode::kPoll && !last.empty() ? std::string(last) : query->value(kAfter);
  if (token.empty()) return absl::OkStatus();
  return SetField(kAfter, "resume_token", token, request);
}

absl::Status WatchCall::ParseMode(const HttpRequest& http, const Query& query, int* http_status) {
  if (query.has(kWait)) {
    mode_ = Mode::kPoll;
    if (!absl::ParseDuration(query.value(kWait), &wait_) || wait_ < kMinWait || wait_ > kMaxWait) {
      return InvalidField(kWait, "must be from 1s to 10m, with its unit, such as 30s");
    }
    if (query.has(kProgress)) return InvalidField(kProgress, "goes with a stream, not with wait");
    return absl::OkStatus();
  }
  const std::string accept = absl::AsciiStrToLower(ToAbsl(http.header("accept")));
  if (accept.empty()) return absl::OkStatus();
  for (absl::string_view range : absl::StrSplit(accept, ',')) {
    const std::string type = MediaType(std::string_view(range.data(), range.size()));
    if (IsRefused(range)) continue;
    if (type == "text/event-stream" || type == "text/*" || type == "*/*") return absl::OkStatus();
    if (type == "application/x-ndjson") {
      mode_ = Mode::kLines;
      return absl::OkStatus();
    }
  }
  *http_status = 406;
  return InvalidField("Accept", "streams are text/event-stream or application/x-ndjson; for one JSON answer give wait");
}

void WatchCall::OnText() {
  awaits_text_ = false;
  OnReady();
}

std::optional<MessageText> WatchCall::Take() {
  if (awaits_text_ && !outbox_->ended()) return std::nullopt;
  consul::SharedMessage message = std::exchange(unwritten_, nullptr);
  if (message == nullptr || outbox_->ended()) {
    Outbox::Taken taken = outbox_->Take(thread_->memo());
    if (taken.end.has_value()) {
      Settle(*taken.end);
      return std::nullopt;
    }
    message = std::move(taken.message);
  }
  if (message == nullptr) return std::nullopt;
  absl::StatusOr<std::optional<MessageText>> text =
      thread_->TextOf(outbox_->kind(), message, format(), weak_from_this());
  if (!text.ok()) {
    Settle(text.status());
    return std::nullopt;
  }
  if (!text->has_value()) {
    unwritten_ = std::move(message);
    awaits_text_ = true;
    return std::nullopt;
  }
  if (mode_ != Mode::kPoll) thread_->OnDelivered(call_.reporter(), outbox_->kind(), message->received);
  return *std::move(text);
}

void WatchCall::OnReady() {
  if (connection_ == nullptr || end_ != nullptr) return;
  if (responded_) {
    // Settled before it is sent: a drain does not wait for readers that do not read.
    if (mode_ != Mode::kPoll && outbox_->ended()) Take();
    return connection_->Ready();
  }
  while (!responded_) {
    std::optional<MessageText> text = Take();
    if (!text.has_value()) return;
    held_ = std::move(text);
    if (mode_ != Mode::kPoll) {
      BeginStream();
    } else if (held_->tells) {
      AnswerPoll(*held_);
    }
  }
}

void WatchCall::OnTimer() {
  if (responded_) {
    if (mode_ == Mode::kPoll) return;
    const absl::Duration silent = watch_->environment.scheduler->Now() - last_sent_;
    heartbeat_due_ = silent >= kHeartbeat;
    connection_->WakeAfter(heartbeat_due_ ? kHeartbeat : kHeartbeat - silent);
    if (heartbeat_due_) connection_->Ready();
    return;
  }
  if (mode_ != Mode::kPoll) return BeginStream();
  if (held_.has_value()) return AnswerPoll(*held_);
  if (awaits_text_) return connection_->WakeAfter(kMinWait);
  Settle(WithRetryAfter(MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                                  "nothing is known of this yet: Consul has not answered within the wait"),
                        absl::Seconds(1)));
}

void WatchCall::BeginStream() {
  HttpResponse response;
  response.streamed = true;
  response.content_type = mode_ == Mode::kEvents ? "text/event-stream" : "application/x-ndjson";
  // The last is for nginx, which keeps back what comes in small pieces.
  response.headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}};
  last_sent_ = watch_->environment.scheduler->Now();
  if (mode_ == Mode::kEvents) {
    static const auto* const retry = new std::shared_ptr<const std::string>(Shared(kRetry));
    preamble_ = *retry;
  }
  connection_->WakeAfter(kHeartbeat);
  Respond(std::move(response));
}

void WatchCall::AnswerPoll(const MessageText& text) {
  HttpResponse response;
  response.content_type = "application/json";
  response.headers = {{"Cache-Control", "no-store"}};
  response.body = *text.text;
  call_.reporter()->OnSent();
  call_.End(absl::OkStatus());
  Respond(std::move(response));
}

void WatchCall::Fail(const absl::Status& status, int http_status) {
  call_.End(status);
  if (mode_ != Mode::kEvents || !comes_back_ || !IsPassing(status)) {
    return Respond(ErrorResponse(status, http_status));
  }
  HttpResponse response;
  response.content_type = "text/event-stream";
  response.headers = {{"Cache-Control", "no-store"}};
  response.body = absl::StrCat(kRetry, EndText(status));
  Respond(std::move(response));
}

void WatchCall::Respond(HttpResponse response) {
  responded_ = true;
  response.headers.emplace_back(kRequestIdHeader, call_.request_id());
  if (response.body.size() <= kLarge) return std::exchange(reply_, nullptr)(std::move(response));
  watch_->environment.scheduler->Post(
      [reply = std::move(reply_), response = std::move(response)]() mutable { reply(std::move(response)); });
}

std::string WatchCall::EndText(const absl::Status& status) const {
  const std::string json = StatusJson(status);
  return mode_ == Mode::kEvents ? absl::StrCat("event: end\ndata: ", json, "\n\n")
                                : absl::StrCat("{\"error\":", json, "}\n");
}

void WatchCall::Settle(const absl::Status& status) {
  if (end_ != nullptr) return;
  if (const auto reason = DropReasonOf(status)) watch_->environment.watches->OnDropped(*reason);
  end_ = Shared(EndText(status));
  membership_.reset();
  if (!responded_) return Fail(status);
  call_.End(status);
}

HttpExchange::Piece WatchCall::Next() {
  Piece piece;
  if (preamble_ != nullptr) {
    piece.bytes = std::exchange(preamble_, nullptr);
  } else if (held_.has_value()) {
    piece.bytes = std::exchange(held_, std::nullopt)->text;
  } else {
    if (end_ == nullptr) {
      if (std::optional<MessageText> text = Take()) piece.bytes = std::move(text->text);
    }
    if (end_ != nullptr) piece = {end_, /*last=*/true};
    if (piece.bytes == nullptr && std::exchange(heartbeat_due_, false)) {
      static const auto* const comment = new std::shared_ptr<const std::string>(Shared(":\n\n"));
      static const auto* const empty_line = new std::shared_ptr<const std::string>(Shared("\n"));
      piece.bytes = mode_ == Mode::kEvents ? *comment : *empty_line;
    }
  }
  if (piece.bytes != nullptr) {
    last_sent_ = watch_->environment.scheduler->Now();
    heartbeat_due_ = false;
  }
  return piece;
}

void WatchCall::OnClosed(Why why) {
  connection_ = nullptr;
  reply_ = nullptr;
  membership_.reset();
  call_.Leave();
  outbox_->Close();
  switch (why) {
    case Why::kDone:
      call_.End(absl::OkStatus());
      return;
    case Why::kGone:
      call_.End(absl::CancelledError("the caller has gone"));
      return;
    case Why::kStalled:
      if (call_.End(MakeError(absl::StatusCode::kUnavailable, reason::kSlowReader,
                              "the reader has not taken a message in time; it gets what it has missed when it "
                              "comes back"))) {
        watch_->environment.watches->OnDropped(WatchReporter::DropReason::kSlowReader);
      }
  }
}

}  // namespace meshgate::server::api
