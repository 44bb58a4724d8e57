// What the headers of an answer say about it.
#ifndef MESHGATE_CONSUL_HTTP_META_H_
#define MESHGATE_CONSUL_HTTP_META_H_

#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/http/curl_loop.h"

namespace meshgate::consul::http {

// Only where Consul denies it.
bool KnownLeader(const Response& response);

// Zero where it is not said.
absl::Duration LastContact(const Response& response);

// Of a 200, or a 404 that means "none": its index is one to block on. An index of 0, which a new store may have, would
// not block and becomes 1.
AnswerMeta MetaOf(const Response& response, absl::Time received);

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_META_H_
