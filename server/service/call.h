// What a handler knows of a call, whichever transport brought it.
#ifndef MESHGATE_SERVER_SERVICE_CALL_H_
#define MESHGATE_SERVER_SERVICE_CALL_H_

#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "server/auth/identity.h"
#include "server/limits/limits.h"

namespace meshgate::server {

struct Caller {
  // "ipv4:127.0.0.1:41234", as gRPC writes it.
  std::string peer;
  // Who the caller's certificate says that it is, where it has shown one that was verified: its SPIFFE ID or else its
  // common name (server/tls/identity.h). Empty: unknown.
  std::string tls_identity;
  // From the caller's metadata `x-request-id`, or made up: ties a call's log lines together.
  std::string request_id;
  // What is left of the caller's deadline when the handler is called; InfiniteDuration() without one.
  absl::Duration time_left = absl::InfiniteDuration();
  // Null where nobody is asked for permission.
  auth::SharedIdentity identity;

  // Where the call's stream counts. Null: nobody counts, or it is no stream.
  limits::Limits::Place* place = nullptr;

  // What its stream will watch. RESOURCE_EXHAUSTED where that would be too much.
  absl::Status TakeTarget(const consul::Target& target) const {
    return place == nullptr ? absl::OkStatus() : place->TakeTarget(target);
  }

  // What is asked of Consul for this caller: with its own token, or with the gateway's where callers have none.
  consul::CallToken token() const { return identity == nullptr ? std::nullopt : identity->token(); }
};

// Answers a unary call. Called exactly once, from any thread, possibly inside the handler.
template <typename Response>
using Reply = absl::AnyInvocable<void(absl::StatusOr<Response>)>;

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_SERVICE_CALL_H_
