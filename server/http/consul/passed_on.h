// Requests that Consul answers itself.
#ifndef MESHGATE_SERVER_HTTP_CONSUL_PASSED_ON_H_
#define MESHGATE_SERVER_HTTP_CONSUL_PASSED_ON_H_

#include <functional>

#include "absl/status/status.h"
#include "consul/backend.h"
#include "server/http/consul/call.h"

namespace meshgate::server::consul_api {

// Sends a request on with its body and its headers, and gives back what comes. An answer to a read that is large or
// takes its time is given bit by bit, as fast as the caller takes it; of one that breaks off the connection does, too.
// On the connection's thread.
void PassOn(const SharedRequest& request, consul::CallToken token);

// What to do with a read that Consul could not answer: takes the request over, with what it would be answered.
using IfAway = std::function<void(const SharedRequest&, HttpResponse)>;

// The same for a read that something can be known of while Consul is away or has no leader.
void PassOnOr(const SharedRequest& request, consul::CallToken token, IfAway if_away);

// The same for a request that is attached to its connection already, as a read that does not wait: its answer is given
// when it is whole.
void PassOnWhole(const SharedRequest& request, consul::CallToken token);

}  // namespace meshgate::server::consul_api

#endif  // MESHGATE_SERVER_HTTP_CONSUL_PASSED_ON_H_
