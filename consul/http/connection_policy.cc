#include "consul/http/connection_policy.h"

#include <algorithm>
#include <utility>

namespace meshgate::consul::http {

ConnectionPolicy::ConnectionPolicy(int connections, bool tls)
    : connections_(connections), tls_(tls), shares_(tls), allowed_(tls ? 1 : connections) {}

bool ConnectionPolicy::Grow(int active) {
  const int wanted = active / kStreamsBeforeAnother + 1;
  return shares_ && wanted > allowed_ && Allow(wanted);
}

bool ConnectionPolicy::OnAnswer(bool http2, int active) {
  if (!tls_ || std::exchange(shares_, http2) == http2) return false;
  return Allow(http2 ? active / kStreamsBeforeAnother + 1 : connections_);
}

bool ConnectionPolicy::Allow(int connections) {
  const int allowed = std::min(connections, connections_);
  return std::exchange(allowed_, allowed) != allowed;
}

}  // namespace meshgate::consul::http
