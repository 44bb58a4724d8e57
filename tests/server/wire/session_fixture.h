// A session between a client and calls that the test drives: no socket, no thread, no time but the test's.
#ifndef MESHGATE_TESTS_SERVER_WIRE_SESSION_FIXTURE_H_
#define MESHGATE_TESTS_SERVER_WIRE_SESSION_FIXTURE_H_

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "consul/reporter.h"
#include "server/wire/event_loop.h"
#include "server/wire/session.h"
#include "tests/server/wire/h2_client.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server::wire {

// Notes what it is told, and says what the test gives it.
class ScriptedCall final : public Call {
 public:
  explicit ScriptedCall(Stream* stream) : stream_(stream), head(stream->head()) {}

  void OnMessage(std::string message) override {
    EXPECT_TRUE(closed.empty()) << "after the end";
    received.push_back(std::move(message));
    if (on_message) on_message();
  }
  void OnHalfClose() override {
    EXPECT_FALSE(half_closed) << "twice";
    half_closed = true;
  }
  void PrepareNext(int step) const override {
    EXPECT_TRUE(closed.empty()) << "after the end";
    prepared.emplace_back(step, turns);
  }
  SharedBytes NextMessage() override {
    if (++asked == 1) asked_at = turns;
    ++turns;
    if (on_next) std::exchange(on_next, nullptr)();
    if (to_send.empty()) return nullptr;
    auto message = std::make_shared<const std::string>(std::move(to_send.front()));
    to_send.pop_front();
    return message;
  }
  Ending OnStalled(absl::Duration) override { return {14, "stalled", {}}; }
  void OnClosed(Why why) override {
    closed.push_back(why);
    stream_ = nullptr;
  }

  // While it is open.
  Stream& stream() { return *stream_; }
  void Say(std::string message) {
    to_send.push_back(std::move(message));
    stream_->Ready();
  }

 private:
  Stream* stream_;

 public:
  const RequestHead head;
  std::vector<std::string> received;
  std::function<void()> on_message;
  // Once, inside NextMessage().
  std::function<void()> on_next;
  bool half_closed = false;
  std::deque<std::string> to_send;
  int asked = 0;
  // How many times any of them was asked.
  static inline int turns = 0;
  // `turns` when it was asked first.
  int asked_at = -1;
  // The steps, and at which turn.
  mutable std::vector<std::pair<int, int>> prepared;
  std::vector<Why> closed;
};

class SessionFixture : public ::testing::Test {
 protected:
  using Client = ::meshgate::testing::H2Client;
  using Why = Call::Why;

  static constexpr size_t kPlenty = 1 << 20;

  // Begins a connection. `window`: of each response.
  void Open(uint32_t window = 65535) {
    session_.reset();
    calls_.clear();
    client_ = std::make_unique<Client>(window);
    session_ = std::make_unique<Session>(SessionEnvironment{&loop_, &options_, &factory_}, "ipv4:127.0.0.1:9",
                                         [this] { ++wanted_; });
    ASSERT_TRUE(Pump());
  }

  // What the server has to send.
  std::string Produce(size_t enough = kPlenty) {
    std::string out;
    EXPECT_TRUE(session_->Produce(&out, enough));
    return out;
  }

  // Carries bytes both ways until neither side has any. Returns false when the server is done with the connection.
  bool Pump() {
    bool goes_on = true;
    while (true) {
      const std::string in = client_->Output();
      if (!in.empty() && goes_on) goes_on = session_->Receive(in);
      const std::string out = Produce();
      client_->Receive(out);
      if (in.empty() && out.empty()) return goes_on;
    }
  }

  // A call that has sent one message and closed its side.
  int32_t Request(const std::string& message, const Client::Headers& more = {}) {
    const int32_t id = client_->Begin(Client::Call("/test.Service/Method", more));
    client_->Send(id, Client::Framed(message));
    client_->End(id);
    EXPECT_TRUE(Pump());
    return id;
  }
  // A call that goes on.
  int32_t BeginCall(const Client::Headers& more = {}) {
    const int32_t id = client_->Begin(Client::Call("/test.Service/Method", more));
    EXPECT_TRUE(Pump());
    return id;
  }
  const Client::Response& response(int32_t id) { return client_->response(id); }
  ScriptedCall& call(size_t index = 0) { return *calls_.at(index); }

  void Advance(absl::Duration by) {
    clock_.Advance(by);
    loop_.Tick();
  }

  ::meshgate::testing::ManualScheduler clock_;
  consul::WatchReporter watches_;
  EventLoop loop_{&clock_, &watches_, {}};
  SessionOptions options_;
  std::vector<std::shared_ptr<ScriptedCall>> calls_;
  CallFactory factory_ = [this](Stream* stream) {
    calls_.push_back(std::make_shared<ScriptedCall>(stream));
    return calls_.back();
  };
  int wanted_ = 0;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Session> session_;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_TESTS_SERVER_WIRE_SESSION_FIXTURE_H_
