#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/http/api/api_harness.h"

namespace meshgate::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class RegistryApiTest : public ApiHarness {
 protected:
  static consul::Instance InstanceOf(const std::string& id, consul::Health health) {
    consul::Instance instance;
    instance.id = id;
    instance.service = "web";
    instance.address = "10.0.0.1";
    instance.port = 80;
    instance.tags = {"a", "b"};
    instance.node = "n1";
    instance.health = health;
    instance.modify_index = 4;
    return instance;
  }
};

// Would break if services could not be listed.
TEST_F(RegistryApiTest, ListServices) {
  auto list = Begin("GET", "/api/v1/services");
  ASSERT_TRUE(backend_.AnswerCatalog({{"web", {"a"}}}, 9));
  Run();
  EXPECT_THAT(list->response().body, HasSubstr(R"("services":[{"name":"web","tags":["a"]}])"));
}

// Would break if a caller got instances that it did not ask for, or did not get those that it did.
TEST_F(RegistryApiTest, Discover) {
  auto discover = Begin("GET", "/api/v1/services/web?tags=a&tags=b");
  EXPECT_EQ(LastCall().name, "web");
  ASSERT_TRUE(backend_.AnswerService(
      {InstanceOf("web-1", consul::Health::kPassing), InstanceOf("web-2", consul::Health::kCritical)}, 9));
  Run();
  EXPECT_THAT(discover->response().body,
              AllOf(HasSubstr(R"("id":"web-1")"), Not(HasSubstr("web-2")), HasSubstr(R"("port":80)"),
                    HasSubstr(R"("status":"HEALTH_STATUS_PASSING")")));
  EXPECT_THAT(Ask("GET", "/api/v1/services/web?include_unhealthy=true").body, HasSubstr("web-2"));
  EXPECT_THAT(Ask("GET", "/api/v1/services/web?include_unhealthy=false").body, Not(HasSubstr("web-2")));
  EXPECT_THAT(Ask("GET", "/api/v1/services/web?tags=c").body, HasSubstr(R"("instances":[])"));
  Begin("GET", "/api/v1/services/web?consistency=default&filter=Service.Port%20%3D%3D%2080&near=_agent");
  EXPECT_EQ(LastCall().filter, "Service.Port == 80");
  EXPECT_EQ(LastCall().near, "_agent");
}

// Would break if an instance were registered as another one, or without its checks.
TEST_F(RegistryApiTest, Register) {
  const std::string body =
      R"({"instance":{"service":"web","address":"10.1.2.3","port":80,"meta":{"k":"v"}},"checks":[{"ttl":"15s"},{"http":{"url":"http://10.1.2.3/"},)"
      R"("interval":"1.5s"}]})";
  auto put = Begin("PUT", "/api/v1/instances/web%201", {kJson}, body);
  EXPECT_EQ(LastCall().registration.id, "web 1");
  EXPECT_EQ(LastCall().registration.checks.size(), 2u);
  ASSERT_TRUE(backend_.AnswerDone(Method::kRegister));
  Run();
  EXPECT_EQ(put->response().body, "{\"id\":\"web 1\"}\n");
  Begin("POST", "/api/v1/instances", {kJson}, body);
  EXPECT_EQ(LastCall().registration.id, "web");
  Begin("PUT", "/api/v1/instances/web-1", {kJson}, R"({"instance":{"id":"web-1","service":"web"}})");
  EXPECT_EQ(LastCall().registration.id, "web-1");
  const size_t calls = backend_.calls().size();
  const HttpResponse other =
      Ask("PUT", "/api/v1/instances/web-1", {kJson}, R"({"instance":{"id":"web-2","service":"web"}})");
  EXPECT_EQ(other.status, 400);
  EXPECT_THAT(other.body, HasSubstr("id: the body has another value"));
  EXPECT_EQ(backend_.calls().size(), calls);
}

// Would break if an instance could not be removed, or one that is not there looked removed.
TEST_F(RegistryApiTest, Deregister) {
  auto removal = Begin("DELETE", "/api/v1/instances/web-1");
  EXPECT_EQ(LastCall().method, Method::kDeregister);
  EXPECT_EQ(LastCall().name, "web-1");
  backend_.Fail(Method::kDeregister, MakeError(absl::StatusCode::kNotFound, reason::kInstanceNotFound, "no such"));
  Run();
  EXPECT_EQ(removal->response().status, 404);
}

// Would break if an instance reported another health than it said.
TEST_F(RegistryApiTest, Heartbeat) {
  Begin("PUT", "/api/v1/instances/web-1/heartbeat");
  EXPECT_EQ(LastCall().method, Method::kHeartbeat);
  EXPECT_EQ(LastCall().health, consul::Health::kPassing);
  Begin("PUT", "/api/v1/instances/web-1/heartbeat?status=warning&note=disk%20full");
  EXPECT_EQ(LastCall().health, consul::Health::kWarning);
  EXPECT_EQ(LastCall().note, "disk full");
  Begin("PUT", "/api/v1/instances/web-1/heartbeat", {kJson}, R"({"status":"HEALTH_STATUS_CRITICAL"})");
  EXPECT_EQ(LastCall().health, consul::Health::kCritical);
  EXPECT_EQ(Ask("PUT", "/api/v1/instances/web-1/heartbeat?status=fine").status, 400);
  EXPECT_EQ(Ask("PUT", "/api/v1/instances/web-1/heartbeat?status=maintenance").status, 400);
}

}  // namespace
}  // namespace meshgate::server
