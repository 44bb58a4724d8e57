// What an answer of Consul, or the lack of one, means.
#ifndef MESHGATE_CONSUL_HTTP_STATUS_MAP_H_
#define MESHGATE_CONSUL_HTTP_STATUS_MAP_H_

#include "absl/status/status.h"
#include "consul/http/curl_loop.h"
#include "consul/reporter.h"

namespace meshgate::consul::http {

// What was asked, as far as it changes what an answer means.
struct Asked {
  Endpoint endpoint = Endpoint::kKv;
  // Whether it changes something at Consul.
  bool write = false;
  // Whether that depends on what is there: a compare-and-set.
  bool compares = false;
  // Whether the caller gave the operations of the transaction: an error of one of them then begins with which,
  // "operations[3]: ".
  bool commit = false;
};

// The one place where Consul's answers become our errors (consul/backend.h has the list). OK: the answer means what it
// says. That is a 200, or for a read of keys a 404 with an index, which means that there are none; a body that says
// `false` is a compare-and-set that failed.
//
// A write that was begun and has no clear answer is UNAVAILABLE (WRITE_OUTCOME_UNKNOWN), or DEADLINE_EXCEEDED with a
// message that says the same. A 5xx is no clear answer.
//
// Consul's limit of connections accepts a connection and closes it without a word, which a kill of the agent does, too.
// A TLS handshake that ends so, and a read over a connection of its own that ends so at once, are taken for the limit
// (RESOURCE_EXHAUSTED); a read that had waited, and every write that was begun, for UNAVAILABLE.
absl::Status StatusOf(const Asked& asked, const Response& response);

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_STATUS_MAP_H_
