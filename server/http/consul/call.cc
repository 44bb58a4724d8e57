#include "server/http/consul/call.h"

#include <algorithm>
#include <utility>

#include "server/http/consul/answer.h"
#include "server/http/exchange.h"

namespace meshgate::server::consul_api {
namespace {

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
      http_(std::move(http)),
      thread_(http_.connection->thread()),
      malformed_(ParseInto(http_.query, &parameters_)),
      token_(TokenOf(http_, parameters_)),
      call_(method, sources->environment, WithTokenHeader(http_, token_)),
      reply_(std::move(reply)) {
  call_.NoteSubject(http_.path);
}

absl::Status Request::Admit() {
  if (absl::Status admitted = call_.Admit(); !admitted.ok()) return admitted;
  return malformed_;
}

absl::Status Request::AdmitStream() {
  if (absl::Status admitted = call_.AdmitStream(); !admitted.ok()) return admitted;
  return malformed_;
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
  std::exchange(reply_, nullptr)(std::move(response));
}

void RunOn(consul::ReaderThread* thread, absl::AnyInvocable<void()> task) {
  thread->Schedule(std::make_shared<Task>(std::move(task)));
}

}  // namespace meshgate::server::consul_api
