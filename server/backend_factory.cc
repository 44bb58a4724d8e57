#include "server/backend_factory.h"

#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "consul/embedded/embedded_backend.h"
#include "consul/embedded/probers.h"
#include "consul/http/consul_backend.h"
#include "server/call_log.h"
#include "server/log.h"

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

// All instances may be of the same kind.
void WarnOfCheck(LineLimiter* limiter, std::string_view id, std::string_view message) {
  const LineLimiter::Verdict verdict = limiter->Ask("check", 0, absl::Now());
  if (!verdict.write) return;
  std::vector<LogField> fields = {{"key", id}};
  if (verdict.left_out > 0) fields.push_back({"left_out", verdict.left_out});
  Log(LogLevel::kWarn, message, fields);
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
  o.on_redirects_followed = [limiter = std::make_shared<LineLimiter>()](std::string_view id) {
    WarnOfCheck(limiter.get(), id,
                "this Consul agent follows redirects of HTTP checks, by which an instance can send it anywhere: update "
                "it to 1.9.17, 1.10.10, 1.11.5, 1.12 or later");
  };
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
  o.on_refused_check = [limiter = std::make_shared<LineLimiter>()](std::string_view id, std::string_view why) {
    WarnOfCheck(limiter.get(), id,
                absl::StrCat("a check of a registered instance is critical, and not made: ",
                             absl::string_view(why.data(), why.size())));
  };
  auto backend = consul::EmbeddedBackend::Open(std::move(o));
  if (!backend.ok()) return backend.status();
  return *std::move(backend);
}

}  // namespace

absl::StatusOr<std::unique_ptr<consul::Backend>> MakeBackend(const Options& options, Scheduler* scheduler,
                                                             consul::BackendReporter* reporter) {
  Log(LogLevel::kInfo, "checks of registrations may lead to the instances' own addresses, and to what is listed",
      {{"check_allow", options.check_allow.value_or(consul::CheckAllowList()).ToString()}});
  return options.backend == BackendKind::kConsul ? MakeConsul(options, scheduler, reporter)
                                                 : MakeEmbedded(options, scheduler);
}

}  // namespace meshgate::server
