// The loop while its agent is away, frozen, without a leader, or replaced by another one; scripted, to the request.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "consul/base/mutex.h"
#include "consul/http/curl_loop.h"
#include "tests/testing/pending.h"
#include "tests/testing/scripted_agent.h"

namespace meshgate::consul::http {
namespace {

using testing::Pending;
using testing::ScriptedAgent;
using Breaker = CircuitBreaker::State;
using End = Response::End;
using Reply = ScriptedAgent::Reply;
using Then = Reply::Then;

constexpr absl::Duration kBound = absl::Seconds(30);
constexpr char kProbe[] = "GET /v1/status/leader";

Reply Ok(const std::string& body = "x") { return {ScriptedAgent::Http(200, body), Then::kGoOn}; }
Reply Hold() { return {"", Then::kHold}; }

// An agent in good health.
Reply Healthy(const std::string& request) { return request == kProbe ? ScriptedAgent::Leader() : Ok(); }

Request Get(const std::string& target, absl::Duration timeout = kBound) {
  Request request;
  request.target = target;
  request.timeout = timeout;
  return request;
}

Request Patient(const std::string& target) {
  Request request = Get(target);
  request.patience = kBound;
  return request;
}

// A loop and what it has told about the agent.
class Watched {
 public:
  explicit Watched(const std::string& url, std::vector<std::string> fallbacks = {}, CurlLoopOptions options = {}) {
    options.base_url = url;
    options.fallback_urls = std::move(fallbacks);
    options.on_breaker = [this](Breaker state) {
      MutexLock lock(mu_);
      states_.push_back(state);
      changed_.NotifyAll();
    };
    options.on_agent = [this](std::string_view agent) {
      MutexLock lock(mu_);
      agents_.emplace_back(agent);
    };
    loop_ = std::make_unique<CurlLoop>(std::move(options));
  }

  CurlLoop* operator->() { return loop_.get(); }

  Pending<Response> Begin(Request request) {
    Pending<Response> pending;
    loop_->Start(std::move(request), pending.Callback());
    return pending;
  }
  Response Fetch(Request request) {
    std::optional<Response> response = Begin(std::move(request)).Get(kBound);
    EXPECT_TRUE(response.has_value()) << "no answer";
    return response.value_or(Response{});
  }

  // Waits for the `count`-th change to be to `state`.
  bool WaitFor(Breaker state, size_t count) {
    const absl::Time end = absl::Now() + kBound;
    MutexLock lock(mu_);
    while (states_.size() < count) {
      if (!changed_.WaitUntil(mu_, end) && absl::Now() >= end) return false;
    }
    return states_[count - 1] == state;
  }
  std::vector<Breaker> states() {
    MutexLock lock(mu_);
    return states_;
  }
  std::vector<std::string> agents() {
    MutexLock lock(mu_);
    return agents_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::vector<Breaker> states_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> agents_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<CurlLoop> loop_;
};

// Each of thousands of watches would go on to knock at an agent that is away; and when it is back, nobody would notice.
TEST(AgentLossTest, AwayMeansNoCallGoesOutUntilAProbeIsAnswered) {
  auto agent = std::make_unique<ScriptedAgent>(&Healthy);
  const uint16_t port = agent->port();
  Watched loop(agent->url());
  ASSERT_EQ(loop.Fetch(Get("/a")).code, 200);
  agent.reset();
  const Response failed = loop.Fetch(Get("/a"));
  EXPECT_EQ(failed.end, End::kBroken);
  ASSERT_TRUE(loop.WaitFor(Breaker::kOpen, 1));

  // It listens again, and is not well yet.
  ScriptedAgent sick([](const std::string&) { return Reply{ScriptedAgent::Http(500, "No known Consul servers")}; },
                     port);
  for (int i = 0; i < 1000; ++i) {
    const Response refused = loop.Fetch(Get("/a"));
    EXPECT_EQ(refused.end, End::kRefused);
    EXPECT_FALSE(refused.sent);
    EXPECT_NE(refused.error, "") << "what is wrong must be told to each";
  }
  ASSERT_TRUE(sick.WaitFor(kProbe, 5));
  EXPECT_EQ(loop.Fetch(Get("/a")).error, "its agent answers with HTTP 500");
  for (const std::string& request : sick.requests()) EXPECT_EQ(request, kProbe);

  sick.SetScript(&Healthy);
  ASSERT_TRUE(loop.WaitFor(Breaker::kHalfOpen, 2));
  EXPECT_EQ(loop.Fetch(Get("/a")).code, 200);
  ASSERT_TRUE(loop.WaitFor(Breaker::kClosed, 3));
  EXPECT_EQ(loop.Fetch(Get("/a")).code, 200);
}

// One target that fails, or a caller in a hurry, would cut off everybody.
TEST(AgentLossTest, NoSingleTargetOpensIt) {
  ScriptedAgent agent([](const std::string& request) -> Reply {
    if (request == "GET /broken") return {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", Then::kClose};
    if (request == "GET /failing") return {ScriptedAgent::Http(500, "no")};
    if (request == "GET /reset") return {"", Then::kReset};
    if (request == "GET /silent") return Hold();
    return Healthy(request);
  });
  Watched loop(agent.url());
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(loop.Fetch(Get("/broken")).end, End::kBroken);
    EXPECT_EQ(loop.Fetch(Get("/failing")).code, 500);
    EXPECT_EQ(loop.Fetch(Get("/reset")).end, End::kBroken);
    EXPECT_EQ(loop.Fetch(Get("/silent", absl::Milliseconds(1))).end, End::kTimedOut);
    EXPECT_EQ(loop.Fetch(Get("/fine")).code, 200);
  }
  EXPECT_GE(agent.count(kProbe), 1) << "it was asked";
  EXPECT_TRUE(loop.states().empty());
}

// A call that hangs would cut off everybody; or nobody would ask whether the agent is still there.
TEST(AgentLossTest, NorDoesACallThatHangs) {
  ScriptedAgent agent([](const std::string& request) { return request == "GET /silent" ? Hold() : Healthy(request); });
  Watched loop(agent.url());
  EXPECT_EQ(loop.Fetch(Get("/silent", absl::Milliseconds(1100))).end, End::kTimedOut);
  ASSERT_TRUE(agent.WaitFor(kProbe));
  EXPECT_EQ(loop.Fetch(Get("/fine")).code, 200);
  EXPECT_TRUE(loop.states().empty());
}

// An agent that is stopped takes connections for a long time: callers would wait out their deadlines one by one.
TEST(AgentLossTest, ASilentAgentIsAway) {
  ScriptedAgent agent([](const std::string&) { return Hold(); });
  CurlLoopOptions options;
  options.probe_timeout = absl::Milliseconds(200);
  Watched loop(agent.url(), {}, options);
  Request watch = Get("/watch");
  watch.pool = Pool::kWatch;
  Pending<Response> waiting = loop.Begin(watch);
  EXPECT_EQ(loop.Fetch(Get("/a", absl::Milliseconds(1100))).end, End::kTimedOut);
  ASSERT_TRUE(loop.WaitFor(Breaker::kOpen, 1));
  EXPECT_EQ(loop.Fetch(Get("/a")).end, End::kRefused);
  EXPECT_FALSE(waiting.ready()) << "what waits is left alone: it is answered when the agent goes on";
}

// Watches would poll an agent that is away, and find out late that it is back.
TEST(AgentLossTest, PatientRequestsWaitForTheAgent) {
  constexpr int kMany = 500;
  auto agent = std::make_unique<ScriptedAgent>(&Healthy);
  const uint16_t port = agent->port();
  CurlLoopOptions options;
  options.unary_connections = 8;
  Watched loop(agent->url(), {}, options);
  agent.reset();
  EXPECT_EQ(loop.Fetch(Get("/a")).end, End::kBroken);
  ASSERT_TRUE(loop.WaitFor(Breaker::kOpen, 1));
  std::vector<Pending<Response>> parked;
  for (int i = 0; i < kMany; ++i) parked.push_back(loop.Begin(Patient("/parked")));
  Pending<Response> cancelled;
  loop->Cancel(loop->Start(Patient("/cancelled"), cancelled.Callback()));
  EXPECT_EQ(cancelled.Get(kBound)->end, End::kCancelled);
  Request hasty = Patient("/hasty");
  hasty.patience = absl::Milliseconds(10);
  EXPECT_EQ(loop.Fetch(hasty).end, End::kRefused) << "patience has an end";
  // Its timeout begins when it goes out.
  Request brief = Patient("/brief");
  brief.timeout = absl::Milliseconds(1);
  brief.patience = kBound;
  Pending<Response> short_timeout = loop.Begin(brief);
  EXPECT_EQ(loop.Fetch(Get("/a")).end, End::kRefused);
  for (const auto& each : parked) EXPECT_FALSE(each.ready());
  EXPECT_FALSE(short_timeout.ready());

  ScriptedAgent back(&Healthy, port);
  for (const auto& each : parked) EXPECT_EQ(each.Get(kBound)->code, 200);
  EXPECT_TRUE(short_timeout.Wait(kBound));
  EXPECT_EQ(back.count("GET /parked"), kMany);
  EXPECT_EQ(back.count("GET /cancelled"), 0);
  EXPECT_LE(back.connections(), 8 + back.count(kProbe)) << "within the pool's share";
}

// Parked requests would hang a stop.
TEST(AgentLossTest, StoppingEndsTheParked) {
  auto agent = std::make_unique<ScriptedAgent>(&Healthy);
  Watched loop(agent->url());
  agent.reset();
  loop.Fetch(Get("/a"));
  ASSERT_TRUE(loop.WaitFor(Breaker::kOpen, 1));
  Pending<Response> parked = loop.Begin(Patient("/parked"));
  loop->Stop();
  EXPECT_EQ(parked.Get(kBound)->end, End::kCancelled);
}

// What queued for a connection would go on to wait for it, with an index that may not be true any more.
TEST(AgentLossTest, TheQueueIsSentBack) {
  ScriptedAgent agent([](const std::string&) { return Hold(); });
  CurlLoopOptions options;
  options.watch_connections = 1;
  options.probe_timeout = absl::Milliseconds(200);
  Watched loop(agent.url(), {}, options);
  Request watch = Get("/watch");
  watch.pool = Pool::kWatch;
  Pending<Response> running = loop.Begin(watch);
  ASSERT_TRUE(agent.WaitFor("GET /watch"));
  Pending<Response> queued = loop.Begin(watch);
  loop.Fetch(Get("/a", absl::Milliseconds(1100)));
  EXPECT_EQ(queued.Get(kBound)->end, End::kRefused);
  EXPECT_FALSE(running.ready());
}

// Stale reads and registrations, which an agent serves without a leader, would be lost with the leader.
TEST(AgentLossTest, WithoutALeaderWhatNeedsNoneGoesOut) {
  ScriptedAgent agent([](const std::string& request) -> Reply {
    if (request == kProbe) return Ok("\"\"");
    if (request == "GET /stale") return Ok();
    return {ScriptedAgent::Http(500, "No cluster leader")};
  });
  Watched loop(agent.url());
  EXPECT_EQ(loop.Fetch(Get("/a")).code, 500);
  ASSERT_TRUE(loop.WaitFor(Breaker::kOpen, 1));
  EXPECT_EQ(loop.Fetch(Get("/a")).end, End::kRefused);
  Request stale = Get("/stale");
  stale.needs_leader = false;
  EXPECT_EQ(loop.Fetch(stale).code, 200);
  agent.SetScript([](const std::string& request) -> Reply {
    return request == kProbe ? Reply{"", Then::kReset} : Hold();
  });
  Pending<Response> hangs = loop.Begin(stale);
  ASSERT_TRUE(agent.WaitFor("GET /stale", 2));
  agent.SetScript(&Healthy);
  ASSERT_TRUE(loop.WaitFor(Breaker::kClosed, 3));
  EXPECT_EQ(loop.Fetch(Get("/a")).code, 200);
}

// A query that was held through an election is answered before a probe knows of the new leader: the next one would be
// refused, and readers be told of an outage that is over.
TEST(AgentLossTest, AnAnswerThatTakesALeaderIsASignOfOne) {
  std::promise<void> election;
  const std::shared_future<void> over = election.get_future().share();
  std::atomic<int> probes{0};
  ScriptedAgent agent([&](const std::string& request) -> Reply {
    if (request == kProbe) return ++probes == 1 ? Ok("\"\"") : Hold();
    if (request == "GET /held") {
      over.wait();
      return Ok();
    }
    const bool elected = over.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    return elected ? Ok() : Reply{ScriptedAgent::Http(500, "No cluster leader")};
  });
  CurlLoopOptions options;
  options.probe_timeout = kBound;
  Watched loop(agent.url(), {}, options);
  Pending<Response> held = loop.Begin(Get("/held"));
  ASSERT_TRUE(agent.WaitFor("GET /held", 1));
  EXPECT_EQ(loop.Fetch(Get("/a")).code, 500);
  ASSERT_TRUE(loop.WaitFor(Breaker::kOpen, 1));
  EXPECT_EQ(loop.Fetch(Get("/a")).end, End::kRefused);
  election.set_value();
  EXPECT_TRUE(held.Wait(kBound));
  EXPECT_EQ(loop.Fetch(Get("/a")).code, 200);
}

// An agent at its limit of connections, which closes new ones at once, would pass for dead.
TEST(AgentLossTest, TheLimitOfConnectionsIsNotDeath) {
  std::atomic<int> closed{0};
  ScriptedAgent agent([&closed](const std::string& request) -> Reply {
    if (request == kProbe && ++closed < 4) return {"", Then::kClose};
    if (request == "GET /refused") return {"", Then::kClose};
    return Healthy(request);
  });
  Watched loop(agent.url());
  EXPECT_TRUE(loop.Fetch(Get("/refused")).closed_unanswered);
  ASSERT_TRUE(agent.WaitFor(kProbe, 4)) << "it is asked again until it is clear";
  EXPECT_EQ(loop.Fetch(Get("/a")).code, 200);
  EXPECT_TRUE(loop.states().empty());
}

// The gateway would be lost with one agent though it was told of another; or hold connections to both, and go back and
// forth.
TEST(AgentLossTest, TheNextAddressTakesOver) {
  auto first = std::make_unique<ScriptedAgent>(&Healthy);
  ScriptedAgent second(&Healthy);
  const uint16_t port = first->port();
  Watched loop(first->url(), {second.url()});
  EXPECT_EQ(loop.Fetch(Get("/a")).code, 200);
  EXPECT_EQ(second.connections(), 0) << "as long as the first one works";
  first.reset();
  EXPECT_EQ(loop.Fetch(Get("/a")).end, End::kBroken);
  ASSERT_TRUE(loop.WaitFor(Breaker::kClosed, 3));
  EXPECT_EQ(loop.agents(), std::vector<std::string>{second.url()});
  EXPECT_EQ(loop.Fetch(Get("/b")).code, 200);
  EXPECT_EQ(second.count("GET /b"), 1);

  ScriptedAgent again(&Healthy, port);
  EXPECT_EQ(loop.Fetch(Get("/c")).code, 200);
  EXPECT_EQ(again.connections(), 0) << "it stays where it is";
  EXPECT_EQ(second.count("GET /c"), 1);
}

// A frozen agent would keep the watches, and the connections, that it had.
TEST(AgentLossTest, NothingIsLeftWithAnAgentGivenUp) {
  std::atomic<bool> frozen{false};
  ScriptedAgent first(
      [&frozen](const std::string& request) { return frozen || request == "GET /watch" ? Hold() : Healthy(request); });
  ScriptedAgent second(&Healthy);
  CurlLoopOptions options;
  options.probe_timeout = absl::Milliseconds(200);
  Watched loop(first.url(), {second.url()}, options);
  EXPECT_EQ(loop.Fetch(Get("/idle")).code, 200);
  Request watch = Get("/watch");
  watch.pool = Pool::kWatch;
  Pending<Response> waiting = loop.Begin(watch);
  ASSERT_TRUE(first.WaitFor("GET /watch"));
  frozen = true;
  EXPECT_EQ(loop.Fetch(Get("/a", absl::Milliseconds(1100))).end, End::kTimedOut);
  const std::optional<Response> ended = waiting.Get(kBound);
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->end, End::kAbandoned);
  EXPECT_TRUE(ended->sent);
  EXPECT_TRUE(first.WaitUntilDeserted());
  EXPECT_EQ(loop.Fetch(Get("/b")).code, 200);
}

// A body that stops in the middle would hold its caller until the deadline, which for a watch is minutes away.
TEST(AgentLossTest, AnAnswerThatStallsIsBroken) {
  ScriptedAgent agent([](const std::string& request) -> Reply {
    if (request == "GET /stalls") return {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[{\"K", Then::kHold};
    if (request == "GET /head") return {"HTTP/1.1 200 OK\r\nX-Consul-Index: 5\r\n", Then::kHold};
    if (request == "GET /waits") return Hold();
    return Healthy(request);
  });
  CurlLoopOptions options;
  options.stall_timeout = absl::Milliseconds(100);
  Watched loop(agent.url(), {}, options);
  Pending<Response> waits = loop.Begin(Get("/waits"));
  for (const char* target : {"/stalls", "/head"}) {
    const Response response = loop.Fetch(Get(target));
    EXPECT_EQ(response.end, End::kBroken) << target;
    EXPECT_TRUE(response.received);
    EXPECT_TRUE(response.sent);
    EXPECT_FALSE(response.closed_unanswered);
    EXPECT_EQ(response.body, "");
    EXPECT_EQ(response.error, "an answer began and did not go on");
  }
  EXPECT_FALSE(waits.ready()) << "a blocking query waits before its answer begins";
}

}  // namespace
}  // namespace meshgate::consul::http
