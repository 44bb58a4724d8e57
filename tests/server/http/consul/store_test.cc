// Consul's API over the embedded store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/server/http/consul/consul_harness.h"

namespace meshgate::server::consul_api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StoreTest : public ConsulHarness {
 protected:
  StoreTest() { ServeStore(); }

  // Begins a request whose read of keys is answered so.
  HttpResponse Read(const std::string& target, std::vector<consul::KvEntry> entries, Method method = Method::kReadKey) {
    FakeConnection* const connection = Start("GET", target);
    EXPECT_TRUE(backend_.AnswerEntries(method, std::move(entries), 9)) << target;
    return Done(connection);
  }
  HttpResponse ReadService(const std::string& target, std::vector<consul::Instance> instances) {
    FakeConnection* const connection = Start("GET", target);
    EXPECT_TRUE(backend_.AnswerService(std::move(instances), 9)) << target;
    return Done(connection);
  }
  HttpResponse Done(FakeConnection* connection) {
    Settle();
    EXPECT_TRUE(connection->answered());
    return connection->answered() ? connection->response() : HttpResponse();
  }
  // Begins a write, which has to reach the backend.
  FakeConnection* Write(const std::string& method, const std::string& target, const std::string& body = "") {
    const size_t before = backend_.calls().size();
    FakeConnection* const connection = Start(method, target, {}, body);
    EXPECT_EQ(backend_.calls().size(), before + 1)
        << target << (connection->answered() ? connection->response().body : "");
    return connection;
  }
};

TEST_F(StoreTest, Get) {
  const HttpResponse response = Read("/v1/kv/a%2Fb", {Entry("a/b", "v", 7)});
  EXPECT_EQ(LastCall().name, "a/b");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(response.body, R"([{"LockIndex":0,"Key":"a/b","Flags":0,"Value":"dg==","CreateIndex":3,"ModifyIndex":7}])");
  EXPECT_EQ(Index(response), "9");
  EXPECT_EQ(HeaderOf(response, "X-Consul-Knownleader"), "true");
  EXPECT_EQ(Read("/v1/kv/a?raw", {Entry("a", "v", 7)}).body, "v");
  const HttpResponse none = Read("/v1/kv/a", {});
  EXPECT_EQ(none.status, 404);
  EXPECT_EQ(Index(none), "9") << "what to wait with";
}

TEST_F(StoreTest, Lists) {
  const std::vector<consul::KvEntry> entries = {Entry("app/a", "v", 5), Entry("app/b/c", "", 6),
                                                Entry("app/b/d", "", 7)};
  EXPECT_THAT(Read("/v1/kv/app/?recurse", entries, Method::kReadPrefix).body,
              HasSubstr(R"("Key":"app/b/c","Flags":0,"Value":null)"));
  EXPECT_EQ(LastCall().name, "app/");
  EXPECT_EQ(Read("/v1/kv/app/?keys", entries, Method::kReadPrefix).body, R"(["app/a","app/b/c","app/b/d"])");
  EXPECT_EQ(Read("/v1/kv/app/?keys&separator=%2F", entries, Method::kReadPrefix).body, R"(["app/a","app/b/"])");
  EXPECT_EQ(Read("/v1/kv/?recurse", {}, Method::kReadPrefix).status, 404);
  EXPECT_EQ(LastCall().name, "");
}

TEST_F(StoreTest, Put) {
  FakeConnection* connection = Write("PUT", "/v1/kv/a?flags=18446744073709551615", std::string("\0\xff", 2));
  EXPECT_EQ(LastCall().method, Method::kPutKey);
  EXPECT_EQ(LastCall().entry.key, "a");
  EXPECT_EQ(LastCall().entry.value, std::string("\0\xff", 2));
  EXPECT_EQ(LastCall().entry.flags, UINT64_MAX);
  EXPECT_EQ(LastCall().if_modify_index, std::nullopt);
  ASSERT_TRUE(backend_.AnswerPut(Entry("a", "", 7)));
  EXPECT_EQ(Done(connection).body, "true");
  EXPECT_EQ(connection->response().content_type, "application/json");

  // A comparison that fails is no error.
  for (const uint64_t index : {uint64_t{0}, uint64_t{42}}) {
    connection = Write("PUT", absl::StrCat("/v1/kv/a?cas=", index), "v");
    EXPECT_EQ(LastCall().if_modify_index, index);
    ASSERT_TRUE(backend_.Fail(Method::kPutKey, absl::AbortedError("is at 7")));
    EXPECT_EQ(Done(connection).status, 200);
    EXPECT_EQ(connection->response().body, "false");
  }
  connection = Write("PUT", "/v1/kv/a", "v");
  ASSERT_TRUE(backend_.Fail(Method::kPutKey, Away()));
  EXPECT_EQ(Done(connection).status, 500);
}

TEST_F(StoreTest, Delete) {
  FakeConnection* connection = Write("DELETE", "/v1/kv/a");
  EXPECT_EQ(LastCall().method, Method::kDeleteKey);
  EXPECT_EQ(LastCall().if_modify_index, std::nullopt);
  ASSERT_TRUE(backend_.AnswerDone(Method::kDeleteKey));
  EXPECT_EQ(Done(connection).body, "true");
  connection = Write("DELETE", "/v1/kv/a?cas=7");
  EXPECT_EQ(LastCall().if_modify_index, 7u);
  ASSERT_TRUE(backend_.AnswerDone(Method::kDeleteKey, absl::AbortedError("is at 8")));
  EXPECT_EQ(Done(connection).body, "false");
  connection = Write("DELETE", "/v1/kv/app/?recurse");
  EXPECT_EQ(LastCall().method, Method::kDeletePrefix);
  EXPECT_EQ(LastCall().name, "app/");
  ASSERT_TRUE(backend_.AnswerDone(Method::kDeletePrefix));
  EXPECT_EQ(Done(connection).body, "true");
}

TEST_F(StoreTest, Txn) {
  const std::string body =
      R"([{"KV":{"Verb":"set","Key":"a","Value":"AP8=","Flags":5}},{"KV":{"Verb":"cas","Key":"b","Value":null}},)"
      R"({"KV":{"Verb":"cas","Key":"c","Value":"dg==","Index":18446744073709551615}},{"KV":{"Verb":"delete","Key":"d"}},)"
      R"({"KV":{"Verb":"delete-cas","Key":"e","Index":9}},{"KV":{"Verb":"delete-tree","Key":"f/"}}])";
  FakeConnection* connection = Write("PUT", "/v1/txn", body);
  const std::vector<consul::KvOperation> operations = LastCall().operations;
  ASSERT_EQ(operations.size(), 6u);
  const auto& set = std::get<consul::PutOperation>(operations[0]);
  EXPECT_EQ(set.entry.value, std::string("\0\xff", 2));
  EXPECT_EQ(set.entry.flags, 5u);
  EXPECT_EQ(set.if_modify_index, std::nullopt);
  EXPECT_EQ(std::get<consul::PutOperation>(operations[1]).if_modify_index, 0u);
  EXPECT_EQ(std::get<consul::PutOperation>(operations[2]).if_modify_index, UINT64_MAX);
  EXPECT_EQ(std::get<consul::DeleteKeyOperation>(operations[3]).if_modify_index, std::nullopt);
  EXPECT_EQ(std::get<consul::DeleteKeyOperation>(operations[4]).if_modify_index, 9u);
  EXPECT_EQ(std::get<consul::DeletePrefixOperation>(operations[5]).prefix, "f/");
  ASSERT_TRUE(backend_.AnswerCommit({Entry("a", "", 7), Entry("b", "", 7), Entry("c", "", 7)}));
  EXPECT_EQ(Done(connection).status, 200);
  EXPECT_THAT(connection->response().body,
              HasSubstr(R"({"Results":[{"KV":{"LockIndex":0,"Key":"a","Flags":0,"Value":null,"CreateIndex":3,)"
                        R"("ModifyIndex":7}})"));
  EXPECT_THAT(connection->response().body, HasSubstr(R"(],"Errors":null})"));

  connection = Write("PUT", "/v1/txn", body);
  ASSERT_TRUE(backend_.Fail(Method::kCommit, absl::AbortedError("operations[2]: is at 7")));
  EXPECT_EQ(Done(connection).status, 409);
  EXPECT_EQ(connection->response().body, R"({"Results":null,"Errors":[{"OpIndex":2,"What":"is at 7"}]})");
}

consul::Instance Web(const std::string& id, consul::Health health, std::vector<std::string> tags) {
  consul::Instance one;
  one.id = id;
  one.service = "web";
  one.address = "10.0.0.5";
  one.port = 80;
  one.tags = std::move(tags);
  one.meta = {{"a", "1"}};
  one.node = "n";
  one.datacenter = "dc1";
  one.health = health;
  one.create_index = 3;
  one.modify_index = 7;
  return one;
}

TEST_F(StoreTest, HealthService) {
  const std::vector<consul::Instance> instances = {Web("w1", consul::Health::kPassing, {"x", "y"}),
                                                   Web("w2", consul::Health::kWarning, {"x"}),
                                                   Web("w3", consul::Health::kMaintenance, {})};
  const HttpResponse response = ReadService("/v1/health/service/web", {instances[0]});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(Index(response), "9");
  EXPECT_EQ(
      response.body,
      R"([{"Node":{"ID":"","Node":"n","Address":"10.0.0.5","Datacenter":"dc1","TaggedAddresses":null,"Meta":{},)"
      R"("CreateIndex":3,"ModifyIndex":3},"Service":{"ID":"w1","Service":"web","Tags":["x","y"],)"
      R"("Address":"10.0.0.5","Meta":{"a":"1"},"Port":80,"Weights":{"Passing":1,"Warning":1},)"
      R"("EnableTagOverride":false,"CreateIndex":3,"ModifyIndex":7},"Checks":[{"Node":"n","CheckID":"service:w1",)"
      R"("Name":"Service 'web' check","Status":"passing","Notes":"","Output":"","ServiceID":"w1",)"
      R"("ServiceName":"web","ServiceTags":["x","y"],"Definition":{},"CreateIndex":3,"ModifyIndex":7}]}])");
  const auto ids = [&](const std::string& query) {
    const std::string body = ReadService("/v1/health/service/web" + query, instances).body;
    std::string found;
    for (const char* id : {"w1", "w2", "w3"}) {
      if (body.find(absl::StrCat(R"("Service":{"ID":")", id)) != std::string::npos) absl::StrAppend(&found, id, " ");
    }
    return found;
  };
  EXPECT_EQ(ids(""), "w1 w2 w3 ");
  EXPECT_EQ(ids("?passing"), "w1 ");
  EXPECT_EQ(ids("?passing=true"), "w1 ");
  EXPECT_EQ(ids("?passing=false"), "w1 w2 w3 ");
  EXPECT_EQ(ids("?tag=x"), "w1 w2 ");
  EXPECT_EQ(ids("?tag=x&tag=y"), "w1 ");
  EXPECT_THAT(
      ReadService("/v1/health/checks/web", instances).body,
      HasSubstr(R"("CheckID":"_service_maintenance:w3","Name":"Service Maintenance Mode","Status":"critical")"));
  EXPECT_EQ(ReadService("/v1/health/service/web", {}).body, "[]") << "no service is no error";
  ReadService("/v1/health/service/web?filter=a%3D%3Db&consistent", {});
  EXPECT_EQ(LastCall().filter, "a==b");
  EXPECT_EQ(LastCall().read.mode, consul::ReadMode::kConsistent);
}

TEST_F(StoreTest, Catalog) {
  EXPECT_EQ(ReadService("/v1/catalog/service/web", {Web("w1", consul::Health::kCritical, {})}).body,
            R"([{"ID":"","Node":"n","Address":"10.0.0.5","Datacenter":"dc1","TaggedAddresses":null,"NodeMeta":{},)"
            R"("ServiceID":"w1","ServiceName":"web","ServiceTags":[],"ServiceAddress":"10.0.0.5",)"
            R"("ServiceWeights":{"Passing":1,"Warning":1},"ServiceMeta":{"a":"1"},"ServicePort":80,)"
            R"("ServiceEnableTagOverride":false,"CreateIndex":3,"ModifyIndex":7}])");
  FakeConnection* const services = Start("GET", "/v1/catalog/services");
  ASSERT_TRUE(backend_.AnswerCatalog({{"db", {}}, {"web", {"a", "b"}}}, 9));
  EXPECT_EQ(Done(services).body, R"({"db":[],"web":["a","b"]})");
  EXPECT_EQ(Index(services->response()), "9");
}

// Would break if a service were registered otherwise than its body says, or a check got lost.
TEST_F(StoreTest, Register) {
  FakeConnection* connection = Write(
      "PUT", "/v1/agent/service/register",
      R"({"name":"web","Tags":["a"],"Address":"10.0.0.5","PORT":80,"Meta":{"k":"v"},"Weights":{"Passing":3,"Warning":2},)"
      R"("Check":{"http":"http://10.0.0.5/","interval":"10s","Timeout":2000000000,"Method":"HEAD",)"
      R"("Header":{"X":["1"]},"deregister_critical_service_after":"90m","Status":"warning","TLSSkipVerify":true},)"
      R"("Checks":[{"TTL":"30s"},{"GRPC":"10.0.0.5:1/s","GRPCUseTLS":true,"Interval":"5s"}],"EnableTagOverride":false,)"
      R"("Connect":null})");
  const consul::Registration registration = LastCall().registration;
  EXPECT_EQ(LastCall().method, Method::kRegister);
  EXPECT_EQ(registration.id, "web");
  EXPECT_EQ(registration.service, "web");
  EXPECT_EQ(registration.address, "10.0.0.5");
  EXPECT_EQ(registration.port, 80u);
  EXPECT_THAT(registration.tags, ElementsAre("a"));
  ASSERT_EQ(registration.checks.size(), 3u);
  int http = 0, grpc = 0;
  for (const consul::CheckDefinition& check : registration.checks) {
    if (const auto* probe = std::get_if<consul::HttpProbe>(&check.probe)) {
      ++http;
      EXPECT_EQ(probe->url, "http://10.0.0.5/");
      EXPECT_EQ(probe->method, "HEAD");
      EXPECT_TRUE(probe->tls_skip_verify);
      EXPECT_EQ(probe->headers.at("X"), "1");
      EXPECT_EQ(check.interval, absl::Seconds(10));
      EXPECT_EQ(check.timeout, absl::Seconds(2));
    }
    if (const auto* probe = std::get_if<consul::GrpcProbe>(&check.probe)) {
      ++grpc;
      EXPECT_TRUE(probe->use_tls);
    }
  }
  EXPECT_EQ(http, 1);
  EXPECT_EQ(grpc, 1);
  ASSERT_TRUE(backend_.AnswerDone(Method::kRegister));
  EXPECT_EQ(Done(connection).status, 200);
  EXPECT_EQ(connection->response().body, "");
}

// Would break if the store could be made to look at others' ports.
TEST_F(StoreTest, RegisterWithAForbiddenCheck) {
  for (const char* check :
       {R"("HTTP":"http://169.254.169.254/","Interval":"10s")", R"("tcp":"127.0.0.1:22","Interval":"10s")"}) {
    const HttpResponse refused = Get("PUT", "/v1/agent/service/register", {},
                                     absl::StrCat(R"({"Name":"web","Address":"10.0.0.5","Check":{)", check, "}}"));
    EXPECT_EQ(refused.status, 400);
    EXPECT_EQ(Reason(refused), "CHECK_NOT_ALLOWED");
  }
  EXPECT_EQ(backend_.calls().size(), 0u);
}

TEST_F(StoreTest, DeregisterAndReport) {
  FakeConnection* connection = Write("PUT", "/v1/agent/service/deregister/web-1");
  EXPECT_EQ(LastCall().name, "web-1");
  ASSERT_TRUE(backend_.AnswerDone(Method::kDeregister));
  EXPECT_EQ(Done(connection).status, 200);
  connection = Write("PUT", "/v1/agent/service/deregister/none");
  ASSERT_TRUE(backend_.AnswerDone(Method::kDeregister, absl::NotFoundError("no such instance")));
  EXPECT_EQ(Done(connection).status, 404);

  const auto report = [this](const std::string& target, const std::string& body = "") {
    FakeConnection* const done = Write("PUT", target, body);
    EXPECT_EQ(LastCall().name, "web-1");
    EXPECT_TRUE(backend_.AnswerDone(Method::kHeartbeat));
    EXPECT_EQ(Done(done).status, 200);
    EXPECT_EQ(done->response().body, "");
    return std::make_pair(LastCall().health, LastCall().note);
  };
  using consul::Health;
  EXPECT_EQ(report("/v1/agent/check/pass/service:web-1"), std::make_pair(Health::kPassing, std::string()));
  EXPECT_EQ(report("/v1/agent/check/warn/service:web-1?note=a+b"),
            std::make_pair(Health::kWarning, std::string("a b")));
  EXPECT_EQ(report("/v1/agent/check/fail/service%3Aweb-1"), std::make_pair(Health::kCritical, std::string()));
  EXPECT_EQ(report("/v1/agent/check/update/service:web-1", R"({"Status":"passing","Output":"fine"})"),
            std::make_pair(Health::kPassing, std::string("fine")));
  EXPECT_EQ(report("/v1/agent/check/update/service:web-1", R"({"status":"critical"})"),
            std::make_pair(Health::kCritical, std::string()));
}

TEST_F(StoreTest, AboutTheStore) {
  EXPECT_EQ(Get("GET", "/v1/catalog/datacenters").body, R"(["dc1"])");
  EXPECT_EQ(Get("GET", "/v1/status/leader").body, R"("127.0.0.1:8300")");
  EXPECT_EQ(Get("GET", "/v1/status/peers").body, R"(["127.0.0.1:8300"])");
  EXPECT_THAT(Get("GET", "/v1/agent/self").body, HasSubstr(R"("Datacenter":"dc1","NodeName":"meshgate")"));
  EXPECT_EQ(backend_.calls().size(), 0u);
}

// Blocking queries are the hub's here, too.
TEST_F(StoreTest, Blocking) {
  FakeConnection* const keys = Start("GET", "/v1/kv/app/?keys&index=1");
  Publish({Entry("app/a", "v", 7)}, 7, Method::kReadPrefix);
  EXPECT_EQ(Done(keys).body, R"(["app/a"])");
  EXPECT_EQ(Index(keys->response()), "7");
  FakeConnection* const next = Start("GET", "/v1/kv/app/?keys&index=7&wait=16s");
  EXPECT_FALSE(next->answered());
  Advance(absl::Seconds(18));
  EXPECT_EQ(Index(Done(next)), "7");
}

}  // namespace
}  // namespace meshgate::server::consul_api
