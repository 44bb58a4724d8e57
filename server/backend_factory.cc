#include "server/backend_factory.h"

#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "consul/embedded/embedded_backend.h"
#include "consul/embedded/probers.h"
#include "consul/http/consul_backend.h"

namespace meshgate::server {
namespace {

absl::StatusOr<std::string> ReadToken(const Options& options) {
  if (options.consul_token_file.empty()) return options.consul_token;
  std::ifstream in(options.consul_token_file);
  std::ostringstream text;
  text << in.rdbuf();
  const std::string token(absl::StripAsciiWhitespace(text.str()));
  if (!in || token.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(options.consul_token_file, ": cannot be read, or holds no token (--consul_token_file)"));
  }
  return token;
}

absl::StatusOr<std::unique_ptr<consul::Backend>> MakeConsul(const Options& options, Scheduler* scheduler,
                                                            consul::BackendReporter* reporter) {
  auto token = ReadToken(options);
  if (!token.ok()) return token.status();
  consul::http::ConsulBackendOptions o;
  o.address = options.consul_address;
  o.token = *std::move(token);
  o.ca_file = options.consul_ca_file;
  o.cert_file = options.consul_cert_file;
  o.key_file = options.consul_key_file;
  o.verify_tls = options.consul_tls_verify;
  o.max_connections = options.consul_max_connections;
  auto backend = consul::http::ConsulBackend::Create(o, scheduler, reporter);
  if (!backend.ok()) return backend.status();
  return *std::move(backend);
}

absl::StatusOr<std::unique_ptr<consul::Backend>> MakeEmbedded(const Options& options, Scheduler* scheduler) {
  consul::EmbeddedOptions o;
  o.data_dir = options.data_dir;
  o.scheduler = scheduler;
  o.prober = consul::MakeProber();
  auto backend = consul::EmbeddedBackend::Open(std::move(o));
  if (!backend.ok()) return backend.status();
  return *std::move(backend);
}

}  // namespace

absl::StatusOr<std::unique_ptr<consul::Backend>> MakeBackend(const Options& options, Scheduler* scheduler,
                                                             consul::BackendReporter* reporter) {
  return options.backend == BackendKind::kConsul ? MakeConsul(options, scheduler, reporter)
                                                 : MakeEmbedded(options, scheduler);
}

}  // namespace meshgate::server
