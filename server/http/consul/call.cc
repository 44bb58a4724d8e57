#include "server/http/consul/call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "consul/base/errors.h"
#include "server/http/consul/answer.h"
#include "server/http/exchange.h"
#include "server/limits/limits.h"

namespace meshgate::server::consul_api {
namespace {

// An answer that is packed takes a millisecond from here on, which others on the connection's thread must not wait for.
constexpr size_t kLarge = 64 << 10;

class Task final : public consul::Work {
 public:
  explicit Task(absl::AnyInvocable<void()> task) : task_(std::move(task)) {}
  bool Run() override {
    task_();
    return false;
  }

 private:
  absl::AnyInvocable<void()> task_;
};

// A read has none to speak of; it would be kept for as long as it waits.
HttpRequest WithoutBodyOfRead(HttpRequest http) {
  if (http.method == "GET" || http.method == "HEAD") std::string().swap(http.body);
  return http;
}

// What is said of a path in the log: of what is not known here it may be a secret, as in /v1/acl/info/.
std::string_view SubjectOf(const HttpRequest& http) {
  const std::string_view path = http.path;
  if (http.variable("rest").empty()) return path;
  size_t end = 0;
  for (int slashes = 0; end < path.size() && (path[end] != '/' || ++slashes <= 3); ++end) {
  }
  return path.substr(0, end);
}

// The caller as every other part knows it: a token in the query is as good as one in a header.
HttpRequest WithTokenHeader(const HttpRequest& http, const std::string& token) {
  HttpRequest out = http;
  out.body.clear();
  if (token.empty()) return out;
  auto& headers = out.headers;
  headers.erase(std::remove_if(headers.begin(), headers.end(),
                               [](const auto& header) {
                                 return header.first == "x-consul-token" || header.first == "authorization";
                               }),
                headers.end());
  headers.emplace_back("x-consul-token", token);
  return out;
}

absl::Status ParseInto(std::string_view query, Parameters* parameters) {
  absl::StatusOr<Parameters> parsed = Parameters::Parse(query);
  if (!parsed.ok()) return parsed.status();
  *parameters = *std::move(parsed);
  return absl::OkStatus();
}

}  // namespace

void Waiters::Add(const std::shared_ptr<Waiter>& waiter) {
  {
    MutexLock lock(mu_);
    if (!ended_) {
      waiting_.emplace(waiter.get(), waiter);
      return;
    }
  }
  waiter->EndWait();
}

void Waiters::Remove(Waiter* waiter) {
  MutexLock lock(mu_);
  waiting_.erase(waiter);
}

void Waiters::EndAll() {
  std::map<Waiter*, std::weak_ptr<Waiter>> waiting;
  {
    MutexLock lock(mu_);
    ended_ = true;
    waiting.swap(waiting_);
  }
  for (const auto& [key, weak] : waiting) {
    if (const auto waiter = weak.lock()) waiter->EndWait();
  }
}

Request::Request(const MethodInfo* method, const Sources* sources, HttpRequest http, HttpReply reply)
    : sources_(sources),
      http_(WithoutBodyOfRead(std::move(http))),
      thread_(http_.connection->thread()),
      malformed_(ParseInto(http_.query, &parameters_)),
      token_(TokenOf(http_, parameters_)),
      call_(method, sources->environment, WithTokenHeader(http_, token_)),
      reply_(std::move(reply)) {
  call_.NoteSubject(SubjectOf(http_));
}

absl::Status Request::Admit() {
  if (absl::Status admitted = call_.Admit(); !admitted.ok()) return admitted;
  return malformed_;
}

absl::Status Request::AdmitStream() {
  if (absl::Status admitted = call_.AdmitStream(); !admitted.ok()) return admitted;
  return malformed_;
}

bool Request::waits() const {
  if (!is_read()) return false;
  const absl::StatusOr<ReadHow> how = HowToRead(parameters_);
  if (how.ok() && (how->index > 0 || how->waits_for_hash)) return true;
  return absl::StartsWith(http_.path, "/v1/agent/monitor") || absl::StartsWith(http_.path, "/v1/agent/metrics/stream");
}

consul::CallToken Request::token(bool lends) const {
  if (caller().identity != nullptr) return caller().token();
  if (!token_.empty() || !lends) return token_;
  return std::nullopt;
}

void Request::Answer(HttpResponse response) {
  const absl::Status status = StatusOfAnswer(response.status);
  End(std::move(response), status);
}

void Request::Fail(const absl::Status& status) { End(ErrorAnswer(status), status); }

void Request::Drop(const absl::Status& status) {
  call_.End(status);
  reply_ = nullptr;
  if (auto task = std::exchange(when_dropped_, nullptr)) task();
}

void Request::End(HttpResponse response, const absl::Status& status) {
  if (reply_ == nullptr) return;
  when_dropped_ = nullptr;
  response.headers.emplace_back(api::kRequestIdHeader, call_.request_id());
  if (status.ok()) call_.reporter()->OnSent();
  if (!response.streamed) call_.End(status);
  HttpReply reply = std::exchange(reply_, nullptr);
  if (response.streamed || response.body.size() <= kLarge) return reply(std::move(response));
  sources_->scheduler()->Post(
      [reply = std::move(reply), response = std::move(response)]() mutable { reply(std::move(response)); });
}

absl::Status TooManyWait() {
  return WithRetryAfter(
      MakeError(absl::StatusCode::kResourceExhausted, limits::kTooManyStreams,
                "too many requests wait over HTTP: some connections are kept for others (--http_max_connections)"),
      absl::Seconds(1));
}

void RunOn(consul::ReaderThread* thread, absl::AnyInvocable<void()> task) {
  thread->Schedule(std::make_shared<Task>(std::move(task)));
}

}  // namespace meshgate::server::consul_api
