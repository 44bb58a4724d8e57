#ifndef MESHGATE_SERVER_TLS_ENDPOINT_H_
#define MESHGATE_SERVER_TLS_ENDPOINT_H_

#include <openssl/types.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "metrics/tls_reporter.h"
#include "server/call_log.h"
#include "server/file_watch.h"
#include "server/tls/context.h"
#include "server/tls/failure.h"
#include "server/tls/handshake_budget.h"

namespace meshgate::server::tls {

// What a listener does TLS with: its certificate, which is replaced when its files change, and what is said of
// handshakes that fail. Connections keep the certificate they began with. Thread-safe.
class Endpoint : public std::enable_shared_from_this<Endpoint> {
 public:
  struct Options {
    ContextOptions context;
    // From the connection's beginning to the end of the handshake.
    absl::Duration handshake_timeout = absl::Seconds(10);
  };

  // Loads the certificate: errors are LoadContext()'s. From then on the files are looked at each second, on the
  // scheduler's threads: their names may be links that are turned, as Kubernetes does. They are loaded once they have
  // not changed for a second, so that a pair may be replaced one after the other. Files that cannot be used leave the
  // certificate as it was, are said so once, and are tried again every 10 s: what is wrong need not be in the files.
  // All arguments outlive it.
  static absl::StatusOr<std::shared_ptr<Endpoint>> Open(const Options& options, HandshakeBudget* budget,
                                                        Scheduler* scheduler, metrics::TlsReporter* reporter);

  // What a new connection begins with.
  std::shared_ptr<SSL_CTX> context() const;
  absl::Duration handshake_timeout() const { return options_.handshake_timeout; }

  // A place for a handshake with `peer`; none where the connection has to be closed, which is said here.
  HandshakeBudget::Place Admit(std::string_view peer);

  // Counts it, and writes it down unless there are too many.
  void OnFailure(const Failure& failure, std::string_view peer);

 private:
  Endpoint(const Options& options, HandshakeBudget* budget, Scheduler* scheduler, metrics::TlsReporter* reporter);

  void WatchLater();
  void Reload();

  const Options options_;
  HandshakeBudget* const budget_;
  Scheduler* const scheduler_;
  metrics::TlsReporter* const reporter_;
  LineLimiter limiter_;

  // One look follows the other: of the looks alone.
  FileWatch files_;

  mutable Mutex mu_;
  std::shared_ptr<SSL_CTX> context_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::server::tls

#endif  // MESHGATE_SERVER_TLS_ENDPOINT_H_
