#include "client/tls.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace meshgate::client {
namespace {

constexpr unsigned int kReadEverySeconds = 10;

// gRPC says no more than that a handshake has failed.
absl::Status CheckPem(const std::string& file) {
  errno = 0;
  std::ifstream in(file);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in.is_open() || in.bad() || (text.empty() && errno != 0)) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read ", file, ": ", std::strerror(errno)));
  }
  if (absl::StrContains(text, "-----BEGIN ")) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(file, " is not a PEM file"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsCredentials(const TlsOptions& options) {
  namespace tls = grpc::experimental;
  if (options.cert_file.empty() != options.key_file.empty()) {
    return absl::InvalidArgumentError("a client certificate needs its key, and a key its certificate");
  }
  for (const std::string* file : {&options.ca_file, &options.cert_file, &options.key_file}) {
    if (file->empty()) continue;
    if (absl::Status status = CheckPem(*file); !status.ok()) return status;
  }
  tls::TlsChannelCredentialsOptions credentials;
  if (!options.ca_file.empty() || !options.cert_file.empty()) {
    credentials.set_certificate_provider(std::make_shared<tls::FileWatcherCertificateProvider>(
        options.key_file, options.cert_file, options.ca_file, kReadEverySeconds));
  }
  if (!options.ca_file.empty()) credentials.watch_root_certs();
  if (!options.cert_file.empty()) credentials.watch_identity_key_cert_pairs();
  return tls::TlsCredentials(credentials);
}

}  // namespace meshgate::client
