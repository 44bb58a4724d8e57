// Reads that are answered from the hub, blocking queries above all.
#ifndef MESHGATE_SERVER_HTTP_CONSUL_BLOCKING_READ_H_
#define MESHGATE_SERVER_HTTP_CONSUL_BLOCKING_READ_H_

#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "consul/watch/hub.h"
#include "server/http/consul/answer.h"
#include "server/http/consul/call.h"
#include "server/http/exchange.h"

namespace meshgate::server::consul_api {

// What is read, how it is written, and what to do where the hub cannot tell.
struct HubRead {
  consul::Target target;
  ReadHow how;
  // Of the state that the caller may see. Called off the connection's thread.
  std::function<HttpResponse(const consul::State&)> answer;
  // Takes the request over with the hub's error. Null: that is the answer.
  std::function<void(const SharedRequest&, const absl::Status&)> fall_back;
  // The hub only says when: `fall_back` then takes the request over, with OK.
  bool only_when = false;
  // Where Consul hides what a caller may not read and refuses nothing: what to read for whoever may see nothing of it.
  std::shared_ptr<const HubRead> where_hidden;
};

// Answers from the hub as Consul would by itself: at once where the index of what is there has passed the caller's, and
// otherwise when it does or the wait is over. However many wait for a target, it is one query upstream. While Consul is
// away the answer is the last known state when the wait is over, with X-Consul-KnownLeader: false and its age as
// X-Consul-LastContact.
//
// With a guard nothing is given that Consul, or the list, does not let the caller read. On the connection's thread.
void ServeBlocking(const SharedRequest& request, HubRead read);

// The same without waiting for a change: for those who may be given an older state.
void ServeCached(const SharedRequest& request, HubRead read);

// The same for a request that Consul could not answer, whatever the hub has noticed of that, and that is attached to
// its connection already.
void ServeLastKnown(const SharedRequest& request, HubRead read);

}  // namespace meshgate::server::consul_api

#endif  // MESHGATE_SERVER_HTTP_CONSUL_BLOCKING_READ_H_
