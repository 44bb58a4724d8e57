// Answers that take their time: readers that pause, calls that are cancelled, limits.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "consul/base/mutex.h"
#include "tests/consul/http/relay_fixture.h"
#include "tests/testing/pending.h"
#include "tests/testing/scripted_agent.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::consul::http {
namespace {

using testing::Pending;
using testing::ScriptedAgent;
using testing::TinyHttpServer;
using Connection = TinyHttpServer::Connection;
using Reply = ScriptedAgent::Reply;
using Then = Reply::Then;

constexpr absl::Duration kBound = absl::Seconds(30);
constexpr char kProbe[] = "GET /v1/status/leader";
constexpr char kChunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
constexpr size_t kLarge = 5 << 20;

// No part of it reads like another one.
std::string Large() {
  std::string bytes;
  bytes.reserve(kLarge);
  for (uint32_t i = 0; bytes.size() < kLarge; ++i) bytes.append(absl::StrCat(i * 2654435761u, "\n"));
  bytes.resize(kLarge);
  return bytes;
}

bool Never(std::string_view) { return false; }

// A begun answer without an end, as /v1/agent/monitor's.
Reply Endless() { return {absl::StrCat(kChunked, "3\r\nabc\r\n"), Then::kHold}; }

// A reader that is slow would cost the gateway the memory of all that it has not read.
TEST_F(RelayTest, TheServerWaitsForTheReader) {
  const std::string body = Large();
  Pending<size_t> held;
  TinyHttpServer server(
      [&body, tell = std::make_shared<absl::AnyInvocable<void(size_t)>>(held.Callback())](Connection& connection) {
        connection.ReadRequest();
        connection.Write(absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n"));
        const size_t sent = connection.WriteUntilHeld(body, absl::Milliseconds(300));
        (*tell)(sent);
        connection.Write(body.substr(sent));
      });
  Connect(absl::StrCat("http://127.0.0.1:", server.port()));
  std::atomic<bool> reads{false};
  const Sent sent = Send(To("GET", "/v1/snapshot"), [&](std::string_view) { return reads.load(); });
  ASSERT_TRUE(sent.sink->WaitForRefusal(1));
  // What two socket buffers and one piece hold.
  EXPECT_LT(held.Get(kBound).value_or(kLarge), size_t{1} << 20);
  EXPECT_EQ(sent.sink->body(), "");
  reads = true;
  sent.Resume();
  EXPECT_EQ(sent.sink->WaitForEnd(), "OK");
  EXPECT_TRUE(sent.sink->body() == body);
  EXPECT_LE(sent.sink->largest(), size_t{64} << 10);
  EXPECT_EQ(sent.sink->breach(), "");
}

// What was refused would be lost or come twice.
TEST_F(RelayTest, WhatWasRefusedComesAgain) {
  const std::string body = Large();
  std::string chunked = kChunked;
  for (size_t at = 0; at < body.size(); at += 50'000) {
    const std::string chunk = body.substr(at, 50'000);
    absl::StrAppend(&chunked, absl::Hex(chunk.size()), "\r\n", chunk, "\r\n");
  }
  chunked += "0\r\n\r\n";
  for (const std::string& bytes : {ScriptedAgent::Http(200, body), chunked}) {
    ScriptedAgent agent([&bytes](const std::string&) -> Reply { return {bytes}; });
    Connect(agent.url());
    // Each second one, and the first one again at once.
    int pieces = 0;
    const Sent sent =
        Send(To("GET", "/v1/kv/?recurse"), [&pieces](std::string_view) { return ++pieces > 2 && pieces % 2 == 0; });
    int refused = 0;
    while (sent.sink->WaitForNextRefusal(refused)) {
      refused = sent.sink->refused();
      sent.Resume();
    }
    EXPECT_EQ(sent.sink->WaitForEnd(), "OK");
    EXPECT_GT(refused, 50);
    EXPECT_TRUE(sent.sink->body() == body);
    EXPECT_EQ(sent.sink->breach(), "");
    backend_->Shutdown();
  }
}

// A reader of a log would get nothing, or not be able to leave.
TEST_F(RelayTest, AnEndlessAnswerIsCancelled) {
  ScriptedAgent agent([](const std::string&) { return Endless(); });
  Connect(agent.url());
  RelayRequest request = To("GET", "/v1/agent/monitor");
  request.waits = true;
  request.timeout = absl::InfiniteDuration();
  const Sent sent = Send(request);
  ASSERT_TRUE(sent.sink->WaitForBody(3));
  EXPECT_EQ(sent.sink->body(), "abc");
  sent.call->Cancel();
  EXPECT_EQ(sent.sink->WaitForEnd(), "CANCELLED CANCELLED");
  EXPECT_TRUE(agent.WaitUntilDeserted()) << "Consul would write on";
  EXPECT_EQ(reported(Endpoint::kAgent, 200), 1);
  sent.call->Cancel();
  sent.call->Resume();
  EXPECT_EQ(sent.sink->breach(), "");
}

// A reader that goes away while it is paused would keep its connection; one that is paused beyond its time, too.
TEST_F(RelayTest, APausedCallEnds) {
  ScriptedAgent agent([](const std::string&) { return Endless(); });
  Connect(agent.url());
  const Sent cancelled = Send(To("PUT", "/v1/kv/a"), &Never);
  ASSERT_TRUE(cancelled.sink->WaitForRefusal(1));
  cancelled.call->Cancel();
  EXPECT_EQ(cancelled.sink->WaitForEnd(), "CANCELLED WRITE_OUTCOME_UNKNOWN");
  RelayRequest request = To("GET", "/v1/kv/a");
  request.timeout = absl::Seconds(2);
  const Sent late = Send(request, &Never);
  EXPECT_EQ(late.sink->WaitForEnd(), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED");
  EXPECT_EQ(late.sink->refused(), 1);
  EXPECT_TRUE(agent.WaitUntilDeserted());
  // What they leave behind is as good as new.
  agent.SetScript([](const std::string&) -> Reply { return {ScriptedAgent::Http(200, "whole")}; });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Fetch(To("GET", "/v1/kv/a"))->body(), "whole");
}

// The process would not end, or end with callers that were told nothing.
TEST_F(RelayTest, ShutdownEndsAll) {
  ScriptedAgent agent([](const std::string&) { return Endless(); });
  ConsulBackendOptions options;
  options.address = agent.url();
  options.max_connections = 20;  // of which two are for these
  Connect(options);
  RelayRequest request = To("GET", "/v1/kv/a");
  request.timeout = absl::InfiniteDuration();
  std::vector<Sent> all = {Send(request), Send(request, &Never)};
  ASSERT_TRUE(all[0].sink->WaitForBody(3));
  ASSERT_TRUE(all[1].sink->WaitForRefusal(1));
  all.push_back(Send(request));
  backend_->Shutdown();
  for (const Sent& sent : all) EXPECT_EQ(sent.sink->ends(), 1) << "by the time that Shutdown() has returned";
  all.push_back(Send(request));
  for (const Sent& sent : all) EXPECT_EQ(sent.sink->WaitForEnd(), "CANCELLED CANCELLED");
  backend_.reset();
  for (const Sent& sent : all) {
    sent.call->Resume();
    sent.call->Cancel();
    EXPECT_EQ(sent.sink->breach(), "");
  }
}

// A reader calls back from where it is told, and holds its call: it would lock up, or never be freed.
TEST_F(RelayTest, ASinkMayUseItsCall) {
  class Sink final : public RelaySink {
   public:
    explicit Sink(Pending<bool>* ended) : done_(ended->Callback()) {}
    void OnHead(RelayHead) override {}
    bool OnBody(std::string_view) override {
      MutexLock lock(mu_);
      // Before it has been handed its call, too.
      if (call == nullptr) return false;
      if (++pieces_ < 3) {
        call->Resume();
        return false;
      }
      call->Cancel();
      return true;
    }
    void OnEnd(const absl::Status& status) override { done_(absl::IsCancelled(status)); }
    void Take(std::shared_ptr<RelayCall> given) {
      MutexLock lock(mu_);
      call = std::move(given);
      call->Resume();
    }

   private:
    Mutex mu_;
    std::shared_ptr<RelayCall> call ABSL_GUARDED_BY(mu_);
    int pieces_ ABSL_GUARDED_BY(mu_) = 0;
    absl::AnyInvocable<void(bool)> done_;
  };
  ScriptedAgent agent([](const std::string&) { return Endless(); });
  Connect(agent.url());
  Pending<bool> cancelled;
  auto sink = std::make_shared<Sink>(&cancelled);
  sink->Take(backend_->Send(To("GET", "/v1/agent/monitor"), sink));
  EXPECT_TRUE(cancelled.Get(kBound).value_or(false));
  const std::weak_ptr<Sink> weak = sink;
  sink.reset();
  backend_->Shutdown();
  EXPECT_TRUE(weak.expired());
}

// A few that wait would keep everybody else from Consul; one that has ended would count for ever.
TEST_F(RelayTest, FewMayWait) {
  ScriptedAgent agent([](const std::string& request) -> Reply {
    return absl::EndsWith(request, "monitor") ? Endless() : Reply{ScriptedAgent::Http(200, "x")};
  });
  ConsulBackendOptions options;
  options.address = agent.url();
  options.max_connections = 40;  // eight for calls, four of these for what is relayed, two of these for what waits
  Connect(options);
  RelayRequest request = To("GET", "/v1/agent/monitor");
  request.timeout = absl::InfiniteDuration();
  request.waits = true;
  for (int round = 0; round < 3; ++round) {
    const Sent first = Send(request);
    const Sent second = Send(request, &Never);
    const auto refused = Fetch(request);
    EXPECT_EQ(refused->WaitForEnd(), "RESOURCE_EXHAUSTED CONSUL_OVERLOADED");
    EXPECT_TRUE(absl::StrContains(refused->message(), "--consul_max_connections")) << refused->message();
    EXPECT_EQ(Fetch(To("GET", "/v1/kv/a"))->body(), "x");
    first.call->Cancel();
    EXPECT_EQ(first.sink->WaitForEnd(), "CANCELLED CANCELLED");
    const Sent third = Send(request);
    EXPECT_TRUE(third.sink->WaitForBody(3));
    third.call->Cancel();
    second.call->Cancel();
    third.sink->WaitForEnd();
    second.sink->WaitForEnd();
  }
}

// Readers that do not read would keep the gateway itself from Consul.
TEST_F(RelayTest, SlowReadersHoldUpNobodyElse) {
  ScriptedAgent agent([](const std::string& request) -> Reply {
    return absl::StrContains(request, "?raw") ? Endless() : Reply{ScriptedAgent::Http(200, "[]")};
  });
  ConsulBackendOptions options;
  options.address = agent.url();
  options.max_connections = 3;
  Connect(options);
  std::vector<Sent> slow;
  for (int i = 0; i < 5; ++i) slow.push_back(Send(To("GET", "/v1/kv/a?raw"), &Never));
  ASSERT_TRUE(slow[0].sink->WaitForRefusal(1));
  Pending<absl::StatusOr<Answer<std::vector<ServiceSummary>>>> read;
  agent.SetScript([](const std::string&) -> Reply { return {ScriptedAgent::Http(200, "{}")}; });
  backend_->ReadCatalog({}, read.Callback());
  EXPECT_TRUE(read.Get(kBound)->ok());
  EXPECT_EQ(agent.connections(), 2);
}

// Readers would go on with an agent that was given up, and the gateway keep connections to it.
TEST_F(RelayTest, ChangingAgentsEndsWhatIsUnderWay) {
  ScriptedAgent first([](const std::string& request) -> Reply {
    return absl::EndsWith(request, "monitor") ? Endless() : Reply{"HTTP/1.1 500 Any\r\nContent-Length: 0\r\n\r\n"};
  });
  ScriptedAgent second([](const std::string& request) -> Reply {
    return request == kProbe ? ScriptedAgent::Leader() : Reply{ScriptedAgent::Http(200, "second")};
  });
  Connect(absl::StrCat(first.url(), ",", second.url()));
  RelayRequest request = To("GET", "/v1/agent/monitor");
  request.timeout = absl::InfiniteDuration();
  const Sent reads = Send(request);
  const Sent paused = Send(request, &Never);
  ASSERT_TRUE(reads.sink->WaitForBody(3));
  ASSERT_TRUE(paused.sink->WaitForRefusal(1));
  EXPECT_EQ(Fetch(To("GET", "/v1/kv/a"))->head().status, 500);
  EXPECT_EQ(reads.sink->WaitForEnd(), "UNAVAILABLE CONSUL_UNAVAILABLE");
  EXPECT_EQ(paused.sink->WaitForEnd(), "UNAVAILABLE CONSUL_UNAVAILABLE");
  paused.call->Resume();
  EXPECT_EQ(Fetch(To("GET", "/v1/kv/a"))->body(), "second");
  EXPECT_TRUE(first.WaitUntilDeserted());
}

}  // namespace
}  // namespace meshgate::consul::http
