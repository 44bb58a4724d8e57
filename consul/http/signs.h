// What an answer, or the lack of one, says about the agent, as opposed to what was asked of it (status_map.h).
#ifndef MESHGATE_CONSUL_HTTP_SIGNS_H_
#define MESHGATE_CONSUL_HTTP_SIGNS_H_

#include <string>

#include "consul/http/curl_loop.h"
#include "consul/resilience/circuit_breaker.h"

namespace meshgate::consul::http {

enum class Sign {
  // Nothing: it was cancelled, did not wait long enough to tell, or never went out.
  kNone,
  // It answers.
  kAnswers,
  // An agent that is away, or its leader, would explain it: no connection, a broken one, silence, a 5xx, an answer that
  // is not HTTP.
  kMayBeAway
};

// Of any call. A caller's own short deadline is no sign: silence counts from a second on.
Sign SignOf(const Response& response);

struct ProbeResult {
  CircuitBreaker::Probe probe = CircuitBreaker::Probe::kUnclear;
  // The agent is there and says that its cluster has no leader, which counts as away.
  bool leaderless = false;
};

// Of a probe, which asks for /v1/status/leader.
ProbeResult ProbeResultOf(const Response& response);

// In words, what is wrong with an agent that a probe has shown to be away: "its agent does not answer".

std::string WhyAway(const Response& response);

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_SIGNS_H_
