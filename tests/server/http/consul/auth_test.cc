// Consul's API where callers have to be let in: by Consul, or by the gateway itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "server/auth/consul_authorizer.h"
#include "server/auth/guard.h"
#include "tests/server/http/consul/consul_harness.h"

namespace meshgate::server::consul_api {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class AuthTest : public ConsulHarness {
 protected:
  ~AuthTest() override { Shutdown(); }

  void ServeGuarded(std::unique_ptr<auth::Authorizer> authorizer) {
    owned_ = std::make_unique<auth::Guard>(&hub_, &scheduler_, std::move(authorizer), auth::GuardOptions(), /*seed=*/1);
    guard_ = owned_.get();
    ServeConsul();
  }
  std::unique_ptr<auth::Authorizer> Consul() {
    return std::make_unique<auth::ConsulAuthorizer>(&backend_, &scheduler_, &reports_, auth::ConsulAuthorizerOptions());
  }
  // Has Consul say so to all that it is asked now.
  void Say(bool allowed) {
    int asked = 0;
    while (backend_.pending(Method::kAuthorize) > 0) {
      for (const auto& call : backend_.pending()) {
        if (call.method != Method::kAuthorize) continue;
        ASSERT_TRUE(backend_.AnswerAuthorize(std::vector<bool>(call.permissions.size(), allowed)));
        break;
      }
      ++asked;
      Settle();
    }
    EXPECT_GT(asked, 0);
  }

  metrics::AuthReporter reports_;
  std::unique_ptr<auth::Guard> owned_;
};

// Somebody, whoever it is, whose writes the gateway decides about.
class DecidesItself final : public auth::Authorizer, public auth::WritePolicy {
 public:
  using Authorizer::Authorizer;
  auth::SharedIdentity Identify(const Metadata&, const std::string&) const override { return nullptr; }
  absl::Status Unidentified() const override { return absl::UnauthenticatedError("who is it?"); }
  void Check(const auth::SharedIdentity&, const std::string&, std::vector<auth::Question>, Grace,
             absl::AnyInvocable<void()>, Done) override {}
  std::optional<bool> LastKnown(const auth::SharedIdentity&, const std::string&, const auth::Question&) override {
    return std::nullopt;
  }
  auth::WritePolicy* writes() override { return this; }
  absl::Status CheckWrite(const auth::Identity&, const auth::KeyWrite&) const override { return absl::OkStatus(); }
  absl::Status CheckRegistersAny(const auth::Identity&) const override { return absl::OkStatus(); }
  void FindService(const std::string&, absl::Duration, consul::Backend::Callback<std::string>) override {}
};

// Would break if the gateway's own token were used for anybody who has to bring one.
TEST_F(AuthTest, NothingIsLent) {
  ServeGuarded(Consul());
  const std::pair<const char*, const char*> requests[] = {{"GET", "/v1/kv/a"},
                                                          {"GET", "/v1/kv/a?keys"},
                                                          {"PUT", "/v1/kv/a"},
                                                          {"DELETE", "/v1/kv/a"},
                                                          {"PUT", "/v1/txn"},
                                                          {"GET", "/v1/agent/self"},
                                                          {"GET", "/v1/health/service/web"},
                                                          {"PUT", "/v1/session/create"},
                                                          {"GET", "/v1/acl/tokens"},
                                                          {"PUT", "/v1/agent/service/deregister/web"}};
  for (const auto& [method, target] : requests) {
    Start(method, target);
    const auto none = relay_.Take();
    ASSERT_NE(none, nullptr) << target;
    EXPECT_EQ(none->request.token, "") << target;
    Start(method, target, {{"x-consul-token", "mine"}});
    const auto mine = relay_.Take();
    ASSERT_NE(mine, nullptr) << target;
    EXPECT_EQ(mine->request.token, "mine") << target;
  }
  // Strangers start no query; what it tells is up to Consul, whatever it lets the caller see elsewhere.
  Start("GET", "/v1/health/service/web?stale");
  EXPECT_EQ(LastCall().method, Method::kAuthorize);
  ASSERT_TRUE(backend_.AnswerAuthorize({false}));
  Settle();
  EXPECT_EQ(LastCall().method, Method::kReadQuery);
  EXPECT_EQ(LastCall().read.token, "");
}

// Would break if what the gateway reads with its own token reached somebody before Consul has said that it may.
TEST_F(AuthTest, BlockingReads) {
  ServeGuarded(Consul());
  for (const bool allowed : {false, true}) {
    const Headers token = {{"x-consul-token", allowed ? "may" : "may-not"}};
    FakeConnection* const connection = Start("GET", "/v1/kv/a?index=1&wait=5m", token);
    EXPECT_FALSE(connection->answered());
    EXPECT_EQ(backend_.pending(Method::kReadKey), 0u) << "nothing is read before";
    Say(allowed);
    if (!allowed) {
      ASSERT_TRUE(connection->answered());
      EXPECT_EQ(connection->response().status, 403);
      continue;
    }
    EXPECT_FALSE(connection->answered());
    Publish({Entry("a", "canary", 7)}, 7);
    EXPECT_FALSE(connection->answered()) << "nothing is told before";
    Say(true);
    ASSERT_TRUE(connection->answered());
    EXPECT_EQ(connection->response().status, 200);
    EXPECT_THAT(connection->response().body, HasSubstr("Y2FuYXJ5"));
  }
  // One that loses its permission while it waits.
  FakeConnection* const loses = Start("GET", "/v1/kv/a?index=7&wait=5m", {{"x-consul-token", "may"}});
  if (backend_.pending(Method::kAuthorize) > 0) Say(true);
  EXPECT_FALSE(loses->answered());
  Publish({Entry("a", "canary", 9)}, 9);
  Say(false);
  ASSERT_TRUE(loses->answered());
  EXPECT_EQ(loses->response().status, 403);
  EXPECT_THAT(loses->response().body, Not(HasSubstr("Y2FuYXJ5")));
  EXPECT_EQ(relay_.count(), 0) << "Consul has said no already";
}

// Would break if, where the gateway decides, something went by it to Consul, which knows the gateway's token alone.
TEST_F(AuthTest, WhereTheGatewayDecides) {
  ServeGuarded(std::make_unique<DecidesItself>(&scheduler_, &reports_));
  EXPECT_EQ(Get("GET", "/v1/kv/a").status, 403) << "nobody";
  for (const char* target : {"/v1/acl/tokens", "/v1/agent/self", "/v1/catalog/nodes", "/v1/status/leader"}) {
    EXPECT_EQ(Get("GET", target).status, 403) << target;
  }
  EXPECT_EQ(relay_.count(), 0);
  EXPECT_EQ(backend_.calls().size(), 0u);
}

}  // namespace
}  // namespace meshgate::server::consul_api
