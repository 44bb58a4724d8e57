#ifndef MESHGATE_TESTS_SERVER_HTTP_CONSUL_CONSUL_HARNESS_H_
#define MESHGATE_TESTS_SERVER_HTTP_CONSUL_CONSUL_HARNESS_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "consul/base/errors.h"
#include "server/http/consul/routes.h"
#include "tests/server/http/api/api_harness.h"
#include "tests/testing/fake_relay.h"

namespace meshgate::server::consul_api {

// Consul's API on handlers, a real hub, and a backend and a relay that the test answers. Connections are the test's.
class ConsulHarness : public ApiHarness {
 protected:
  ~ConsulHarness() override { Shutdown(); }

  // Ends what is under way. For those who have something that it uses; twice is as once.
  void Shutdown() {
    hub_.Shutdown();
    backend_.Shutdown();
    Settle();
    connections_.clear();
    relay_.Shutdown();
  }

  // With Consul behind the gateway, or with the embedded store. Once, first.
  void ServeConsul() { Serve(&relay_); }
  void ServeStore() { Serve(nullptr); }

  // Begins a request; `target` is its path with its query. The connection lives as long as the harness, as its thread
  // would.
  FakeConnection* Start(const std::string& method, const std::string& target, Headers headers = {},
                        std::string body = "") {
    connections_.push_back(Begin(method, target, std::move(headers), std::move(body)));
    Settle();
    return connections_.back().get();
  }
  // One that is answered at once.
  HttpResponse Get(const std::string& method, const std::string& target, Headers headers = {}, std::string body = "") {
    const FakeConnection* connection = Start(method, target, std::move(headers), std::move(body));
    EXPECT_TRUE(connection->answered()) << method << " " << target;
    return connection->answered() ? connection->response() : HttpResponse();
  }
  // Runs what is ready, here and on the connections' threads.
  void Settle() {
    for (int i = 0; i < 4; ++i) {
      Run();
      for (const auto& connection : connections_) connection->RunReady();
    }
  }
  void Advance(absl::Duration by) {
    scheduler_.Advance(by);
    Settle();
  }

  static std::string Index(const HttpResponse& response) { return HeaderOf(response, "X-Consul-Index"); }
  static std::string Reason(const HttpResponse& response) { return HeaderOf(response, "X-Meshgate-Reason"); }

  // A further answer of Consul's to the hub, which asks at a rate.
  void Publish(std::vector<consul::KvEntry> entries, uint64_t index, Method method = Method::kReadKey) {
    if (backend_.pending(method) == 0) Advance(absl::Seconds(1));
    ASSERT_TRUE(backend_.AnswerEntries(method, std::move(entries), index));
    Settle();
  }
  static absl::Status Away() {
    return MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "Consul is away");
  }

  // Null: nobody is asked for permission. Before serving.
  auth::Guard* guard_ = nullptr;
  // Null: nobody counts. Before serving.
  limits::Limits* limits_ = nullptr;
  testing::FakeRelay relay_;
  Waiters waiters_;
  std::vector<std::unique_ptr<FakeConnection>> connections_;

 private:
  void Serve(consul::Relay* relay) {
    Sources sources;
    sources.backend = &backend_;
    sources.hub = &hub_;
    sources.relay = relay;
    sources.environment = environment_;
    sources.environment.limits = limits_;
    sources.environment.guard = guard_;
    sources.waiters = &waiters_;
    sources.config = &config_;
    sources.registry = &registry_;
    AddRoutes(sources, &router_);
  }
};

}  // namespace meshgate::server::consul_api

#endif  // MESHGATE_TESTS_SERVER_HTTP_CONSUL_CONSUL_HARNESS_H_
