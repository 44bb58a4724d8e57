// Certificates and keys from files, as OpenSSL takes them.
#ifndef MESHGATE_SERVER_TLS_CONTEXT_H_
#define MESHGATE_SERVER_TLS_CONTEXT_H_

#include <openssl/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace meshgate::server::tls {

// PEM files of a listener.
struct Files {
  // The certificate, then those of the authorities between it and the root.
  std::string cert_file;
  std::string key_file;
  // Authorities whose clients are let in, and no others; empty: clients need no certificate.
  std::string client_ca_file;
};

struct ContextOptions {
  Files files;
  // The listener whose options the files are: "grpc" for --grpc_tls_cert_file and so on.
  std::string listener;
  // What is spoken, as ALPN has it ("h2"). A client that offers only others is refused; one that offers none is not.
  // Outlives what is made with it.
  const char* protocol;
};

struct Context {
  // Versions from 1.2 on, ciphers with forward secrecy and authenticated encryption, no compression, no renegotiation.
  // Sessions are resumed by tickets, which cost the server no memory and end with the context.
  std::shared_ptr<SSL_CTX> ssl;
  // Of the certificate itself.
  absl::Time expires;
};

// Reads the files, which takes a while. INVALID_ARGUMENT says in one sentence which file of which option cannot be used
// on `now`, and why: it cannot be read, is not PEM, the key is another certificate's or has a passphrase, the
// certificate has expired or is not valid yet.
absl::StatusOr<Context> LoadContext(const ContextOptions& options, absl::Time now);

}  // namespace meshgate::server::tls

#endif  // MESHGATE_SERVER_TLS_CONTEXT_H_
