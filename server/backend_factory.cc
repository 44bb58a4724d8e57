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

// curl opens these at the first request and would call it a failure of Consul.
absl::Status CheckReadable(const std::string& file, const char* option) {
  if (file.empty()) return absl::OkStatus();
  std::ifstream in(file);
  // A folder opens, but does not read.
  if (in.is_open() && in.peek() != std::ifstream::traits_type::eof()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(file, ": cannot be read, or is empty (--", option, ")"));
}

absl::Status CheckTlsFiles(const Options& options) {
  const std::pair<const std::string&, const char*> files[] = {{options.consul_ca_file, "consul_ca_file"},
                                                              {options.consul_cert_file, "consul_cert_file"},
                                                              {options.consul_key_file, "consul_key_file"}};
  for (const auto& [file, option] : files) {
    if (absl::Status status = CheckReadable(file, option); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<consul::Backend>> MakeConsul(const Options& options, Scheduler* scheduler,
                                                            consul::BackendReporter* reporter) {
  auto token = ReadToken(options);
  if (!token.ok()) return token.status();
  if (absl::Status files = CheckTlsFiles(options); !files.ok()) return files;
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
  o.check_allow = options.check_allow.value_or(consul::CheckAllowList());
  o.prober = consul::MakeProber(o.check_allow);
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
