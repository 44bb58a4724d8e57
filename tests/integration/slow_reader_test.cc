// Readers that do not read, or are not there any more, and what that does to the others.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "meshgate/v1/config_service.grpc.pb.h"
#include "tests/testing/config_streams.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/silent_reader.h"
#include "tests/testing/vanishing_proxy.h"

namespace meshgate {
namespace {

using ::meshgate::testing::ConfigStreams;
using ::meshgate::testing::GatewayProcess;
using ::meshgate::testing::SilentReader;
using ::meshgate::testing::StreamLog;
using ::meshgate::testing::VanishingProxy;
using ::testing::HasSubstr;

constexpr char kPrefixStreams[] = R"(meshgate_watch_streams{kind="prefix"})";
constexpr char kKeyStreams[] = R"(meshgate_watch_streams{kind="key"})";

class SlowReaderTest : public ::testing::Test {
 protected:
  void Start(std::vector<std::string> flags) {
    const std::string folder = getenv("TEST_TMPDIR");
    static int count = 0;
    log_file_ = folder + "/log" + std::to_string(++count);
    flags.push_back("--data_dir=" + folder + "/data" + std::to_string(count));
    gateway_ = std::make_unique<GatewayProcess>(flags, testing::ChildProcess::Options{{}, {}, log_file_});
    ASSERT_TRUE(gateway_->listening());
    writer_ = v1::ConfigService::NewStub(gateway_->NewChannel());
  }

  void Put(const std::string& key, const std::string& value) {
    grpc::ClientContext context;
    v1::PutConfigRequest put;
    put.set_key(key);
    put.set_value(value);
    v1::PutConfigResponse response;
    const grpc::Status status = writer_->PutConfig(&context, put, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  // More than gRPC takes for a reader that does not read: the first message stalls.
  void PutMuch() {
    for (int i = 0; i < 40; ++i) Put("large/" + std::to_string(i), std::string(500'000, 'x'));
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

  // A connection whose client takes HTTP/2's default of 64 KiB for a stream that is not read. By itself gRPC raises
  // that to megabytes where the others on the connection read a lot: memory of the client, and messages of its queue.
  std::shared_ptr<grpc::Channel> NewChannelWithAFixedWindow() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    return grpc::CreateCustomChannel(gateway_->grpc_address(), grpc::InsecureChannelCredentials(), arguments);
  }

  std::string Log() const {
    std::ifstream file(log_file_);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  std::string log_file_;
  std::unique_ptr<GatewayProcess> gateway_;
  std::unique_ptr<v1::ConfigService::Stub> writer_;
};

// Would break if changes queued up in the gateway for readers that stand still, or if those were sent all of them, or
// not the latest state, when they go on.
TEST_F(SlowReaderTest, AReaderThatStoodStillGetsTheLatestStateInAFewMessages) {
  Start({});
  constexpr int kReaders = 50, kChanges = 1000, kKeys = 20;
  constexpr size_t kValue = 32 << 10;
  const auto value = [](int i) { return std::to_string(i) + std::string(kValue, '.'); };
  std::map<std::string, std::string> latest;
  std::vector<std::shared_ptr<grpc::Channel>> channels = {NewChannelWithAFixedWindow(), NewChannelWithAFixedWindow()};
  std::deque<SilentReader> silent;
  for (int i = 0; i < kReaders; ++i) silent.emplace_back(channels[i % 2], Prefix("p/"));
  ASSERT_TRUE(gateway_->WaitForMetric(kPrefixStreams, kReaders));
  ConfigStreams reading;
  reading.Open(channels, Prefix("p/"), 2);
  const double before = gateway_->Metric("process_resident_memory_bytes").value_or(0);

  for (int i = 0; i < kChanges; ++i) {
    const std::string key = "p/" + std::to_string(i % kKeys);
    latest[key] = value(i);
    ASSERT_NO_FATAL_FAILURE(Put(key, latest[key]));
  }
  // Those on the same connections who read have all of it.
  ASSERT_TRUE(reading.WaitForAll([&](const StreamLog& log) { return log.state == latest; }));
  // Queued, it would be 1.6 GB. (AddressSanitizer keeps 256 MB of what was freed.)
  EXPECT_LT(gateway_->Metric("process_resident_memory_bytes").value_or(0) - before, 500e6);

  for (SilentReader& reader : silent) {
    std::map<std::string, std::string> state;
    int messages = 0;
    while (state != latest) {
      const auto response = reader.Read();
      ASSERT_TRUE(response.has_value()) << "after " << messages << " messages";
      ++messages;
      for (const auto& event : response->events()) state[event.entry().key()] = event.entry().value();
    }
    // Two that the window let pass, one in flight, and the rest at once.
    EXPECT_LE(messages, 6);
  }
  EXPECT_GT(gateway_->Metric(R"(meshgate_watch_events_merged_total{kind="prefix"})").value_or(0), 0);
}

// Would break if a reader that does not read kept its stream for good, if others lost theirs with it, or if operator
// and reader were not told.
TEST_F(SlowReaderTest, AReaderThatDoesNotReadIsCutAlone) {
  Start({"--watch_write_timeout=1s"});
  PutMuch();
  const auto channel = gateway_->NewChannel();
  SilentReader silent(channel, Prefix("large/"));
  ConfigStreams others;
  others.Open({channel, gateway_->NewChannel()}, Key("small"), 10);
  ASSERT_TRUE(others.WaitForAll([](const StreamLog& log) { return log.snapshots == 1; }));

  ASSERT_TRUE(gateway_->WaitForMetric(R"(meshgate_watch_dropped_total{reason="slow_reader"})", 1));
  ASSERT_TRUE(gateway_->WaitForMetric(kPrefixStreams, 0));
  EXPECT_EQ(gateway_->Metric(R"(meshgate_watch_dropped_total{reason="failed"})"), 0);
  EXPECT_EQ(gateway_->Metric(kKeyStreams), 10);
  Put("small", "after");
  ASSERT_TRUE(others.WaitForAll([](const StreamLog& log) { return log.puts == 1 && !log.ended; }));

  EXPECT_FALSE(silent.Read().has_value());
  const auto status = silent.WaitEnd();
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status->error_message(), HasSubstr("has not taken a message for 1s"));
  gateway_->process().Signal(SIGTERM);
  ASSERT_TRUE(gateway_->process().Wait().has_value());
  EXPECT_THAT(Log(), HasSubstr("the reader has not taken a message for 1s"));
}

// Would break if streams of a peer that has vanished, without a word, stayed for good: with the defaults they go within
// a minute and a half.
TEST_F(SlowReaderTest, AVanishedPeersStreamsAreLetGo) {
  Start({"--grpc_keepalive_time=1s", "--grpc_keepalive_timeout=1s"});
  VanishingProxy proxy(gateway_->grpc_address());
  ConfigStreams gone, staying;
  gone.Open({grpc::CreateChannel(proxy.address(), grpc::InsecureChannelCredentials())}, Key("a"), 5);
  staying.Open({gateway_->NewChannel()}, Key("a"), 3);
  ASSERT_TRUE(gone.WaitForAll([](const StreamLog& log) { return log.snapshots == 1; }));
  ASSERT_TRUE(staying.WaitForAll([](const StreamLog& log) { return log.snapshots == 1; }));
  EXPECT_EQ(gateway_->Metric(kKeyStreams), 8);

  proxy.Vanish();
  EXPECT_TRUE(gateway_->WaitForMetric(kKeyStreams, 3));
  Put("a", "after");
  ASSERT_TRUE(staying.WaitForAll([](const StreamLog& log) { return log.puts == 1 && !log.ended; }));
}

}  // namespace
}  // namespace meshgate
