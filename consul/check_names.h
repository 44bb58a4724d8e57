// What checks are called. Both backends use the same names, so that a filter that selects by them means the same.
#ifndef MESHGATE_CONSUL_CHECK_NAMES_H_
#define MESHGATE_CONSUL_CHECK_NAMES_H_

#include <cstddef>
#include <string>

#include "consul/types.h"

namespace meshgate::consul {

// "service:ID:ttl", or "service:ID:probe-N" with the check's position, from 1. The suffixes differ from those that
// Consul gives to checks without an id ("service:ID", "service:ID:1"), so that other tools' instances keep theirs.
std::string CheckId(const Registration& registration, size_t position);

// The id of an instance's TTL check, so that a heartbeat needs no look-up.
std::string TtlCheckId(const std::string& instance_id);

// As it was registered or, without a name, "HTTP check of SERVICE" and the like.
std::string CheckName(const Registration& registration, size_t position);

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_CHECK_NAMES_H_
