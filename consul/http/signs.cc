#include "consul/http/signs.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "consul/http/parse.h"

namespace meshgate::consul::http {
namespace {

using End = Response::End;
using Probe = CircuitBreaker::Probe;

// An agent that is there begins to answer a plain call in milliseconds.
constexpr absl::Duration kSilence = absl::Seconds(1);

}  // namespace

Sign SignOf(const Response& response) {
  switch (response.end) {
    case End::kAnswered:
      return response.code < 500 ? Sign::kAnswers : Sign::kMayBeAway;
    case End::kBroken:
    case End::kNotHttp:
      return Sign::kMayBeAway;
    case End::kTimedOut:
      return !response.received && response.tried >= kSilence ? Sign::kMayBeAway : Sign::kNone;
    case End::kTooLarge:
    case End::kCancelled:
    case End::kLocalFailure:
    case End::kRefused:
    case End::kAbandoned:
      return Sign::kNone;
  }
  return Sign::kNone;
}

ProbeResult ProbeResultOf(const Response& response) {
  switch (response.end) {
    case End::kAnswered:
      break;
    case End::kCancelled:
    case End::kLocalFailure:
      return {Probe::kUnclear};
    case End::kBroken:
      return {response.closed_unanswered ? Probe::kUnclear : Probe::kAway};
    default:
      return {Probe::kAway};
  }
  if (response.code != 200) {
    // A refusal comes from somebody who is there; a redirect from somebody else.
    return {response.code >= 400 && response.code < 500 ? Probe::kAnswered : Probe::kAway};
  }
  const absl::StatusOr<std::string> leader = ParseLeader(response.body);
  if (!leader.ok()) return {Probe::kAway};
  return {leader->empty() ? Probe::kAway : Probe::kAnswered, leader->empty()};
}

std::string WhyAway(const Response& response) {
  if (response.end == End::kTimedOut) return "its agent does not answer";
  if (response.end != End::kAnswered) return response.error.empty() ? "its agent breaks connections" : response.error;
  if (ProbeResultOf(response).leaderless) return "its agent knows of no leader";
  if (response.code == 200) return "what answers is not Consul; check that --consul_address is a Consul agent's";
  return absl::StrCat("its agent answers with HTTP ", response.code);
}

}  // namespace meshgate::consul::http
