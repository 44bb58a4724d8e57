#include "client/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/errors.h"
#include "tests/client/fake_gateway.h"

namespace meshgate::client {
namespace {

using ::meshgate::testing::FakeGateway;
using ::meshgate::testing::GatewayError;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

v1::WatchConfigResponse Response(bool snapshot, uint64_t index, const std::vector<std::pair<std::string, int>>& puts,
                                 const std::string& token = "") {
  v1::WatchConfigResponse response;
  response.set_snapshot(snapshot);
  response.set_index(index);
  response.set_resume_token(token);
  for (const auto& [key, modify_index] : puts) {
    auto* event = response.add_events();
    event->set_type(v1::ConfigEvent::TYPE_PUT);
    event->mutable_entry()->set_key(key);
    event->mutable_entry()->set_modify_index(modify_index);
  }
  return response;
}

// Writes down what it is told, and stops the watch after `stop_after` updates.
class Recorder : public ConfigWatch::Listener {
 public:
  explicit Recorder(size_t stop_after) : stop_after_(stop_after) {}

  bool OnUpdate(const ConfigWatch::Update& update) override {
    std::string line = update.became_stale ? "stale" : update.recovered ? "recovered" : "update";
    for (const auto& event : update.changes) {
      line += (event.type() == v1::ConfigEvent::TYPE_PUT ? " +" : " -") + event.entry().key();
    }
    updates.push_back(line);
    return updates.size() < stop_after_;
  }

  void OnDisconnected(const absl::Status& status, absl::Duration retry_in) override {
    disconnects.push_back(status);
    delays.push_back(retry_in);
    if (on_disconnect) on_disconnect();
  }

  std::vector<std::string> updates;
  std::vector<absl::Status> disconnects;
  std::vector<absl::Duration> delays;
  std::function<void()> on_disconnect;

 private:
  const size_t stop_after_;
};

class WatchTest : public ::testing::Test {
 protected:
  absl::Status Run(Recorder* recorder, const std::string& token = "") {
    ClientOptions client_options;
    client_options.endpoint = gateway_.endpoint();
    Client client(client_options);
    v1::WatchConfigRequest request;
    request.set_prefix("a/");
    request.set_resume_token(token);
    ConfigWatch watch(&client, request, options_);
    return watch.Run(recorder, &cancellation_);
  }

  std::vector<std::string> TokensSent() {
    std::vector<std::string> tokens;
    for (const auto& request : gateway_.config().watch_requests()) tokens.push_back(request.resume_token());
    return tokens;
  }

  static WatchOptions FastOptions() {
    WatchOptions options;
    options.backoff.initial = absl::Milliseconds(1);
    options.backoff.max = absl::Milliseconds(20);
    return options;
  }

  FakeGateway gateway_;
  Cancellation cancellation_;
  WatchOptions options_ = FastOptions();
};

const grpc::Status kAway(grpc::StatusCode::UNAVAILABLE, "gone");

// The point of a token: behind a reconnection the gateway sends just what was missed.
TEST_F(WatchTest, ResumesBehindTheLastResponse) {
  gateway_.config().streams = {
      {{Response(true, 5, {{"a/1", 5}}, "t5"), Response(false, 6, {{"a/2", 6}}, "t6")}, kAway},
      {{Response(false, 7, {{"a/3", 7}}, "t7")}, kAway, true},
  };
  Recorder recorder(3);
  EXPECT_TRUE(Run(&recorder).ok());
  EXPECT_THAT(recorder.updates, ElementsAre("update +a/1", "update +a/2", "update +a/3"));
  EXPECT_THAT(TokensSent(), ElementsAre("", "t6"));
  ASSERT_THAT(recorder.disconnects, SizeIs(1));
  EXPECT_EQ(recorder.disconnects[0].code(), absl::StatusCode::kUnavailable);
}

// A gateway that gives no tokens must serve a reconnecting reader just as well: with the difference of two snapshots.
TEST_F(WatchTest, WithoutTokensSnapshotsBecomeDifferences) {
  gateway_.config().streams = {
      {{Response(true, 5, {{"a/1", 5}, {"a/2", 5}})}, kAway},
      {{Response(true, 9, {{"a/1", 5}, {"a/3", 9}})}, kAway, true},
  };
  Recorder recorder(2);
  EXPECT_TRUE(Run(&recorder).ok());
  EXPECT_THAT(recorder.updates, ElementsAre("update +a/1 +a/2", "update -a/2 +a/3"));
  EXPECT_THAT(TokensSent(), ElementsAre("", ""));
}

// Another gateway may not understand the token. The reader would otherwise be locked out by its own memory.
TEST_F(WatchTest, RefusedTokenIsDropped) {
  gateway_.config().streams = {
      {{}, grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "resume_token: not one of ours")},
      {{Response(true, 5, {{"a/1", 5}})}, kAway, true},
  };
  Recorder recorder(1);
  EXPECT_TRUE(Run(&recorder, "foreign").ok());
  EXPECT_THAT(TokensSent(), ElementsAre("foreign", ""));
}

// Retrying what can't succeed would hide the mistake from the caller and load the gateway for ever.
TEST_F(WatchTest, FinalErrorsEndTheWatch) {
  gateway_.config().streams = {{{}, GatewayError(grpc::StatusCode::INVALID_ARGUMENT, "INVALID_KEY", "prefix: bad")}};
  Recorder recorder(1);
  const absl::Status ended = Run(&recorder);
  EXPECT_EQ(ended.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(ended), "INVALID_KEY");
  EXPECT_THAT(TokensSent(), SizeIs(1));
}

// A stream that ends without an error (a proxy, a restart) is lost like any other.
TEST_F(WatchTest, CleanEndIsReconnected) {
  gateway_.config().streams = {
      {{Response(true, 5, {{"a/1", 5}}, "t5")}, grpc::Status::OK},
      {{Response(false, 6, {{"a/2", 6}}, "t6")}, kAway, true},
  };
  Recorder recorder(2);
  EXPECT_TRUE(Run(&recorder).ok());
  ASSERT_THAT(recorder.disconnects, SizeIs(1));
  EXPECT_EQ(recorder.disconnects[0].code(), absl::StatusCode::kUnavailable);
}

// A copy that went wrong must be thrown away: the next stream starts with a snapshot, not behind a token.
TEST_F(WatchTest, BrokenContractStartsOver) {
  gateway_.config().streams = {
      {{Response(true, 5, {{"a/1", 5}}, "t5")}, kAway},
      {{[] {
         v1::WatchConfigResponse odd = Response(false, 6, {{"a/2", 6}}, "t6");
         odd.mutable_events(0)->set_type(v1::ConfigEvent::TYPE_UNSPECIFIED);
         return odd;
       }()},
       kAway,
       true},
      {{Response(true, 7, {{"a/2", 6}}, "t7")}, kAway, true},
  };
  Recorder recorder(2);
  EXPECT_TRUE(Run(&recorder).ok());
  EXPECT_THAT(recorder.updates, ElementsAre("update +a/1", "update -a/1 +a/2"));
  EXPECT_THAT(TokensSent(), ElementsAre("", "t5", ""));
  EXPECT_EQ(recorder.disconnects.back().code(), absl::StatusCode::kInternal);
}

// Readers decide by these two how far to trust what they hold.
TEST_F(WatchTest, TellsOfStalenessOnceAndOfItsEnd) {
  v1::WatchConfigResponse stale = Response(false, 5, {});
  stale.set_stale(true);
  gateway_.config().streams = {
      {{Response(true, 5, {{"a/1", 5}}), stale, stale, Response(false, 6, {{"a/2", 6}})}, kAway, true}};
  Recorder recorder(4);
  EXPECT_TRUE(Run(&recorder).ok());
  EXPECT_THAT(recorder.updates, ElementsAre("update +a/1", "stale", "update", "recovered +a/2"));
}

// A gateway that asks for time (overload, a drain) must get it.
TEST_F(WatchTest, WaitsAsLongAsTheGatewayAsks) {
  gateway_.config().streams = {
      {{}, GatewayError(grpc::StatusCode::RESOURCE_EXHAUSTED, "CONSUL_OVERLOADED", "busy", 3600)}};
  Recorder recorder(1);
  recorder.on_disconnect = [this] { cancellation_.Cancel(); };
  EXPECT_EQ(Run(&recorder).code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(recorder.delays, ElementsAre(absl::Hours(1)));
}

// Without it a program could not stop a watch that waits for a change.
TEST_F(WatchTest, CancellationEndsAnOpenStream) {
  gateway_.config().streams = {{{Response(true, 5, {{"a/1", 5}})}, kAway, true}};
  class Canceller : public Recorder {
   public:
    explicit Canceller(Cancellation* cancellation) : Recorder(100), cancellation_(cancellation) {}
    bool OnUpdate(const ConfigWatch::Update& update) override {
      cancellation_->Cancel();
      return Recorder::OnUpdate(update);
    }

   private:
    Cancellation* const cancellation_;
  } recorder(&cancellation_);
  EXPECT_EQ(Run(&recorder).code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(recorder.disconnects.empty());
}

// Scripts that want to know of the first failure ask for no reconnection.
TEST_F(WatchTest, WithoutReconnectTheFirstEndIsReported) {
  options_.reconnect = false;
  gateway_.config().streams = {{{Response(true, 5, {{"a/1", 5}})}, kAway}};
  Recorder recorder(100);
  const absl::Status ended = Run(&recorder);
  EXPECT_EQ(ended.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(ended.message()), HasSubstr("gone"));
  EXPECT_THAT(TokensSent(), SizeIs(1));
}

// Delays that never grow turn an outage into a storm; delays that never shrink make the reader late after the next one.
TEST_F(WatchTest, DelaysGrowWhileNothingComesAndStartOverWhenSomethingDid) {
  options_.backoff.jitter = 0;
  options_.backoff.multiplier = 2;
  gateway_.config().streams = {
      {{}, kAway},
      {{}, kAway},
      {{}, kAway},
      {{Response(true, 5, {{"a/1", 5}})}, kAway},
      {{Response(true, 6, {})}, kAway, true},
  };
  Recorder recorder(2);
  EXPECT_TRUE(Run(&recorder).ok());
  EXPECT_THAT(recorder.delays,
              ElementsAre(absl::Milliseconds(1), absl::Milliseconds(2), absl::Milliseconds(4), absl::Milliseconds(1)));
}

// Would break if a caller without a Cancellation, which the calls of Client allow, crashed.
TEST_F(WatchTest, NeedsNoCancellation) {
  gateway_.config().streams = {{{}, kAway}, {{Response(true, 1, {{"a", 1}})}, grpc::Status::OK, true}};
  ClientOptions options;
  options.endpoint = gateway_.endpoint();
  Client client(options);
  v1::WatchConfigRequest request;
  request.set_key("a");
  ConfigWatch watch(&client, request, options_);
  Recorder recorder(1);
  EXPECT_TRUE(watch.Run(&recorder, nullptr).ok());
  EXPECT_THAT(recorder.updates, ElementsAre("update +a"));
}

}  // namespace
}  // namespace meshgate::client
