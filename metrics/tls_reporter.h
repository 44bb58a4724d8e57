#ifndef MESHGATE_METRICS_TLS_REPORTER_H_
#define MESHGATE_METRICS_TLS_REPORTER_H_

#include <string_view>

#include "absl/time/time.h"

namespace meshgate::metrics {

// Why a TLS handshake came to nothing.
enum class HandshakeFailure {
  kNoCertificate,       // The client showed none, and one is asked for.
  kUnknownCa,           // Its certificate is signed by nobody we trust.
  kExpiredCertificate,  // That has expired, or is not valid yet.
  kBadCertificate,      // Anything else is wrong with it.
  kRefusedByClient,     // The client does not take ours.
  kVersion,             // It speaks no version that we do.
  kCipher,              // We have no cipher in common.
  kAlpn,                // It offers protocols, and ours is not among them.
  kPlaintext,           // It does not speak TLS.
  kTimeout,
  kClosed,   // It went away.
  kTooMany,  // As many were in progress as may be.
  kProtocol,
};
inline constexpr int kHandshakeFailures = 13;

// As the label `reason` spells it.
std::string_view ToString(HandshakeFailure failure);

// What a listener with TLS tells. Thread-safe and cheap.
class TlsReporter {
 public:
  virtual ~TlsReporter() = default;
  // The certificate that new connections get.
  virtual void OnCertificate(absl::Time expires) {}
  // Its files have changed, and are in use or cannot be.
  virtual void OnReload(bool in_use) {}
  virtual void OnHandshakeFailure(HandshakeFailure failure) {}
};

}  // namespace meshgate::metrics

#endif  // MESHGATE_METRICS_TLS_REPORTER_H_
