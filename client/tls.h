// TLS between a client and its gateway.
//
//   meshgate::client::TlsOptions tls;
//   tls.ca_file = "ca.pem";
//   auto credentials = meshgate::client::TlsCredentials(tls);
//   if (!credentials.ok()) return credentials.status();
//   options.credentials = *credentials;
#ifndef MESHGATE_CLIENT_TLS_H_
#define MESHGATE_CLIENT_TLS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/security/credentials.h"

namespace meshgate::client {

// PEM files.
struct TlsOptions {
  // Authorities whose gateways are trusted; empty: those of the system.
  std::string ca_file;
  // What the client shows where it is asked who it is. Both or neither.
  std::string cert_file;
  std::string key_file;
};

// For ClientOptions::credentials. Files that change are read again, so that certificates may be replaced while the
// client runs: connections made from then on use them. INVALID_ARGUMENT names the file that cannot be read.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsCredentials(const TlsOptions& options);

}  // namespace meshgate::client

#endif  // MESHGATE_CLIENT_TLS_H_
