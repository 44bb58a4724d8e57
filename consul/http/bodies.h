// Writes the bodies that Consul's HTTP API takes. Pure; any thread.
#ifndef MESHGATE_CONSUL_HTTP_BODIES_H_
#define MESHGATE_CONSUL_HTTP_BODIES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "consul/types.h"

namespace meshgate::consul::http {

// /v1/txn with one operation: writes the entry, as Backend::PutKey defines `if_modify_index`.
std::string TxnPutBody(const KvEntry& entry, std::optional<uint64_t> if_modify_index);

// /v1/txn with one operation: deletes what begins with `prefix`.
std::string TxnDeletePrefixBody(const std::string& prefix);

// /v1/txn with all of the operations, in order. At most CommitBytes() of consul/validate.h.
std::string TxnBody(const std::vector<KvOperation>& operations);

// /v1/txn that changes nothing, and whose errors tell which of the keys exist. Reading the keys themselves would carry
// their values.
std::string TxnFindKeysBody(const std::vector<std::string>& keys);

// /v1/txn that reads instances.
std::string TxnGetInstancesBody(const std::vector<InstanceName>& instances);

// /v1/internal/acl/authorize.
std::string AuthorizeBody(const std::vector<Permission>& permissions);

// /v1/agent/service/register. Agents that know of it are told not to follow redirects of HTTP checks, by which an
// instance could send them elsewhere: since 1.9.17, 1.10.10, 1.11.5 and 1.12. Others refuse what they do not know.
std::string RegistrationBody(const Registration& registration, bool disable_redirects = true);

// /v1/agent/check/update/. `health` is not kMaintenance.
std::string CheckUpdateBody(Health health, const std::string& note);

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_BODIES_H_
