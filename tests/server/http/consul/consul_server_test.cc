// Consul's API over real connections: what is waited for, given bit by bit, cut off, and what comes behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "consul/base/errors.h"
#include "consul/base/thread_pool_scheduler.h"
#include "consul/watch/hub.h"
#include "metrics/hold_reporter.h"
#include "metrics/registry.h"
#include "server/hold/hold_keeper.h"
#include "server/http/consul/routes.h"
#include "server/http/http_server.h"
#include "server/stream/stream_set.h"
#include "tests/server/http/raw_client.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/fake_relay.h"

namespace meshgate::server::consul_api {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::RawClient;
using Method = testing::FakeBackend::Method;

// More than is given in one piece.
constexpr size_t kLarge = 300 << 10;

consul::HubOptions Lingering(absl::Duration linger) {
  consul::HubOptions options;
  options.linger = linger;
  return options;
}

class ConsulServerTest : public ::testing::Test {
 protected:
  explicit ConsulServerTest(absl::Duration linger = absl::Hours(1))
      : hub_(&backend_, &scheduler_, &reporter_, Lingering(linger)) {
    options_.listen = "127.0.0.1:0";
  }

  ~ConsulServerTest() override {
    if (server_ != nullptr) server_->Stop();
    hub_.Shutdown();
    backend_.Shutdown();
    EXPECT_TRUE(HasFailure() || WaitFor([this] { return calls_.open() == 0; })) << "a call that never ends";
    relay_.Shutdown();
    scheduler_.Stop();
  }

  void Start() {
    Sources sources;
    sources.backend = &backend_;
    sources.hub = &hub_;
    sources.relay = &relay_;
    sources.environment = {&scheduler_, &reporter_, &streams_, &calls_, metrics_.rpc_reporter()};
    sources.waiters = &waiters_;
    sources.config = &config_;
    sources.registry = &registry_;
    AddRoutes(sources, &router_);
    auto server = HttpServer::Start(options_, &router_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<RawClient>(server_->address());
  }

  // Until something that no one tells of has happened; for half a minute at most.
  template <typename Condition>
  static bool WaitFor(Condition condition) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (!condition()) {
      if (absl::Now() >= end) return false;
      std::this_thread::yield();
    }
    return true;
  }
  static std::string Request(const std::string& target, const std::string& method = "GET") {
    return absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  static consul::KvEntry Entry(const std::string& value, uint64_t index) {
    consul::KvEntry entry;
    entry.key = "a";
    entry.value = value;
    entry.create_index = 3;
    entry.modify_index = index;
    return entry;
  }
  // Answers the hub's query for the key, which may have to be made yet.
  void Publish(const std::string& value, uint64_t index) {
    ASSERT_TRUE(WaitFor([this] { return backend_.pending(Method::kReadKey) > 0; }));
    ASSERT_TRUE(backend_.AnswerEntries(Method::kReadKey, {Entry(value, index)}, index));
  }
  // Has the hub know the key.
  void Know(const std::string& value, uint64_t index) {
    client_->Send(Request("/v1/kv/a?index=1&wait=60s"));
    Publish(value, index);
    EXPECT_EQ(client_->Receive().status, 200);
  }
  // The body of a chunked answer, with "<end>" where it has one.
  static std::string ReceiveChunks(RawClient* client) {
    std::string body;
    while (true) {
      const std::string line = client->ReceiveUntil("\r\n");
      if (line.empty()) return body;
      const size_t size = std::stoul(line, nullptr, 16);
      const std::string chunk = client->ReceiveBytes(size + 2);
      if (size == 0) return body + "<end>";
      body += chunk.substr(0, size);
    }
  }
  static absl::Status Away() {
    return MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "Consul is away");
  }

  metrics::Registry metrics_{"test", "test"};
  // Reads that have come to wait at the hub.
  class Waits final : public consul::WatchReporter {
   public:
    void OnCacheRequest(CacheResult result) override { count += result == CacheResult::kMiss ? 1 : 0; }
    std::atomic<int> count{0};
  };

  Waits reporter_;
  metrics::HoldReporter hold_reporter_;
  ThreadPoolScheduler scheduler_{1, "test"};
  testing::FakeBackend backend_{&scheduler_};
  consul::Hub hub_;
  ConfigHandlers config_{&backend_, &hub_};
  HoldKeeper holds_{&backend_, &scheduler_, &hold_reporter_, /*seed=*/1};
  RegistryHandlers registry_{&backend_, &hub_, &holds_};
  StreamSet streams_;
  CallTracker calls_;
  testing::FakeRelay relay_;
  Waiters waiters_;
  Router router_;
  HttpServerOptions options_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<RawClient> client_;
};

// Whose hub forgets at once what nobody reads.
class ForgettingServerTest : public ConsulServerTest {
 protected:
  ForgettingServerTest() : ConsulServerTest(absl::ZeroDuration()) {}
};

// Would break if a wait were not answered by a change, or the connection could not be used for what was sent behind it.
TEST_F(ConsulServerTest, BlockingReads) {
  Start();
  client_->Send(Request("/v1/kv/a?index=1&wait=60s"));
  Publish("v", 7);
  const auto first = client_->Receive();
  EXPECT_EQ(first.status, 200);
  EXPECT_THAT(first.head, HasSubstr("\r\nX-Consul-Index: 7\r\n"));
  EXPECT_THAT(first.head, HasSubstr("\r\nX-Consul-Knownleader: true\r\n"));
  EXPECT_THAT(first.head, HasSubstr("\r\nX-Consul-Lastcontact: 0\r\n"));
  EXPECT_THAT(first.head, HasSubstr("\r\nContent-Type: application/json\r\n"));
  EXPECT_THAT(first.body, HasSubstr("\"dg==\""));
  client_->Send(Request("/v1/kv/a?index=7&wait=60s") + Request("/v1/kv/a?index=1&raw"));
  Publish("w", 12);
  EXPECT_THAT(client_->Receive().head, HasSubstr("X-Consul-Index: 12\r\n"));
  EXPECT_EQ(client_->Receive().body, "w");
  EXPECT_EQ(client_->Get("/v1/kv/a?index=1&raw").body, "w");
  EXPECT_EQ(relay_.count(), 0);
}

// The end of a wait, by the clock.
TEST_F(ConsulServerTest, EndOfTheWait) {
  Start();
  Know("v", 7);
  const auto response = client_->Get("/v1/kv/a?index=7&wait=1ms");
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.head, HasSubstr("X-Consul-Index: 7\r\n"));
}

// Would break if an answer to HEAD had a body, which the client would take for its next answer.
TEST_F(ConsulServerTest, Head) {
  Start();
  client_->Send(Request("/v1/kv/a?index=1&wait=60s", "HEAD"));
  Publish("v", 7);
  const auto head = client_->Receive(false);
  EXPECT_EQ(head.status, 200);
  EXPECT_THAT(head.head, HasSubstr("X-Consul-Index: 7\r\n"));
  EXPECT_THAT(head.head, Not(HasSubstr("Content-Length: 0\r\n")));
  EXPECT_EQ(client_->Get("/v1/kv/a?index=1&raw").body, "v");
  // The same of one that Consul answers, bit by bit.
  client_->Send(Request("/v1/acl/tokens", "HEAD"));
  const auto sent = relay_.WaitAndTake();
  ASSERT_NE(sent, nullptr);
  sent->Head(200);
  for (size_t given = 0; given < kLarge; given += 10'000) sent->Body(std::string(10'000, 'x'));
  EXPECT_EQ(client_->Receive(false).status, 200);
  sent->End();
  EXPECT_EQ(client_->Get("/v1/kv/a?index=1&raw").body, "v");
}

// Would break if what waits for a caller who has gone went on.
TEST_F(ForgettingServerTest, TheCallerGoes) {
  Start();
  client_->Send(Request("/v1/kv/a?index=1&wait=10m"));
  ASSERT_TRUE(WaitFor([this] { return backend_.pending(Method::kReadKey) == 1; }));
  client_ = nullptr;
  EXPECT_TRUE(WaitFor([this] { return backend_.pending(Method::kReadKey) == 0; }));
  EXPECT_TRUE(WaitFor([this] { return calls_.open() == 0; }));
  // The same of what Consul is asked.
  RawClient other(server_->address());
  {
    RawClient client(server_->address());
    client.Send(Request("/v1/acl/tokens"));
    const auto sent = relay_.WaitAndTake();
    ASSERT_NE(sent, nullptr);
    other.Send(Request("/v1/agent/monitor"));
    EXPECT_FALSE(sent->cancelled());
  }
  const auto monitor = relay_.WaitAndTake();
  ASSERT_NE(monitor, nullptr);
  monitor->Answer(200, "log");
  EXPECT_EQ(other.Receive().body, "log") << "others are left alone";
}

// Would break if a process that ends cut those who wait, or kept them.
TEST_F(ConsulServerTest, Drain) {
  Start();
  Know("v", 7);
  client_->Send(Request("/v1/kv/a?index=7&wait=10m"));
  ASSERT_TRUE(WaitFor([this] { return calls_.open() == 1; }));
  server_->BeginDrain();
  waiters_.EndAll();
  const auto response = client_->Receive();
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.head, HasSubstr("X-Consul-Index: 7\r\n"));
  EXPECT_THAT(response.head, HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(client_->WaitForClose());
}

// Would break if those who wait could take every connection.
TEST_F(ConsulServerTest, KeepsConnectionsForOthers) {
  options_.max_connections = 3;
  Start();
  client_->Send(Request("/v1/kv/a?index=1&wait=10m"));
  RawClient second(server_->address());
  second.Send(Request("/v1/kv/a?index=1&wait=10m"));
  ASSERT_TRUE(WaitFor([this] { return reporter_.count == 2; }));
  RawClient third(server_->address());
  const auto refused = third.Get("/v1/kv/a?index=1&wait=10m");
  EXPECT_EQ(refused.status, 429);
  EXPECT_THAT(refused.head, HasSubstr("X-Meshgate-Reason: TOO_MANY_STREAMS\r\n"));
  EXPECT_THAT(refused.head, HasSubstr("Retry-After: 1\r\n"));
  // What does not wait is served.
  third.Send("PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nv");
  const auto sent = relay_.WaitAndTake();
  ASSERT_NE(sent, nullptr);
  EXPECT_EQ(sent->request.body, "v");
  sent->Answer(200, "true", {{"Content-Type", "application/json"}});
  EXPECT_EQ(third.Receive().body, "true");
}

// Would break if a large answer were not whole, or the connection could not be used after it.
TEST_F(ConsulServerTest, LargeAnswers) {
  Start();
  client_->Send(Request("/v1/acl/tokens") + Request("/v1/acl/policies"));
  const auto sent = relay_.WaitAndTake();
  ASSERT_NE(sent, nullptr);
  sent->Head(200, {{"X-Consul-Index", "9"}, {"Content-Length", "300000"}});
  std::string given;
  for (int i = 0; given.size() < kLarge; ++i) {
    const std::string piece = absl::StrCat(std::string(10'000, 'x'), i);
    ASSERT_TRUE(sent->Body(piece));
    given += piece;
  }
  const auto head = client_->Receive(false);
  EXPECT_THAT(head.head, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(head.head, HasSubstr("X-Consul-Index: 9\r\n"));
  EXPECT_THAT(head.head, Not(HasSubstr("Content-Length")));
  sent->End();
  EXPECT_TRUE(ReceiveChunks(client_.get()) == given + "<end>");
  const auto next = relay_.WaitAndTake();
  ASSERT_NE(next, nullptr);
  next->Answer(200, "[]");
  EXPECT_EQ(client_->Receive().body, "[]");
}

// Would break if an answer that Consul broke off looked whole to its reader.
TEST_F(ConsulServerTest, CutInTheMiddle) {
  Start();
  client_->Send(Request("/v1/acl/tokens"));
  const auto sent = relay_.WaitAndTake();
  ASSERT_NE(sent, nullptr);
  sent->Head(200);
  for (size_t given = 0; given < kLarge; given += 10'000) ASSERT_TRUE(sent->Body(std::string(10'000, 'x')));
  EXPECT_EQ(client_->Receive(false).status, 200);
  sent->End(Away());
  EXPECT_THAT(ReceiveChunks(client_.get()), Not(HasSubstr("<end>")));
  EXPECT_TRUE(client_->WaitForClose());
}

// Would break if a reader that does not read cost memory without bound, or lost bytes for it.
TEST_F(ConsulServerTest, SlowReader) {
  Start();
  client_->Send(Request("/v1/acl/tokens"));
  const auto sent = relay_.WaitAndTake();
  ASSERT_NE(sent, nullptr);
  sent->Head(200);
  std::string given;
  int number = 0, resumed = 0;
  std::future<std::string> read;
  // Sockets take some megabytes before it is noticed.
  while (given.size() < (size_t{64} << 20) && (resumed == 0 || number % 100 != 0)) {
    const std::string piece = absl::StrCat(std::string(16'000, 'x'), number);
    if (sent->Body(piece)) {
      given += piece;
      ++number;
      continue;
    }
    if (!read.valid()) {
      read = std::async(std::launch::async, [this] {
        client_->Receive(false);
        return ReceiveChunks(client_.get());
      });
    }
    ASSERT_TRUE(sent->WaitForResume(++resumed));
  }
  EXPECT_GT(resumed, 0);
  sent->End();
  ASSERT_TRUE(read.valid());
  EXPECT_TRUE(read.get() == given + "<end>");
}

// Would break if a read that nothing is wished for failed over the wire while something is known.
TEST_F(ConsulServerTest, LastKnown) {
  Start();
  client_->Send(Request("/v1/kv/a"));
  const auto sent = relay_.WaitAndTake();
  ASSERT_NE(sent, nullptr);
  sent->End(Away());
  Publish("v", 7);
  const auto response = client_->Receive();
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body, HasSubstr("\"dg==\""));
  client_->Send(Request("/v1/kv/a?consistent"));
  const auto sure = relay_.WaitAndTake();
  ASSERT_NE(sure, nullptr);
  sure->End(Away());
  EXPECT_EQ(client_->Receive().status, 500);
}

}  // namespace
}  // namespace meshgate::server::consul_api
