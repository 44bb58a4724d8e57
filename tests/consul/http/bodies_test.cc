#include "consul/http/bodies.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "consul/validate.h"

namespace meshgate::consul::http {
namespace {

// A number that passes through a double, or a quote that is not escaped, would write something else.
TEST(BodiesTest, TxnPut) {
  KvEntry entry;
  entry.key = "a \"b\"/\xc3\xbc";
  entry.value = "hi";
  entry.flags = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(TxnPutBody(entry, std::nullopt),
            R"([{"KV":{"Verb":"set","Key":"a \"b\"/ü","Value":"aGk=","Flags":18446744073709551615}}])");
  entry.flags = 0;
  entry.value = "";
  EXPECT_EQ(TxnPutBody(entry, 0), R"([{"KV":{"Verb":"cas","Key":"a \"b\"/ü","Value":"","Flags":0,"Index":0}}])");
  EXPECT_EQ(TxnDeletePrefixBody("a/\\"), R"([{"KV":{"Verb":"delete-tree","Key":"a/\\"}}])");
}

// An operation in another place, or without its condition, would make another change.
TEST(BodiesTest, Txn) {
  KvEntry entry;
  entry.key = "a";
  entry.value = "hi";
  EXPECT_EQ(TxnBody({PutOperation{entry, std::nullopt}, PutOperation{entry, 7}, DeleteKeyOperation{"b", std::nullopt},
                     DeleteKeyOperation{"b", 0}, DeletePrefixOperation{"c/"}}),
            R"([{"KV":{"Verb":"set","Key":"a","Value":"aGk=","Flags":0}},)"
            R"({"KV":{"Verb":"cas","Key":"a","Value":"aGk=","Flags":0,"Index":7}},)"
            R"({"KV":{"Verb":"delete","Key":"b"}},{"KV":{"Verb":"delete-cas","Key":"b","Index":0}},)"
            R"({"KV":{"Verb":"delete-tree","Key":"c/"}}])");
  EXPECT_EQ(
      TxnFindKeysBody({"a", "b\""}),
      R"([{"KV":{"Verb":"check-index","Key":"a","Index":0}},{"KV":{"Verb":"check-index","Key":"b\"","Index":0}}])");
  EXPECT_EQ(TxnGetInstancesBody({{"n1", "web 1"}}),
            R"([{"Service":{"Verb":"get","Node":"n1","Service":{"ID":"web 1"}}}])");
}

// A commit that passed the check of its size would be too large for Consul.
TEST(BodiesTest, ACommitIsNoLargerThanItWasTakenFor) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  KvEntry entry;
  entry.key = "\"\\/\xc3\xbc\"";
  entry.flags = kMost;
  for (size_t size : {0, 1, 2, 3, 1000}) {
    entry.value = std::string(size, '\xff');
    for (const std::vector<KvOperation>& operations : {std::vector<KvOperation>{PutOperation{entry, kMost}},
                                                       std::vector<KvOperation>{DeleteKeyOperation{entry.key, kMost}},
                                                       std::vector<KvOperation>(64, PutOperation{entry, kMost}),
                                                       std::vector<KvOperation>{DeletePrefixOperation{entry.key}}}) {
      EXPECT_LE(TxnBody(operations).size(), CommitBytes(operations));
    }
  }
}

// Consul would refuse a check, or run another one than was asked for.
TEST(BodiesTest, RegistrationWithEveryKindOfCheck) {
  Registration registration;
  registration.id = "web-1";
  registration.service = "web";
  registration.address = "10.0.0.1";
  registration.port = 80;
  registration.tags = {"a", "b"};
  registration.meta = {{"version", "2"}};
  registration.weight_passing = 5;
  CheckDefinition http;
  http.probe = HttpProbe{"https://10.0.0.1/healthz", "HEAD", {{"X-Probe", "yes"}}, true};
  http.interval = absl::Milliseconds(1500);
  http.timeout = absl::Seconds(2);
  http.deregister_critical_after = absl::Minutes(90);
  CheckDefinition tcp;
  tcp.probe = TcpProbe{"10.0.0.1:80"};
  tcp.interval = absl::Seconds(10);
  tcp.name = "port";
  tcp.initial_status = Health::kWarning;
  CheckDefinition grpc;
  grpc.probe = GrpcProbe{"10.0.0.1:80/shop.Cart", true};
  grpc.interval = absl::Minutes(1);
  CheckDefinition ttl;
  ttl.probe = TtlProbe{absl::Seconds(30)};
  ttl.initial_status = Health::kPassing;
  registration.checks = {http, tcp, grpc, ttl};
  EXPECT_EQ(
      RegistrationBody(registration),
      R"({"ID":"web-1","Name":"web","Address":"10.0.0.1","Port":80,"Tags":["a","b"],"Meta":{"version":"2"},)"
      R"("Weights":{"Passing":5,"Warning":1},"Checks":[)"
      R"({"CheckID":"service:web-1:probe-1","Name":"HTTP check of web","Status":"critical",)"
      R"("HTTP":"https://10.0.0.1/healthz","Method":"HEAD","Header":{"X-Probe":["yes"]},"TLSSkipVerify":true,"DisableRedirects":true,)"
      R"("Interval":"1.5s","Timeout":"2s","DeregisterCriticalServiceAfter":"1h30m"},)"
      R"({"CheckID":"service:web-1:probe-2","Name":"port","Status":"warning","TCP":"10.0.0.1:80","Interval":"10s",)"
      R"("Timeout":"10s"},)"
      R"({"CheckID":"service:web-1:probe-3","Name":"gRPC check of web","Status":"critical",)"
      R"("GRPC":"10.0.0.1:80/shop.Cart","GRPCUseTLS":true,"Interval":"1m","Timeout":"10s"},)"
      R"({"CheckID":"service:web-1:ttl","Name":"TTL check of web","Status":"passing","TTL":"30s"}]})");
}

// A heartbeat that reports something else than it was told would keep a broken instance in rotation.
TEST(BodiesTest, CheckUpdate) {
  EXPECT_EQ(CheckUpdateBody(Health::kPassing, ""), R"({"Status":"passing","Output":""})");
  EXPECT_EQ(CheckUpdateBody(Health::kWarning, "a\n\"b\""), R"({"Status":"warning","Output":"a\n\"b\""})");
  EXPECT_EQ(CheckUpdateBody(Health::kCritical, ""), R"({"Status":"critical","Output":""})");
}

}  // namespace
}  // namespace meshgate::consul::http
