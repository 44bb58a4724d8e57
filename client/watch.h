// Subscriptions that outlive connections: ConfigWatch for a key or a prefix, ServiceWatch for a service.
//
//   class Printer : public meshgate::client::ConfigWatch::Listener {
//     bool OnUpdate(const meshgate::client::ConfigWatch::Update& update) override {
//       for (const auto& event : update.changes) std::cout << event.entry().key() << "\n";
//       return true;
//     }
//   };
//   meshgate::v1::WatchConfigRequest request;
//   request.set_prefix("payments/");
//   meshgate::client::ConfigWatch watch(&client, request, {});
//   absl::Status ended = watch.Run(&printer, &cancellation);   // on a thread of the caller's
#ifndef MESHGATE_CLIENT_WATCH_H_
#define MESHGATE_CLIENT_WATCH_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/backoff.h"
#include "client/cancellation.h"
#include "client/client.h"
#include "client/state.h"

namespace meshgate::client {

struct WatchOptions {
  // False: Run() returns when the first stream ends.
  bool reconnect = true;
  BackoffOptions backoff;
};

// Keeps a local copy of one target. When the stream is lost it opens another, after a growing and randomised delay (or
// the longer one that the gateway asks for), behind the last response it applied: with its resume token where the
// gateway gave one, otherwise from a snapshot, of which only the differences are told. Only errors that say the request
// itself is wrong or not allowed end it; of the latter, only where there is no other token to try by then.
//
// Run() is called once. The watch may be read from inside the listener and after Run() has returned.
template <typename Traits>
class Watch {
 public:
  using Request = typename Traits::Request;
  using Response = typename Traits::Response;

  struct Update {
    // As it was received.
    const Response& response;
    // What it changed in the local copy, possibly nothing.
    const std::vector<typename Traits::Event>& changes;
    // After the changes.
    const WatchedState<Traits>& state;
    // The gateway has just lost Consul; the copy stays what it was.
    bool became_stale;
    // The gateway has Consul again.
    bool recovered;
  };

  // Called on the thread of Run(), one call at a time; a listener that is slow slows its own stream alone, and the
  // gateway then merges what it misses.
  class Listener {
   public:
    virtual ~Listener() = default;
    // Returns whether to go on.
    virtual bool OnUpdate(const Update& update) = 0;
    // The stream is lost, and another is opened after `retry_in`. The copy may be behind until the next update.
    virtual void OnDisconnected(const absl::Status& status, absl::Duration retry_in) {}
  };

  // `client` outlives the watch. `request.resume_token` resumes where an earlier watch stopped; then the first update
  // may hold changes without a state that was known before.
  Watch(Client* client, Request request, WatchOptions options);

  // Blocks until the listener has had enough (OK), `cancellation` (CANCELLED), an error that no retry mends, or without
  // `reconnect` the end of the first stream: its error, UNAVAILABLE where it ended without one. A null `cancellation`
  // never cancels, as in CallOptions.
  absl::Status Run(Listener* listener, Cancellation* cancellation);

  const WatchedState<Traits>& state() const { return state_; }

 private:
  // How one stream ended.
  struct Ending {
    absl::Status status;
    // What it was opened with.
    std::string token;
    bool received = false;
    bool enough = false;
    bool broke_contract = false;
  };

  Ending RunStream(Listener* listener, Cancellation* cancellation, const Request& request);

  Client* const client_;
  Request request_;
  const WatchOptions options_;
  WatchedState<Traits> state_;
};

using ConfigWatch = Watch<ConfigTraits>;
using ServiceWatch = Watch<ServiceTraits>;

extern template class Watch<ConfigTraits>;
extern template class Watch<ServiceTraits>;

}  // namespace meshgate::client

#endif  // MESHGATE_CLIENT_WATCH_H_
