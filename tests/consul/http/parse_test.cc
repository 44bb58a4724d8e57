#include "consul/http/parse.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"

namespace meshgate::consul::http {
namespace {

template <typename T>
void ExpectNotConsul(const absl::StatusOr<T>& parsed, const std::string& body) {
  ASSERT_FALSE(parsed.ok()) << body;
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInternal) << body;
  EXPECT_EQ(ReasonOf(parsed.status()), reason::kNotConsul) << body;
}

std::string Entry(const std::string& value, const std::string& flags = "0", const std::string& key = "a") {
  return absl::StrCat(R"({"LockIndex":0,"Key":")", key, R"(","Flags":)", flags, R"(,"Value":)", value,
                      R"(,"CreateIndex":3,"ModifyIndex":5})");
}

// Values, flags or indexes would differ from what is stored.
TEST(ParseTest, Entries) {
  auto entries = ParseEntries(absl::StrCat("[", Entry("\"aGk=\"", "18446744073709551615", "b"), ",", Entry("null"), ",",
                                           Entry("\"\"", "9007199254740993", "a/\\u00fc"), "]"));
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].key, "a");
  EXPECT_EQ((*entries)[0].value, "");
  EXPECT_EQ((*entries)[0].create_index, 3u);
  EXPECT_EQ((*entries)[0].modify_index, 5u);
  EXPECT_EQ((*entries)[1].key, "a/\xc3\xbc");
  EXPECT_EQ((*entries)[1].flags, 9007199254740993u);
  EXPECT_EQ((*entries)[2].key, "b");
  EXPECT_EQ((*entries)[2].value, "hi");
  EXPECT_EQ((*entries)[2].flags, std::numeric_limits<uint64_t>::max());
}

TEST(ParseTest, AnEmptyListIsEmpty) {
  auto entries = ParseEntries("[]");
  ASSERT_TRUE(entries.ok());
  EXPECT_TRUE(entries->empty());
}

// A body that is not Consul's would read as "nothing there", which deletes what readers hold.
TEST(ParseTest, WhatIsNotConsulIsAnError) {
  const std::string good = absl::StrCat("[", Entry("\"aGk=\""), "]");
  std::vector<std::string> bodies = {"",
                                     " ",
                                     "null",
                                     "true",
                                     "{}",
                                     "\"text\"",
                                     "<html>not found</html>",
                                     "[null]",
                                     "[[]]",
                                     "[{}]",
                                     "[] []",
                                     "[1]",
                                     absl::StrCat("[", Entry("\"not base64!\""), "]"),
                                     absl::StrCat("[", Entry("7"), "]"),
                                     absl::StrCat("[", Entry("null", "-1"), "]"),
                                     absl::StrCat("[", Entry("null", "1.5"), "]"),
                                     absl::StrCat("[", Entry("null", "18446744073709551616"), "]"),
                                     absl::StrCat("[", Entry("null", "0", "\xff"), "]"),
                                     "[{\"Key\":\"a\",\"Value\":null,\"Flags\":0}]",
                                     "[{\"Key\":1,\"Value\":null,\"Flags\":0,\"CreateIndex\":1,\"ModifyIndex\":1}]"};
  // Cut anywhere.
  for (size_t size = 0; size < good.size(); ++size) bodies.push_back(good.substr(0, size));
  for (const std::string& body : bodies) {
    ExpectNotConsul(ParseEntries(body), body);
    ExpectNotConsul(ParseInstances(body == "[]" ? "x" : body), body);
  }
  for (const char* body : {"", "[]", "null", "{\"web\":[1]}", "{\"web\":{}}", "{\"web\":[]", "\"x\"", "<html>"}) {
    ExpectNotConsul(ParseCatalog(body), body);
  }
  for (const char* body :
       {"", "[]", "null", "{}", "{\"Results\":{}}", "{\"Results\":[{}]}", "{\"Results\":[{\"KV\":1}]}"}) {
    ExpectNotConsul(ParseTxn(body), body);
  }
  for (const char* body : {"", "[]", "null", "{}", "7", "\"x"}) ExpectNotConsul(ParseLeader(body), body);
  for (const char* body : {"", "[]", "null", "{}", "{\"Service\":7}", "{\"Service\":\"\"}", "{\"Service\":\"w\"} x"}) {
    ExpectNotConsul(ParseAgentService(body), body);
  }
  for (const char* body : {"", "[]", "null", "{\"c\":[]}", "{\"c\":{}}"})
    ExpectNotConsul(ParseTtlChecks(body, "i"), body);
}

std::string InstanceBody(const std::string& service_fields, const std::string& checks) {
  return absl::StrCat(
      R"([{"Node":{"ID":"x","Node":"n1","Address":"10.0.0.9","Datacenter":"dc1","Meta":null},"Service":{"ID":"web-1","Service":"web",)",
      service_fields, R"("CreateIndex":11,"ModifyIndex":12},"Checks":[)", checks, "]}]");
}

std::string Check(const std::string& id, const std::string& status) {
  return absl::StrCat(R"({"Node":"n1","CheckID":")", id, R"(","Status":")", status, R"("})");
}

// Readers would be sent to a wrong address, or miss what an instance says about itself.
TEST(ParseTest, Instance) {
  auto instances = ParseInstances(InstanceBody(
      R"("Tags":["b","a"],"Address":"10.1.1.1","Meta":{"version":"2"},"Port":8080,"Weights":{"Passing":7,"Warning":3},)",
      Check("serfHealth", "passing")));
  ASSERT_TRUE(instances.ok()) << instances.status();
  ASSERT_EQ(instances->size(), 1u);
  Instance want;
  want.id = "web-1";
  want.service = "web";
  want.address = "10.1.1.1";
  want.port = 8080;
  want.tags = {"b", "a"};
  want.meta = {{"version", "2"}};
  want.weight_passing = 7;
  want.weight_warning = 3;
  want.node = "n1";
  want.datacenter = "dc1";
  want.create_index = 11;
  want.modify_index = 12;
  EXPECT_EQ(instances->front(), want);
}

// Agents accept odd registrations; one of them must not make the service unreadable.
TEST(ParseTest, OddInstancesAreRead) {
  auto instances = ParseInstances(InstanceBody(R"("Tags":null,"Address":"","Meta":null,"Port":-1,)", ""));
  ASSERT_TRUE(instances.ok()) << instances.status();
  EXPECT_EQ(instances->front().address, "10.0.0.9") << "falls back to the node's";
  EXPECT_EQ(instances->front().port, 0u);
  EXPECT_EQ(instances->front().weight_passing, 1);
  EXPECT_EQ(instances->front().health, Health::kPassing);
  instances =
      ParseInstances(InstanceBody(R"("Tags":[],"Address":"x","Port":70000,"Weights":{"Passing":-4,"Warning":1},)", ""));
  ASSERT_TRUE(instances.ok()) << instances.status();
  EXPECT_EQ(instances->front().port, 0u);
  EXPECT_EQ(instances->front().weight_passing, 0);
  const std::string wrong = InstanceBody(R"("Tags":[],"Address":"x","Port":"80",)", "");
  ExpectNotConsul(ParseInstances(wrong), wrong);
}

// An instance would be in rotation though one of its checks, or its node's, says otherwise.
TEST(ParseTest, HealthIsTheWorstOfAllChecks) {
  const struct {
    std::vector<std::string> checks;
    Health want;
  } cases[] = {
      {{}, Health::kPassing},
      {{Check("serfHealth", "passing")}, Health::kPassing},
      {{Check("serfHealth", "passing"), Check("c", "warning")}, Health::kWarning},
      {{Check("serfHealth", "critical"), Check("c", "passing")}, Health::kCritical},
      {{Check("c", "critical"), Check("d", "warning")}, Health::kCritical},
      {{Check("c", "something new")}, Health::kCritical},
      {{Check("_node_maintenance", "critical"), Check("c", "passing")}, Health::kMaintenance},
      {{Check("c", "critical"), Check("_service_maintenance:web-1", "critical")}, Health::kMaintenance},
      {{Check("my_service_maintenance:x", "passing")}, Health::kPassing},
  };
  for (const auto& c : cases) {
    std::string checks;
    for (const std::string& check : c.checks) absl::StrAppend(&checks, checks.empty() ? "" : ",", check);
    auto instances = ParseInstances(InstanceBody(R"("Tags":[],"Address":"x","Port":1,)", checks));
    ASSERT_TRUE(instances.ok()) << instances.status();
    EXPECT_EQ(instances->front().health, c.want) << checks;
  }
}

// Two equal catalogs would compare as different.
TEST(ParseTest, CatalogIsSorted) {
  auto services = ParseCatalog(R"({"web":["b","a"],"api":[],"db":null})");
  ASSERT_TRUE(services.ok()) << services.status();
  const std::vector<ServiceSummary> want = {{"api", {}}, {"db", {}}, {"web", {"a", "b"}}};
  EXPECT_EQ(*services, want);
}

// A write's answer would lose the index that the next compare-and-set needs.
TEST(ParseTest, Txn) {
  auto entries = ParseTxn(absl::StrCat("{\"Results\":[{\"KV\":", Entry("null", "7"), "}],\"Errors\":null}"));
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 1u);
  EXPECT_EQ(entries->front().modify_index, 5u);
  for (const char* body : {R"({"Results":[],"Errors":null})", R"({"Results":null,"Errors":null})"}) {
    entries = ParseTxn(body);
    ASSERT_TRUE(entries.ok()) << body;
    EXPECT_TRUE(entries->empty());
  }
}

// An error would be told of another operation, or a lost race be taken for an outage.
TEST(ParseTest, TxnErrors) {
  const std::vector<TxnError> errors = ParseTxnErrors(
      R"({"Results":null,"Errors":[{"OpIndex":2,"What":"failed"},{"OpIndex":5,"What":"too"}],"Index":0})");
  ASSERT_EQ(errors.size(), 2u);
  EXPECT_EQ(errors[0].operation, 2u);
  EXPECT_EQ(errors[0].what, "failed");
  EXPECT_EQ(errors[1].operation, 5u);
  for (const char* body : {"", "[]", "{}", R"({"Errors":null})", R"({"Errors":[{"What":"x"}]})",
                           R"({"Errors":[{"OpIndex":-1,"What":"x"}]})", R"({"Errors":[7]})"}) {
    EXPECT_TRUE(ParseTxnErrors(body).empty()) << body;
  }
}

// An instance that is there would be taken for gone.
TEST(ParseTest, TxnInstances) {
  auto instances = ParseTxnInstances(
      R"({"Results":[{"Service":{"ID":"web-1","Service":"web","Tags":null,"Port":80}}],"Errors":null})");
  ASSERT_TRUE(instances.ok()) << instances.status();
  ASSERT_EQ(instances->size(), 1u);
  EXPECT_EQ(instances->front().id, "web-1");
  EXPECT_EQ(instances->front().service, "web");
  EXPECT_TRUE(ParseTxnInstances(R"({"Results":[],"Errors":null})")->empty());
  for (const char* body : {"", "{}", R"({"Results":[{"KV":{}}]})", R"({"Results":[{"Service":{"ID":"x"}}]})"}) {
    ExpectNotConsul(ParseTxnInstances(body), body);
  }
}

// A heartbeat would go to another instance's check, or to one that takes none.
TEST(ParseTest, TtlChecksOfOneInstance) {
  auto ids = ParseTtlChecks(R"({"a":{"CheckID":"a","ServiceID":"web-1","Type":"ttl"},
                                "b":{"CheckID":"b","ServiceID":"web-1","Type":"tcp"},
                                "c":{"CheckID":"c","ServiceID":"web-2","Type":"ttl"},
                                "d":{"CheckID":"d","ServiceID":"web-1"}})",
                            "web-1");
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ(*ids, std::vector<std::string>{"a"});
}

// An instance would be taken for another service's.
TEST(ParseTest, AgentService) {
  EXPECT_EQ(*ParseAgentService(R"({"ID":"web-1","Service":"web","Tags":null,"Port":0,"ContentHash":"x"})"), "web");
}

// "No leader" would look like a leader, or like an error.
TEST(ParseTest, Leader) {
  EXPECT_EQ(*ParseLeader("\"127.0.0.1:8300\"\n"), "127.0.0.1:8300");
  EXPECT_EQ(*ParseLeader("\"\""), "");
}

}  // namespace
}  // namespace meshgate::consul::http
