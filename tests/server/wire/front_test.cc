// The front on real sockets, with peers that do as the test says.
#include "server/wire/front.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "server/wire/stream.h"
#include "tests/server/wire/h2_socket.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server::wire {
namespace {

using ::testing::ElementsAre;
using testing::H2Client;
using testing::H2Socket;

// Says what it hears, and ends when its caller does; at /large it has more to say than any socket takes.
class Echo final : public Call {
 public:
  Echo(Stream* stream, std::atomic<int>* open) : stream_(stream), open_(open) {
    ++*open_;
    if (stream->head().path != "/large") return;
    large_ = std::make_shared<const std::string>(1 << 20, 'x');
    stream->Ready();
  }
  ~Echo() override { EXPECT_TRUE(closed_); }

  void OnMessage(std::string message) override {
    to_send_.push_back(std::move(message));
    stream_->Ready();
  }
  void OnHalfClose() override { stream_->Finish({}); }
  SharedBytes NextMessage() override {
    if (to_send_.empty()) return large_;
    auto message = std::make_shared<const std::string>(std::move(to_send_.front()));
    to_send_.pop_front();
    return message;
  }
  Ending OnStalled(absl::Duration) override { return {14, "stalled", {}}; }
  void OnClosed(Why) override {
    EXPECT_FALSE(std::exchange(closed_, true));
    --*open_;
  }

 private:
  Stream* const stream_;
  std::atomic<int>* const open_;
  std::deque<std::string> to_send_;
  SharedBytes large_;
  bool closed_ = false;
};

class FrontTest : public ::testing::Test {
 protected:
  FrontTest() {
    options_.listen = {"127.0.0.1:0"};
    options_.threads = 1;
  }

  void Start() {
    auto front = Front::Start(options_, &clock_, &watches_,
                              [this](Stream* stream) { return std::make_shared<Echo>(stream, &open_); });
    ASSERT_TRUE(front.ok()) << front.status();
    front_ = *std::move(front);
  }
  std::unique_ptr<H2Socket> Connect(uint32_t window = 65535, int buffer = 0) {
    return std::make_unique<H2Socket>(front_->addresses().at(0), window, buffer);
  }
  // A peer from which the front has all that it will hear.
  std::unique_ptr<H2Socket> ConnectAndSettle() {
    auto peer = Connect();
    EXPECT_TRUE(peer->Until([&] { return peer->client().settled(); }));
    peer->client().Ping();
    EXPECT_TRUE(peer->Until([&] { return peer->client().pongs() == 1; }));
    return peer;
  }
  // Opens a call and hears its first message back.
  static int32_t Call(H2Socket* peer, const std::string& message = "hello") {
    const int32_t id = peer->client().Begin(H2Client::Call("/echo"));
    peer->client().Send(id, H2Client::Framed(message));
    EXPECT_TRUE(peer->Until([&] { return !peer->client().response(id).messages().empty(); }));
    return id;
  }
  static bool Eventually(const std::function<bool()>& holds) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (!holds()) {
      if (absl::Now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

  testing::ManualScheduler clock_;
  consul::WatchReporter watches_;
  FrontOptions options_;
  std::atomic<int> open_{0};
  std::unique_ptr<Front> front_;
};

// Would break if connections were not served whichever thread they are given to.
TEST_F(FrontTest, ServesOnEveryThread) {
  options_.threads = 3;
  Start();
  std::vector<std::unique_ptr<H2Socket>> peers;
  for (int i = 0; i < 7; ++i) peers.push_back(Connect());
  for (const auto& peer : peers) {
    const int32_t id = Call(peer.get());
    peer->client().Send(id, H2Client::Framed("more"));
    peer->client().End(id);
    ASSERT_TRUE(peer->Until([&] { return peer->client().response(id).ended; }));
    EXPECT_THAT(peer->client().response(id).messages(), ElementsAre("hello", "more"));
    EXPECT_EQ(peer->client().response(id).code(), "0");
  }
  EXPECT_EQ(front_->connections(), 7);
  peers.clear();
  EXPECT_TRUE(front_->WaitForConnections(absl::Now() + absl::Seconds(30)));
  EXPECT_EQ(open_, 0);
}

// Would break if callers could use up what the rest of the process needs, or a refusal were for good.
TEST_F(FrontTest, RefusesMoreConnectionsThanMayBe) {
  options_.max_connections = 2;
  Start();
  auto first = ConnectAndSettle(), second = ConnectAndSettle();
  auto third = Connect();
  EXPECT_FALSE(third->UntilInSilence([] { return false; }));
  EXPECT_TRUE(third->closed());
  first.reset();
  EXPECT_TRUE(Eventually([&] { return front_->connections() == 1; }));
  third = Connect();
  Call(third.get());
}

// Would break if the connection of a host that is gone, which nobody ends, were kept for good.
TEST_F(FrontTest, ASilentPeerIsPingedAndThenClosed) {
  Start();
  auto peer = ConnectAndSettle();
  clock_.Advance(options_.connection.keepalive_time);
  ASSERT_TRUE(peer->UntilInSilence([&] { return peer->client().pings() == 1; }));
  clock_.Advance(options_.connection.keepalive_timeout);
  EXPECT_FALSE(peer->UntilInSilence([] { return false; }));
  EXPECT_TRUE(peer->closed());
  EXPECT_TRUE(front_->WaitForConnections(absl::Now() + absl::Seconds(30)));
}

// Would break if a peer that says who it is a byte at a time could keep its place for good.
TEST_F(FrontTest, APeerThatDoesNotGreetIsClosed) {
  Start();
  H2Socket peer(front_->addresses().at(0));
  ASSERT_TRUE(Eventually([&] { return front_->connections() == 1; }));
  clock_.Advance(options_.connection.keepalive_timeout);
  EXPECT_FALSE(peer.UntilInSilence([] { return false; }));
  EXPECT_TRUE(peer.closed());
}

// Would break if a proxy that connects ahead of its first call, and greets when it is greeted, were taken for silent.
TEST_F(FrontTest, APeerThatWaitsIsGreeted) {
  Start();
  H2Socket peer(front_->addresses().at(0));
  EXPECT_TRUE(peer.UntilInSilence([&] { return peer.client().settled(); }));
}

// Would break if operators were told of connections that are gone, or that were refused.
TEST_F(FrontTest, CountsTheConnectionsThatAreOpen) {
  struct Reporter final : metrics::ConnectionReporter {
    void OnConnections(int delta) override { open += delta; }
    std::atomic<int> open{0};
  } reporter;
  options_.connection.reporter = &reporter;
  options_.max_connections = 2;
  Start();
  auto first = ConnectAndSettle(), second = ConnectAndSettle();
  auto third = Connect();
  EXPECT_FALSE(third->UntilInSilence([] { return false; }));
  EXPECT_EQ(reporter.open, 2);
  first.reset();
  EXPECT_TRUE(Eventually([&] { return reporter.open == 1; }));
  front_.reset();
  EXPECT_EQ(reporter.open, 0);
}

// Would break if one that has nothing to say, and answers, were closed.
TEST_F(FrontTest, AnAnswerKeepsAConnection) {
  Start();
  auto peer = ConnectAndSettle();
  const int32_t id = Call(peer.get());
  for (int i = 1; i <= 3; ++i) {
    clock_.Advance(options_.connection.keepalive_time);
    ASSERT_TRUE(peer->Until([&] { return peer->client().pings() == i; }));
    // That its answer has been heard.
    peer->client().Send(id, H2Client::Framed("still"));
    ASSERT_TRUE(peer->Until([&] { return peer->client().response(id).messages().size() == size_t(1 + i); }));
  }
}

// Would break if a drain did not let calls end, or a connection without any stayed.
TEST_F(FrontTest, DrainsCallByCall) {
  Start();
  auto busy = ConnectAndSettle(), idle = ConnectAndSettle();
  const int32_t id = Call(busy.get());
  front_->BeginDrain();
  EXPECT_FALSE(idle->Until([] { return false; }));
  EXPECT_TRUE(idle->closed());
  ASSERT_TRUE(busy->Until([&] { return busy->client().go_aways().size() == 2; }));
  EXPECT_FALSE(front_->WaitForConnections(absl::Now()));
  busy->client().End(id);
  EXPECT_FALSE(busy->Until([] { return false; }));
  EXPECT_EQ(busy->client().response(id).code(), "0");
  EXPECT_TRUE(front_->WaitForConnections(absl::Now() + absl::Seconds(30)));
  EXPECT_TRUE(Connect()->closed()) << "nobody listens any more";
}

// Would break if a peer that had been silent for a while were cut off when it is told to go elsewhere: it has not been
// asked for anything until then.
TEST_F(FrontTest, ADrainGivesASilentPeerTimeToAnswer) {
  Start();
  auto peer = ConnectAndSettle();
  const int32_t id = Call(peer.get());
  clock_.Advance(options_.connection.keepalive_time - absl::Seconds(1));
  front_->BeginDrain();
  ASSERT_TRUE(peer->UntilInSilence([&] { return peer->client().go_aways().size() == 1; }));
  // The second comes with the sweep that finds that an answer is late.
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(peer->UntilInSilence([&] { return peer->client().go_aways().size() == 2; }));
  peer->client().Send(id, H2Client::Framed("bye"));
  peer->client().End(id);
  ASSERT_TRUE(peer->Until([&] { return peer->client().response(id).ended; }));
  EXPECT_THAT(peer->client().response(id).messages(), ElementsAre("hello", "bye"));
}

// Would break if callers stayed on one gateway for good when others are started beside it, or their streams were cut
// without a word.
TEST_F(FrontTest, AConnectionAges) {
  options_.connection.max_age = absl::Minutes(30);
  options_.connection.keepalive_time = absl::Hours(10);
  Start();
  auto peer = ConnectAndSettle();
  const int32_t id = Call(peer.get());
  clock_.Advance(0.89 * options_.connection.max_age);
  EXPECT_TRUE(peer->client().go_aways().empty());
  clock_.Advance(0.22 * options_.connection.max_age);
  ASSERT_TRUE(peer->Until([&] { return peer->client().go_aways().size() == 2; }));
  EXPECT_EQ(peer->client().go_aways()[0].error, NGHTTP2_NO_ERROR);
  peer->client().Send(id, H2Client::Framed("still"));
  ASSERT_TRUE(peer->Until([&] { return peer->client().response(id).messages().size() == 2; }));
  clock_.Advance(options_.connection.max_age_grace);
  EXPECT_FALSE(peer->Until([] { return false; }));
  EXPECT_EQ(peer->client().response(id).code(), "14");
  EXPECT_TRUE(front_->WaitForConnections(absl::Now() + absl::Seconds(30)));
}

// Would break if a peer that does not even read its socket could hold its connection for good.
TEST_F(FrontTest, ASocketThatStallsIsClosed) {
  // Not by this.
  options_.connection.keepalive_time = absl::InfiniteDuration();
  Start();
  auto peer = Connect(1 << 30, 4 << 10);
  peer->client().OpenWindow(0, 1 << 30);
  const int32_t id = peer->client().Begin(H2Client::Call("/large"));
  peer->SendOnly();
  ASSERT_TRUE(Eventually([&] { return open_ == 1; }));
  // How long it stalls is only known to the front: so far the clock has to go, and not further than it has to.
  ASSERT_TRUE(Eventually([&] {
    clock_.Advance(absl::Seconds(1));
    return open_ == 0;
  }));
  EXPECT_FALSE(peer->UntilInSilence([] { return false; }));
  EXPECT_FALSE(peer->client().response(id).ended);
}

// Would break if a stop waited for anybody, or left a call without its end.
TEST_F(FrontTest, StopsWithCallsOpen) {
  options_.threads = 2;
  Start();
  std::vector<std::unique_ptr<H2Socket>> peers;
  for (int i = 0; i < 4; ++i) {
    peers.push_back(Connect());
    Call(peers.back().get());
  }
  EXPECT_EQ(open_, 4);
  front_->Stop();
  EXPECT_EQ(open_, 0);
  EXPECT_EQ(front_->connections(), 0);
}

// Under ThreadSanitizer: peers that come, call, reset and go as they like, while the front is told to drain.
TEST_F(FrontTest, Storm) {
  options_.threads = 2;
  Start();
  std::vector<std::thread> threads;
  std::atomic<int> rounds{0};
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 50; ++i, ++rounds) {
        auto peer = Connect(random() % 2 == 0 ? 65535 : 3);
        for (unsigned calls = random() % 4; calls > 0 && !peer->closed(); --calls) {
          const int32_t id = peer->client().Begin(H2Client::Call("/echo"));
          if (random() % 4 != 0) peer->client().Send(id, H2Client::Framed("hello"));
          if (random() % 2 == 0)
            peer->Until([&] { return !peer->client().response(id).data.empty(); }, absl::Milliseconds(5));
          if (random() % 2 == 0) peer->client().End(id);
          if (random() % 3 == 0) peer->client().Reset(id);
          peer->SendOnly();
        }
      }
    });
  }
  ASSERT_TRUE(Eventually([&] { return rounds >= 100; }));
  front_->BeginDrain();
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(front_->WaitForConnections(absl::Now() + absl::Seconds(30)));
  EXPECT_EQ(open_, 0);
}

}  // namespace
}  // namespace meshgate::server::wire
