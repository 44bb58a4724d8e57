// Reads the bodies of Consul's HTTP API.
//
// Each function takes the body of an answer that is known to be a 200, but for one. What is not JSON, is not whole, or
// has another shape than Consul gives is INTERNAL (UNEXPECTED_ANSWER), never an empty result: something that isn't
// Consul must not look like a deletion. Fields that we don't use are not looked at. Pure; any thread.
#ifndef MESHGATE_CONSUL_HTTP_PARSE_H_
#define MESHGATE_CONSUL_HTTP_PARSE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "consul/types.h"

namespace meshgate::consul::http {

// /v1/kv/: entries in byte order of their keys.
absl::StatusOr<std::vector<KvEntry>> ParseEntries(std::string body);

// /v1/health/service/: instances in the order given. A port or weight beyond what we can hold, which agents accept, is
// read as 0; an unknown status is critical.
absl::StatusOr<std::vector<Instance>> ParseInstances(std::string body);

// /v1/catalog/services: sorted by name, tags sorted.
absl::StatusOr<std::vector<ServiceSummary>> ParseCatalog(std::string body);

// /v1/txn with operations on keys alone: the entries that were read or written, in order, without values where they
// were written.
absl::StatusOr<std::vector<KvEntry>> ParseTxn(std::string body);

// What one operation of a transaction failed for, in Consul's words.
struct TxnError {
  // Its position in the transaction.
  uint64_t operation = 0;
  std::string what;
};

// The body of a transaction's 409. Unlike the rest it is read for an error's sake and never fails: without any words it
// is empty.
std::vector<TxnError> ParseTxnErrors(std::string body);

// An instance that a transaction has read.
struct TxnInstance {
  std::string id;
  std::string service;
};

// /v1/txn that reads instances: those that may be read, in the order of the operations.
absl::StatusOr<std::vector<TxnInstance>> ParseTxnInstances(std::string body);

// /v1/internal/acl/authorize: what is allowed, in the order of the questions.
absl::StatusOr<std::vector<bool>> ParseAuthorized(std::string body);

// /v1/agent/checks: the ids of an instance's TTL checks.
absl::StatusOr<std::vector<std::string>> ParseTtlChecks(std::string body, const std::string& instance_id);

// /v1/agent/service/ID: the service that it is an instance of.
absl::StatusOr<std::string> ParseAgentService(std::string body);

// /v1/status/leader: empty while there is none.
absl::StatusOr<std::string> ParseLeader(std::string body);

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_PARSE_H_
