#include "consul/resilience/circuit_breaker.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace meshgate::consul {
namespace {

using State = CircuitBreaker::State;
using Probe = CircuitBreaker::Probe;

const absl::Time kStart = absl::UnixEpoch() + absl::Hours(1);

enum class Event {
  kFailure,   // a call fails
  kAnswer,    // a call is answered
  kProbe,     // the probe that is due is sent; it must be due
  kAnswered,  // what became of it
  kAway,
  kUnclear,
  kSecond,  // a second passes
};

struct Step {
  Event event;
  State state;  // expected after it
  bool due;     // expected: a probe is due now
};

struct Rule {
  const char* broken_if_it_fails;
  std::vector<Step> steps;
};

// Sends the probe as soon as it is due, which it must be within a second.
void SendProbe(CircuitBreaker& breaker, absl::Time& now) {
  ASSERT_LE(breaker.next_probe(), now + absl::Seconds(1));
  now = std::max(now, breaker.next_probe());
  breaker.OnProbeSent();
  EXPECT_EQ(breaker.next_probe(), absl::InfiniteFuture()) << "one at a time";
}

// Each row is one rule of the breaker, told as a series of events.
TEST(CircuitBreakerTest, Rules) {
  constexpr State C = State::kClosed, H = State::kHalfOpen, O = State::kOpen;
  const std::vector<Rule> rules = {
      {"answers raise no doubt", {{Event::kAnswer, C, false}, {Event::kSecond, C, false}}},
      {"a failure asks the agent, and its answer ends the doubt: one target that fails opens nothing",
       {{Event::kFailure, C, true}, {Event::kProbe, C, false}, {Event::kAnswered, C, false}}},
      {"any number of failures is one question, also while it is under way",
       {{Event::kFailure, C, true},
        {Event::kFailure, C, true},
        {Event::kProbe, C, false},
        {Event::kFailure, C, false},
        {Event::kAnswered, C, false}}},
      {"a target that always fails is one question in a while, not one each time",
       {{Event::kFailure, C, true},
        {Event::kProbe, C, false},
        {Event::kAnswered, C, false},
        {Event::kFailure, C, false},
        {Event::kSecond, C, true}}},
      {"an agent that does not answer the probe is away, and asked again after a while",
       {{Event::kFailure, C, true}, {Event::kProbe, C, false}, {Event::kAway, O, false}, {Event::kSecond, O, true}}},
      {"failures of what was under way change nothing then",
       {{Event::kFailure, C, true},
        {Event::kProbe, C, false},
        {Event::kAway, O, false},
        {Event::kFailure, O, false},
        {Event::kSecond, O, true}}},
      {"its return is half-open, and closed a second later",
       {{Event::kFailure, C, true},
        {Event::kProbe, C, false},
        {Event::kAway, O, false},
        {Event::kProbe, O, false},
        {Event::kAway, O, false},
        {Event::kProbe, O, false},
        {Event::kAnswered, H, false},
        {Event::kSecond, C, false}}},
      {"half-open, a failure asks, and an agent that is away again is open again",
       {{Event::kFailure, C, true},
        {Event::kProbe, C, false},
        {Event::kAway, O, false},
        {Event::kProbe, O, false},
        {Event::kAnswered, H, false},
        {Event::kFailure, H, false},
        {Event::kProbe, H, false},
        {Event::kAway, O, false}}},
      {"half-open, a doubt that is answered goes on towards closed, and one that is not does not get there",
       {{Event::kFailure, C, true},
        {Event::kProbe, C, false},
        {Event::kAway, O, false},
        {Event::kProbe, O, false},
        {Event::kAnswered, H, false},
        {Event::kFailure, H, false},
        {Event::kProbe, H, false},
        {Event::kSecond, H, false},
        {Event::kAnswered, H, false},
        {Event::kSecond, C, false}}},
      {"a connection that was closed at once may be the limit of connections: it is asked again, and opens nothing",
       {{Event::kFailure, C, true},
        {Event::kProbe, C, false},
        {Event::kUnclear, C, false},
        {Event::kSecond, C, true},
        {Event::kProbe, C, false},
        {Event::kAnswered, C, false}}},
      {"nor does it close anything",
       {{Event::kFailure, C, true},
        {Event::kProbe, C, false},
        {Event::kAway, O, false},
        {Event::kProbe, O, false},
        {Event::kUnclear, O, false},
        {Event::kSecond, O, true}}},
  };
  for (const Rule& rule : rules) {
    SCOPED_TRACE(rule.broken_if_it_fails);
    CircuitBreaker breaker({}, /*seed=*/7);
    absl::Time now = kStart;
    for (size_t i = 0; i < rule.steps.size(); ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      switch (rule.steps[i].event) {
        case Event::kFailure:
          breaker.OnFailure(now);
          break;
        case Event::kAnswer:
          breaker.OnAnswer(now);
          break;
        case Event::kProbe:
          SendProbe(breaker, now);
          break;
        case Event::kAnswered:
          breaker.OnProbe(Probe::kAnswered, false, now);
          break;
        case Event::kAway:
          breaker.OnProbe(Probe::kAway, false, now);
          break;
        case Event::kUnclear:
          breaker.OnProbe(Probe::kUnclear, false, now);
          break;
        case Event::kSecond:
          now += absl::Seconds(1);
          breaker.Advance(now);
          break;
      }
      EXPECT_EQ(breaker.state(), rule.steps[i].state);
      EXPECT_EQ(breaker.next_probe() <= now, rule.steps[i].due);
      EXPECT_EQ(breaker.state() == State::kOpen && breaker.Admit(now), false);
      EXPECT_EQ(breaker.state() == State::kClosed && !breaker.Admit(now), false);
    }
  }
}

CircuitBreaker Opened(absl::Time now, uint64_t seed) {
  CircuitBreaker breaker({}, seed);
  breaker.OnFailure(now);
  breaker.OnProbeSent();
  breaker.OnProbe(Probe::kAway, false, now);
  return breaker;
}

// Gateways that lost an agent together would ask it together, or an agent that is back would wait to be asked.
TEST(CircuitBreakerTest, ProbesAreSpreadAndNeverFarApart) {
  int early = 0, late = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    absl::Time now = kStart;
    CircuitBreaker breaker = Opened(now, seed);
    for (int i = 0; i < 20; ++i) {
      const absl::Duration pause = breaker.next_probe() - now;
      EXPECT_GE(pause, absl::ZeroDuration());
      EXPECT_LE(pause, i == 0 ? absl::Milliseconds(50) : absl::Milliseconds(500));
      if (i == 19) ++(pause < absl::Milliseconds(250) ? early : late);
      SendProbe(breaker, now);
      breaker.OnProbe(Probe::kAway, false, now);
    }
  }
  EXPECT_GT(early, 60);
  EXPECT_GT(late, 60);
}

// An agent that was merely stopped answers what it was asked before, and would then wait for the next probe.
TEST(CircuitBreakerTest, ALateAnswerBringsTheProbeForward) {
  absl::Time now = kStart;
  CircuitBreaker breaker = Opened(now, 1);
  for (int i = 0; i < 10; ++i) {
    SendProbe(breaker, now);
    breaker.OnProbe(Probe::kAway, false, now);
  }
  breaker.OnAnswer(now);
  EXPECT_LE(breaker.next_probe(), now + absl::Milliseconds(50));
  breaker.OnProbeSent();
  breaker.OnProbe(Probe::kAway, false, now);
  for (int i = 0; i < 1000; ++i) breaker.OnAnswer(now);
  EXPECT_GT(breaker.next_probe(), now) << "and not one probe for each";
}

// A second agent would wait for the first one's next turn.
TEST(CircuitBreakerTest, AnotherAgentIsAskedAtOnce) {
  absl::Time now = kStart;
  CircuitBreaker breaker({}, 1);
  breaker.OnFailure(now);
  breaker.OnProbeSent();
  breaker.OnProbe(Probe::kAway, /*at_once=*/true, now);
  EXPECT_EQ(breaker.state(), State::kOpen);
  EXPECT_EQ(breaker.next_probe(), now);
}

// Something that takes connections and closes them, such as a proxy without a Consul behind it, would never count as
// away; an agent at its limit, which goes on to answer over the connections that there are, would.
TEST(CircuitBreakerTest, UnclearForLongIsAwayUnlessCallsAreAnswered) {
  for (const bool answers : {false, true}) {
    absl::Time now = kStart;
    CircuitBreaker breaker({}, 1);
    breaker.OnFailure(now);
    for (int i = 0; i < 100; ++i) {
      SendProbe(breaker, now);
      breaker.OnProbe(Probe::kUnclear, false, now);
      if (answers) breaker.OnAnswer(now);
    }
    EXPECT_EQ(breaker.state(), answers ? State::kClosed : State::kOpen);
  }
}

// Ten thousand calls that waited would arrive at an agent that has just started as one, or trickle.
TEST(CircuitBreakerTest, CallsComeBackInAGrowingNumber) {
  absl::Time now = kStart;
  CircuitBreaker breaker = Opened(now, 1);
  breaker.OnProbeSent();
  breaker.OnProbe(Probe::kAnswered, false, now);
  int total = 0;
  std::vector<int> admitted;
  while (breaker.state() == State::kHalfOpen && total < 10'000) {
    admitted.push_back(0);
    while (breaker.Admit(now) && total < 10'000) ++admitted.back(), ++total;
    const absl::Time next = breaker.NextChange(now);
    EXPECT_EQ(next, now + absl::Milliseconds(100));
    now = next;
    breaker.Advance(now);
  }
  EXPECT_EQ(total, 10'000);
  const std::vector<int> want = {64, 128, 256, 512, 1024, 2048, 4096, 10'000 - 8128};
  EXPECT_EQ(admitted, want) << "all of them within a second";
  // A doubt holds back the rest until it is cleared.
  breaker.OnFailure(now);
  EXPECT_FALSE(breaker.Admit(now));
  EXPECT_EQ(breaker.NextChange(now), absl::InfiniteFuture());
  SendProbe(breaker, now);
  breaker.OnProbe(Probe::kAnswered, false, now);
  EXPECT_TRUE(breaker.Admit(now));
}

}  // namespace
}  // namespace meshgate::consul
