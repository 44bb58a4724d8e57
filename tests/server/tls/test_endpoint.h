#ifndef MESHGATE_TESTS_SERVER_TLS_TEST_ENDPOINT_H_
#define MESHGATE_TESTS_SERVER_TLS_TEST_ENDPOINT_H_

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/tls/endpoint.h"
#include "tests/testing/certificates.h"

namespace meshgate::testing {

// Counts what it is told.
class TlsNotes final : public metrics::TlsReporter {
 public:
  void OnCertificate(absl::Time expires) override { expires_ = absl::ToUnixSeconds(expires); }
  void OnReload(bool in_use) override { ++(in_use ? loaded_ : refused_); }
  void OnHandshakeFailure(metrics::HandshakeFailure failure) override { ++failures_[static_cast<size_t>(failure)]; }

  int64_t expires() const { return expires_; }
  int loaded() const { return loaded_; }
  int refused() const { return refused_; }
  int failures(metrics::HandshakeFailure failure) const { return failures_[static_cast<size_t>(failure)]; }

 private:
  std::atomic<int64_t> expires_{0};
  std::atomic<int> loaded_{0}, refused_{0};
  std::array<std::atomic<int>, metrics::kHandshakeFailures> failures_{};
};

// An endpoint with certificates of its own.
class TestEndpoint {
 public:
  explicit TestEndpoint(Scheduler* clock, int most_handshakes = 1024) : clock_(clock), budget_(most_handshakes) {
    options_.context.listener = "grpc";
    options_.context.protocol = "h2";
  }

  // With a certificate for 127.0.0.1; set options() before.
  std::shared_ptr<server::tls::Endpoint> Open(const CertificateAuthority::Wanted& wanted = {}) {
    const Certificates server = authority_.Sign("server", wanted);
    options_.context.files.cert_file = server.cert_file;
    options_.context.files.key_file = server.key_file;
    auto endpoint = server::tls::Endpoint::Open(options_, &budget_, clock_, &notes_);
    EXPECT_TRUE(endpoint.ok()) << endpoint.status();
    return endpoint.ok() ? *std::move(endpoint) : nullptr;
  }
  server::tls::Endpoint::Options& options() { return options_; }
  CertificateAuthority& authority() { return authority_; }
  TlsNotes& notes() { return notes_; }
  server::tls::HandshakeBudget& budget() { return budget_; }

  static bool Eventually(const std::function<bool()>& holds) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (!holds()) {
      if (absl::Now() > end) return false;
      absl::SleepFor(absl::Milliseconds(1));
    }
    return true;
  }

 private:
  static std::string NewName() {
    static int count = 0;
    return absl::StrCat("authority", ++count);
  }

  Scheduler* const clock_;
  server::tls::HandshakeBudget budget_;
  CertificateAuthority authority_{getenv("TEST_TMPDIR"), NewName()};
  TlsNotes notes_;
  server::tls::Endpoint::Options options_;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_SERVER_TLS_TEST_ENDPOINT_H_
