#include "consul/http/meta.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace meshgate::consul::http {

bool KnownLeader(const Response& response) {
  return !absl::EqualsIgnoreCase(response.headers.consul_known_leader, "false");
}

absl::Duration LastContact(const Response& response) {
  uint64_t millis = 0;
  if (!absl::SimpleAtoi(response.headers.consul_last_contact, &millis)) return absl::ZeroDuration();
  return absl::Milliseconds(millis);
}

AnswerMeta MetaOf(const Response& response, absl::Time received) {
  AnswerMeta meta;
  uint64_t index = 0;
  if (absl::SimpleAtoi(response.headers.consul_index, &index)) meta.index = std::max<uint64_t>(index, 1);
  meta.known_leader = KnownLeader(response);
  meta.last_contact = LastContact(response);
  meta.received = received;
  return meta;
}

}  // namespace meshgate::consul::http
