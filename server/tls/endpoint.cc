#include "server/tls/endpoint.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/log.h"

namespace meshgate::server::tls {
namespace {

using Reason = metrics::HandshakeFailure;

std::string Sentence(Reason reason, const ContextOptions& context) {
  switch (reason) {
    case Reason::kNoCertificate:
      return absl::StrCat("the client showed no certificate, and --", context.listener,
                          "_tls_client_ca_file asks for one");
    case Reason::kUnknownCa:
      return absl::StrCat("the client's certificate is not signed by an authority of --", context.listener,
                          "_tls_client_ca_file");
    case Reason::kExpiredCertificate:
      return "the client's certificate has expired or is not valid yet";
    case Reason::kBadCertificate:
      return "the client's certificate cannot be used";
    case Reason::kRefusedByClient:
      return "the client does not take this gateway's certificate";
    case Reason::kVersion:
      return "the client speaks no version of TLS from 1.2 on";
    case Reason::kCipher:
      return "the client has no cipher in common with this gateway";
    case Reason::kAlpn:
      return absl::StrCat("the client offers protocols (ALPN), and ", context.protocol, " is not among them");
    case Reason::kPlaintext:
      return "the client does not speak TLS, which this port does";
    case Reason::kTimeout:
      return "the client did not finish the handshake in time";
    case Reason::kClosed:
      return "the client went away";
    case Reason::kTooMany:
      return "as many handshakes are in progress as may be";
    case Reason::kProtocol:
      return "the client does not keep to TLS";
  }
  return "";
}

}  // namespace

absl::StatusOr<std::shared_ptr<Endpoint>> Endpoint::Open(const Options& options, HandshakeBudget* budget,
                                                         Scheduler* scheduler, metrics::TlsReporter* reporter) {
  std::shared_ptr<Endpoint> endpoint(new Endpoint(options, budget, scheduler, reporter));
  auto context = LoadContext(options.context, absl::Now());
  if (!context.ok()) return context.status();
  reporter->OnCertificate(context->expires);
  {
    MutexLock lock(endpoint->mu_);
    endpoint->context_ = std::move(context->ssl);
  }
  endpoint->WatchLater();
  return endpoint;
}

Endpoint::Endpoint(const Options& options, HandshakeBudget* budget, Scheduler* scheduler,
                   metrics::TlsReporter* reporter)
    : options_(options),
      budget_(budget),
      scheduler_(scheduler),
      reporter_(reporter),
      files_({options.context.files.cert_file, options.context.files.key_file, options.context.files.client_ca_file}) {}

std::shared_ptr<SSL_CTX> Endpoint::context() const {
  MutexLock lock(mu_);
  return context_;
}

void Endpoint::WatchLater() {
  scheduler_->After(FileWatch::kLookEvery, [weak = weak_from_this()] {
    const std::shared_ptr<Endpoint> self = weak.lock();
    if (self == nullptr) return;
    if (self->files_.Look(self->scheduler_->Now())) self->Reload();
    self->WatchLater();
  });
}

void Endpoint::Reload() {
  auto context = LoadContext(options_.context, absl::Now());
  reporter_->OnReload(context.ok());
  if (!context.ok()) {
    const std::string why(context.status().message());
    if (!files_.OnRefused(why, scheduler_->Now())) return;
    Log(LogLevel::kError, "the TLS files have changed and cannot be used; the certificate before stays",
        {{"listener", options_.context.listener}, {"error", why}});
    return;
  }
  files_.OnUsed();
  reporter_->OnCertificate(context->expires);
  const std::string expires = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", context->expires, absl::UTCTimeZone());
  {
    MutexLock lock(mu_);
    context_.swap(context->ssl);
  }
  Log(LogLevel::kInfo, "new connections get the new TLS certificate",
      {{"listener", options_.context.listener}, {"expires", expires}});
}

HandshakeBudget::Place Endpoint::Admit(std::string_view peer) {
  HandshakeBudget::Place place = budget_->Take();
  if (!place) OnFailure({Reason::kTooMany, ""}, peer);
  return place;
}

void Endpoint::OnFailure(const Failure& failure, std::string_view peer) {
  reporter_->OnHandshakeFailure(failure.reason);
  // Load balancers look whether a port is open by just that.
  const LogLevel level = failure.reason == Reason::kClosed ? LogLevel::kDebug : LogLevel::kWarn;
  if (!LogEnabled(level)) return;
  const LineLimiter::Verdict verdict = limiter_.Ask("", static_cast<int>(failure.reason), scheduler_->Now());
  if (!verdict.write) return;
  std::vector<LogField> fields = {
      {"listener", options_.context.listener}, {"reason", ToString(failure.reason)}, {"peer.address", peer}};
  if (!failure.detail.empty()) fields.push_back({"error", failure.detail});
  if (verdict.left_out > 0) fields.push_back({"left_out", verdict.left_out});
  Log(level, absl::StrCat("a TLS handshake failed: ", Sentence(failure.reason, options_.context)), fields);
}

}  // namespace meshgate::server::tls
