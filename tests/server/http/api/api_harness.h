#ifndef MESHGATE_TESTS_SERVER_HTTP_API_API_HARNESS_H_
#define MESHGATE_TESTS_SERVER_HTTP_API_API_HARNESS_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "consul/watch/reader_thread.h"
#include "metrics/registry.h"
#include "server/http/api/call.h"
#include "server/http/api/route.h"
#include "server/http/api/routes.h"
#include "server/http/exchange.h"
#include "server/http/router.h"
#include "server/stream/stream_set.h"
#include "tests/server/service/handler_harness.h"
#include "tests/testing/manual_executor.h"

namespace meshgate::server {

// One request and what became of it, as its connection sees it: the connection's half of an exchange, by hand.
class FakeConnection final : public HttpConnection {
 public:
  ~FakeConnection() override { Close(HttpExchange::Why::kGone); }

  HttpReply Reply() {
    return [held = response_](HttpResponse response) {
      EXPECT_FALSE(held->has_value()) << "answered twice";
      *held = std::move(response);
    };
  }
  bool answered() const { return response_->has_value(); }
  const HttpResponse& response() const { return **response_; }

  // The pieces that are there now; "<end>" for the last.
  std::string Sent() {
    executor_.RunReady();
    std::string sent;
    while (exchange_ != nullptr && answered() && response().streamed) {
      const HttpExchange::Piece piece = exchange_->Next();
      if (piece.bytes != nullptr) sent += *piece.bytes;
      if (piece.last) {
        Close(HttpExchange::Why::kDone);
        return sent + "<end>";
      }
      if (piece.bytes == nullptr) break;
    }
    return sent;
  }
  void RunReady() { executor_.RunReady(); }
  // The time of WakeAfter() has come.
  void Fire() { exchange_->OnTimer(); }
  absl::Duration wake_after() const { return wake_after_; }
  bool attached() const { return exchange_ != nullptr; }
  void Close(HttpExchange::Why why) {
    if (const auto exchange = std::exchange(exchange_, nullptr)) exchange->OnClosed(why);
    executor_.RunReady();
  }

  // ---- HttpConnection
  consul::ReaderThread* thread() override { return &executor_; }
  bool Attach(std::shared_ptr<HttpExchange> exchange) override {
    exchange_ = std::move(exchange);
    return true;
  }
  void Ready() override { ++ready_; }
  void WakeAfter(absl::Duration delay) override { wake_after_ = delay; }

 private:
  testing::ManualExecutor executor_;
  std::shared_ptr<HttpExchange> exchange_;
  // Answers may come when it is gone.
  const std::shared_ptr<std::optional<HttpResponse>> response_ = std::make_shared<std::optional<HttpResponse>>();
  absl::Duration wake_after_;
  int ready_ = 0;
};

// The JSON API on handlers, a real hub and a backend that the test answers.
class ApiHarness : public HandlerHarness {
 protected:
  ApiHarness() {
    api::AddConfigRoutes(&config_, environment_, &routes_, &router_);
    api::AddRegistryRoutes(&registry_, environment_, &routes_, &router_);
    api::AddWatchRoutes(&config_, &registry_, environment_, &routes_, &router_);
  }

  ~ApiHarness() override {
    // Calls that are not answered yet end while there is what they report to.
    hub_.Shutdown();
    backend_.Shutdown();
    Run();
  }

  using Headers = std::vector<std::pair<std::string, std::string>>;

  // Begins a request; `target` is its path with its query.
  std::unique_ptr<FakeConnection> Begin(const std::string& method, const std::string& target, Headers headers = {},
                                        std::string body = "") {
    auto connection = std::make_unique<FakeConnection>();
    HttpRequest request;
    request.method = method;
    const size_t question = target.find('?');
    request.path = target.substr(0, question);
    if (question != std::string::npos) request.query = target.substr(question + 1);
    request.headers = std::move(headers);
    request.body = std::move(body);
    request.peer = "ipv4:127.0.0.1:1";
    request.connection = connection.get();
    router_.Handle(std::move(request), connection->Reply());
    Run();
    connection->RunReady();
    return connection;
  }
  // One that is answered without the backend.
  HttpResponse Ask(const std::string& method, const std::string& target, Headers headers = {}, std::string body = "") {
    const auto connection = Begin(method, target, std::move(headers), std::move(body));
    EXPECT_TRUE(connection->answered()) << method << " " << target;
    return connection->answered() ? connection->response() : HttpResponse();
  }
  static std::string HeaderOf(const HttpResponse& response, const std::string& name) {
    for (const auto& [key, value] : response.headers) {
      if (key == name) return value;
    }
    return "";
  }
  static consul::KvEntry Entry(const std::string& key, const std::string& value, uint64_t modify_index) {
    consul::KvEntry entry;
    entry.key = key;
    entry.value = value;
    entry.create_index = 3;
    entry.modify_index = modify_index;
    return entry;
  }

  metrics::Registry metrics_{"test", "test"};
  StreamSet streams_;
  CallTracker calls_;
  const api::Environment environment_ = {&scheduler_, &reporter_, &streams_, &calls_, metrics_.rpc_reporter(), nullptr};
  std::vector<api::Route> routes_;
  Router router_;
};

inline const std::pair<std::string, std::string> kJson = {"content-type", "application/json"};

}  // namespace meshgate::server

#endif  // MESHGATE_TESTS_SERVER_HTTP_API_API_HARNESS_H_
