// Many readers, one query: the gateway between gRPC clients and a real Consul that others write to.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "tests/testing/child_process.h"
#include "tests/testing/config_streams.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"

namespace meshgate {
namespace {

using ::meshgate::testing::ConfigStreams;
using ::meshgate::testing::ConsulAgent;
using ::meshgate::testing::ExitStatus;
using ::meshgate::testing::GatewayProcess;
using ::meshgate::testing::RunCommand;
using ::meshgate::testing::StreamLog;

constexpr int kKeyStreams = 200;
constexpr int kPrefixStreams = 50;

class FanInTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(agent_.ready());
    gateway_ = std::make_unique<GatewayProcess>(
        std::vector<std::string>{"--backend=consul", "--consul_address=" + agent_.url()});
    ASSERT_TRUE(gateway_->listening());
  }

  // What somebody does who knows nothing of the gateway.
  void Consul(std::vector<std::string> arguments) {
    std::vector<std::string> command = {"consul"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    command.insert(command.begin() + (arguments[0] == "kv" ? 3 : 2), "-http-addr=" + agent_.url());
    ExitStatus status;
    const std::string output = RunCommand(command, &status);
    ASSERT_EQ(status.code, 0) << output;
  }

  static v1::WatchConfigRequest Key(const std::string& key) {
    v1::WatchConfigRequest request;
    request.set_key(key);
    return request;
  }
  static v1::WatchConfigRequest Prefix(const std::string& prefix) {
    v1::WatchConfigRequest request;
    request.set_prefix(prefix);
    return request;
  }

  ConsulAgent agent_;
  std::unique_ptr<GatewayProcess> gateway_;
};

// What the gateway is for: 250 streams are two blocking queries, and everything that happens in Consul reaches all.
TEST_F(FanInTest, TwoHundredAndFiftyStreamsAreTwoQueries) {
  Consul({"kv", "put", "app/a", "first"});
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < 5; ++i) channels.push_back(gateway_->NewChannel());
  ConfigStreams by_key;
  ConfigStreams by_prefix;
  by_key.Open(channels, Key("app/a"), kKeyStreams);
  by_prefix.Open(channels, Prefix("app/"), kPrefixStreams);
  auto holds = [](const std::string& value) {
    return [value](const StreamLog& log) {
      auto it = log.state.find("app/a");
      return it != log.state.end() && it->second == value;
    };
  };
  ASSERT_TRUE(by_key.WaitForAll(holds("first")));
  ASSERT_TRUE(by_prefix.WaitForAll(holds("first")));

  EXPECT_EQ(gateway_->Metric("meshgate_watch_streams{kind=\"key\"}"), kKeyStreams);
  EXPECT_EQ(gateway_->Metric("meshgate_watch_streams{kind=\"prefix\"}"), kPrefixStreams);
  EXPECT_EQ(gateway_->Metric("meshgate_upstream_watches{kind=\"key\"}"), 1);
  EXPECT_EQ(gateway_->Metric("meshgate_upstream_watches{kind=\"prefix\"}"), 1);
  // The two queries, and the connection that unary calls and the health check keep.
  EXPECT_LE(agent_.ClientConnections(), 4);
  EXPECT_GE(agent_.ClientConnections(), 2);

  Consul({"kv", "put", "app/a", "second"});
  ASSERT_TRUE(by_key.WaitForAll(holds("second")));
  ASSERT_TRUE(by_prefix.WaitForAll(holds("second")));

  // The same value again is no change: the next thing that anybody hears is the value after it.
  Consul({"kv", "put", "app/a", "second"});
  Consul({"kv", "put", "app/a", "third"});
  ASSERT_TRUE(by_key.WaitForAll(holds("third")));
  ASSERT_TRUE(by_prefix.WaitForAll(holds("third")));
  for (ConfigStreams* streams : {&by_key, &by_prefix}) {
    for (const StreamLog& log : streams->logs()) {
      EXPECT_EQ(log.responses, 3);
      EXPECT_EQ(log.puts, 3);
      EXPECT_EQ(log.snapshots, 1);
    }
  }

  Consul({"kv", "delete", "app/a"});
  auto deleted = [](const StreamLog& log) { return log.deletes == 1 && log.state.empty(); };
  ASSERT_TRUE(by_key.WaitForAll(deleted));
  ASSERT_TRUE(by_prefix.WaitForAll(deleted));
  EXPECT_LE(agent_.ClientConnections(), 4);
}

// A key that does not exist is an empty snapshot, and its creation the first change.
TEST_F(FanInTest, AMissingKeyIsAnEmptySnapshot) {
  ConfigStreams streams;
  streams.Open({gateway_->NewChannel()}, Key("not/there"), 3);
  ASSERT_TRUE(streams.WaitForAll([](const StreamLog& log) { return log.snapshots == 1; }));
  Consul({"kv", "put", "other", "x"});
  Consul({"kv", "put", "not/there", "now"});
  ASSERT_TRUE(streams.WaitForAll([](const StreamLog& log) { return log.puts == 1; }));
  for (const StreamLog& log : streams.logs()) EXPECT_EQ(log.responses, 2);
}

// The keys of one transaction arrive together.
TEST_F(FanInTest, ATransactionIsOneResponse) {
  ConfigStreams streams;
  streams.Open({gateway_->NewChannel()}, Prefix("txn/"), 3);
  ASSERT_TRUE(streams.WaitForAll([](const StreamLog& log) { return log.snapshots == 1; }));
  const auto answer = agent_.Call("PUT", "/v1/txn",
                                  R"([{"KV":{"Verb":"set","Key":"txn/a","Value":"MQ=="}},)"
                                  R"({"KV":{"Verb":"set","Key":"txn/b","Value":"Mg=="}},)"
                                  R"({"KV":{"Verb":"set","Key":"txn/c","Value":"Mw=="}}])");
  ASSERT_EQ(answer.code, 200) << answer.body;
  ASSERT_TRUE(streams.WaitForAll([](const StreamLog& log) { return log.puts == 3; }));
  for (const StreamLog& log : streams.logs()) EXPECT_EQ(log.responses, 2);
}

// A stream that comes back with its token, even to another gateway, is not sent again what it has.
TEST_F(FanInTest, ResumesOnAnotherGateway) {
  Consul({"kv", "put", "app/a", "1"});
  Consul({"kv", "put", "app/b", "1"});
  std::string token;
  {
    auto stub = v1::ConfigService::NewStub(gateway_->NewChannel());
    grpc::ClientContext context;
    auto stream = stub->WatchConfig(&context, Prefix("app/"));
    v1::WatchConfigResponse response;
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.events_size(), 2);
    token = response.resume_token();
    EXPECT_FALSE(token.empty());
    context.TryCancel();
    stream->Finish();
  }
  GatewayProcess other({"--backend=consul", "--consul_address=" + agent_.url()});
  ASSERT_TRUE(other.listening());
  auto stub = v1::ConfigService::NewStub(other.NewChannel());
  grpc::ClientContext context;
  v1::WatchConfigRequest request = Prefix("app/");
  request.set_resume_token(token);
  auto stream = stub->WatchConfig(&context, request);
  v1::WatchConfigResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_FALSE(response.snapshot());
  EXPECT_EQ(response.events_size(), 0);
  Consul({"kv", "delete", "app/b"});
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_EQ(response.events_size(), 1);
  EXPECT_EQ(response.events(0).type(), v1::ConfigEvent::TYPE_DELETE);
  context.TryCancel();
  stream->Finish();
}

}  // namespace
}  // namespace meshgate
