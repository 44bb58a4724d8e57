// Answers as Consul gives them.
#ifndef MESHGATE_SERVER_HTTP_CONSUL_ANSWER_H_
#define MESHGATE_SERVER_HTTP_CONSUL_ANSWER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/types.h"
#include "consul/watch/hub.h"
#include "server/http/router.h"

namespace meshgate::server::consul_api {

// google.rpc.ErrorInfo.reason of what is not served where the gateway has no Consul to pass it on to. Part of the public
// API: add, never rename.
inline constexpr std::string_view kNotServed = "NOT_SERVED";  // 501

// The name in responses of google.rpc.ErrorInfo.reason.
inline constexpr char kReasonHeader[] = "X-Meshgate-Reason";

// Consul's errors are a line of text. With `status`'s message, and the HTTP status that Consul has for it: 403 for
// whatever is denied, 500 where it cannot be reached or has no leader.
HttpResponse ErrorAnswer(const absl::Status& status);
// What the status of a call is that was answered so.
absl::Status StatusOfAnswer(int http_status);

HttpResponse JsonAnswer(std::string body);

// X-Consul-Index, X-Consul-KnownLeader and X-Consul-LastContact.
void AddIndex(uint64_t index, HttpResponse* response);
void AddMeta(const consul::CachedState& state, HttpResponse* response);

// How the entries of a read are written.
struct EntriesFormat {
  // The value of the one entry as it is.
  bool raw = false;
  bool pretty = false;
};

// Entries as Consul writes them: 404 where there are none. Encoded in a time that goes with their size.
HttpResponse EntriesAnswer(const std::vector<consul::KvEntry>& entries, const EntriesFormat& format);

// The names of keys, of which those that go on after `separator` are one.
HttpResponse KeysAnswer(const std::vector<consul::KvEntry>& entries, const std::string& prefix,
                        const std::string& separator, bool pretty);

// What a query was answered with.
HttpResponse QueryAnswerOf(const consul::QueryAnswer& answer);

}  // namespace meshgate::server::consul_api

#endif  // MESHGATE_SERVER_HTTP_CONSUL_ANSWER_H_
