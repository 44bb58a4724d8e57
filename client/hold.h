// A registration that lives as long as the program does.
//
//   meshgate::v1::RegisterRequest registration;
//   registration.mutable_instance()->set_service("web");
//   registration.mutable_instance()->set_port(8080);
//   meshgate::client::Hold hold(&client, registration, {});
//   absl::Status ended = hold.Run(&listener, &cancellation);   // on a thread of the caller's
#ifndef MESHGATE_CLIENT_HOLD_H_
#define MESHGATE_CLIENT_HOLD_H_

#include <functional>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/backoff.h"
#include "client/cancellation.h"
#include "client/client.h"

namespace meshgate::client {

struct HoldOptions {
  // How long the gateway keeps the instance after the stream was lost. Zero: its default.
  absl::Duration linger;
  // False: Run() returns when the first stream ends.
  bool reconnect = true;
  // Short delays, so that a stream comes back before the gateway gives the instance up.
  BackoffOptions backoff = {absl::Milliseconds(200), absl::Seconds(2), 1.6, 0.5};
  // How long the end may take once Run() is cancelled.
  absl::Duration goodbye = absl::Seconds(5);
};

// Keeps one instance registered with RegistryService.HoldRegistration, and opens another stream when that is lost:
// within `linger` no reader sees anything. Errors that say that the registration is wrong or not allowed, or that
// somebody else has the id now (ABORTED), end it; what is not allowed is tried again where there is another token by
// then.
//
// Run() is called once.
class Hold {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    // The gateway says how it stands. On the thread of Run().
    virtual void OnState(const v1::HoldRegistrationResponse& state) = 0;
    // The stream is lost, and another is opened after `retry_in`. On the thread of Run().
    virtual void OnDisconnected(const absl::Status& status, absl::Duration retry_in) {}
  };

  // `client` outlives the hold.
  Hold(Client* client, v1::RegisterRequest registration, HoldOptions options);

  // The health to report from now on, passing at first. From any thread, before Run() or while it runs.
  void Report(v1::HealthStatus status);

  // Blocks until `cancellation`, which deregisters the instance: OK when it is gone, otherwise why that is not known
  // (it then goes by itself: after `linger`, or where that gateway has ended, too, when its TTL check has failed).
  // Returns by itself with an error that no retry mends, or without `reconnect` with that of the first stream.
  absl::Status Run(Listener* listener, Cancellation* cancellation);

 private:
  class Stream;

  // How one stream ended.
  struct Ending {
    absl::Status status;
    // What it was opened with.
    std::string token;
    bool received = false;
  };
  Ending RunStream(Listener* listener, Cancellation* cancellation);

  Client* const client_;
  const v1::RegisterRequest registration_;
  const HoldOptions options_;

  std::mutex mu_;
  v1::HealthStatus status_ = v1::HEALTH_STATUS_PASSING;  // Guarded by mu_.
  Stream* stream_ = nullptr;                             // Guarded by mu_; the one that is open.
};

}  // namespace meshgate::client

#endif  // MESHGATE_CLIENT_HOLD_H_
