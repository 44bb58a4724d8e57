#include "consul/http/signs.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace meshgate::consul::http {
namespace {

using End = Response::End;
using Probe = CircuitBreaker::Probe;

Response Answered(int code, std::string body = "") {
  Response response;
  response.end = End::kAnswered;
  response.code = code;
  response.body = std::move(body);
  response.sent = response.received = true;
  return response;
}

Response Ended(End end, absl::Duration tried = absl::ZeroDuration()) {
  Response response;
  response.end = end;
  response.tried = tried;
  return response;
}

// A caller's haste or mistake would raise doubts about the agent, or a frozen agent none.
TEST(SignsTest, OfCalls) {
  Response dripping = Ended(End::kTimedOut, absl::Seconds(9));
  dripping.received = true;
  const std::vector<std::pair<Response, Sign>> cases = {
      {Answered(200), Sign::kAnswers},
      {Answered(404), Sign::kAnswers},
      {Answered(403), Sign::kAnswers},
      {Answered(429), Sign::kAnswers},
      {Answered(500, "No cluster leader"), Sign::kMayBeAway},
      {Answered(502, "<html>"), Sign::kMayBeAway},
      {Ended(End::kBroken), Sign::kMayBeAway},
      {Ended(End::kNotHttp), Sign::kMayBeAway},
      {Ended(End::kTimedOut, absl::Seconds(1)), Sign::kMayBeAway},
      {Ended(End::kTimedOut, absl::Milliseconds(999)), Sign::kNone},
      {Ended(End::kTimedOut), Sign::kNone},
      {dripping, Sign::kNone},
      {Ended(End::kTooLarge), Sign::kNone},
      {Ended(End::kCancelled, absl::Seconds(9)), Sign::kNone},
      {Ended(End::kLocalFailure), Sign::kNone},
      {Ended(End::kRefused), Sign::kNone},
      {Ended(End::kAbandoned, absl::Seconds(9)), Sign::kNone},
  };
  for (const auto& [response, want] : cases) {
    EXPECT_EQ(SignOf(response), want) << static_cast<int>(response.end) << " " << response.code;
  }
}

// Something that only answers would pass for Consul, or an agent without a leader, or at its limit, for a good or a
// dead one.
TEST(SignsTest, OfProbes) {
  EXPECT_EQ(WhyAway(Answered(200, "\"\"")), "its agent knows of no leader");
  EXPECT_EQ(WhyAway(Answered(503, "<html>")), "its agent answers with HTTP 503");
  EXPECT_EQ(WhyAway(Ended(End::kTimedOut)), "its agent does not answer");
  Response closed = Ended(End::kBroken);
  closed.closed_unanswered = true;
  const struct {
    Response response;
    Probe want;
    bool leaderless = false;
  } cases[] = {
      {Answered(200, "\"127.0.0.1:8300\""), Probe::kAnswered},
      {Answered(200, "\"\""), Probe::kAway, true},
      {Answered(200, "<html>maintenance</html>"), Probe::kAway},
      {Answered(200, ""), Probe::kAway},
      {Answered(302), Probe::kAway},
      {Answered(403, "Permission denied"), Probe::kAnswered},
      {Answered(429), Probe::kAnswered},
      {Answered(500, "No known Consul servers"), Probe::kAway},
      {Answered(503), Probe::kAway},
      {Ended(End::kBroken), Probe::kAway},
      {closed, Probe::kUnclear},
      {Ended(End::kTimedOut), Probe::kAway},
      {Ended(End::kNotHttp), Probe::kAway},
      {Ended(End::kLocalFailure), Probe::kUnclear},
  };
  for (const auto& c : cases) {
    const ProbeResult result = ProbeResultOf(c.response);
    EXPECT_EQ(result.probe, c.want) << c.response.code << " " << c.response.body;
    EXPECT_EQ(result.leaderless, c.leaderless);
  }
}

}  // namespace
}  // namespace meshgate::consul::http
