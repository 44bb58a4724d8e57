#include "server/tls/endpoint.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "consul/base/mutex.h"
#include "server/log.h"
#include "tests/server/tls/test_endpoint.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server::tls {
namespace {

namespace fs = std::filesystem;
using metrics::HandshakeFailure;
using testing::Certificates;

class EndpointTest : public ::testing::Test {
 protected:
  EndpointTest() {
    SetUpLog(LogLevel::kInfo, LogFormat::kText, [this](std::string_view line) {
      MutexLock lock(mu_);
      lines_.emplace_back(line);
    });
  }
  ~EndpointTest() override {
    SetUpLog(LogLevel::kInfo, LogFormat::kText, [](std::string_view) {});
  }

  void Open() { endpoint_ = test_.Open(); }
  // As tools do that know no better: the file is written in place.
  void Write(const std::string& from, const std::string& to) {
    fs::copy_file(from, to, fs::copy_options::overwrite_existing);
  }
  void Second() { clock_.Advance(absl::Seconds(1)); }
  int Lines(const std::string& with) {
    FlushLog(absl::Seconds(30));
    MutexLock lock(mu_);
    int count = 0;
    for (const std::string& line : lines_) count += absl::StrContains(line, with) ? 1 : 0;
    return count;
  }
  const Files& files() { return test_.options().context.files; }

  testing::ManualScheduler clock_;
  testing::TestEndpoint test_{&clock_, 2};
  std::shared_ptr<Endpoint> endpoint_;
  Mutex mu_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mu_);
};

// Would break if files that stay were loaded again and again, or new ones not at all.
TEST_F(EndpointTest, LoadsWhatHasChanged) {
  Open();
  const auto first = endpoint_->context();
  for (int i = 0; i < 5; ++i) Second();
  EXPECT_EQ(endpoint_->context(), first);
  EXPECT_EQ(test_.notes().loaded(), 0);
  const Certificates next = test_.authority().Sign("next");
  Write(next.cert_file, files().cert_file);
  Write(next.key_file, files().key_file);
  Second();
  Second();
  EXPECT_EQ(test_.notes().loaded(), 1);
  EXPECT_NE(endpoint_->context(), first);
  for (int i = 0; i < 5; ++i) Second();
  EXPECT_EQ(test_.notes().loaded(), 1);
  EXPECT_EQ(test_.notes().refused(), 0);
}

// Would break if a pair whose files are written one after the other were called unusable in between.
TEST_F(EndpointTest, WaitsUntilThePairIsWhole) {
  Open();
  const Certificates next = test_.authority().Sign("next");
  Write(next.cert_file, files().cert_file);
  Second();
  Write(next.key_file, files().key_file);
  Second();
  EXPECT_EQ(test_.notes().loaded(), 0);
  Second();
  EXPECT_EQ(test_.notes().loaded(), 1);
  EXPECT_EQ(test_.notes().refused(), 0);
}

// Would break if what cannot be used took the certificate away, were said once a second, or not at all.
TEST_F(EndpointTest, KeepsTheOldOneAndSaysSoOnce) {
  Open();
  const auto first = endpoint_->context();
  fs::remove(files().key_file);
  for (int i = 0; i < 5; ++i) Second();
  EXPECT_EQ(endpoint_->context(), first);
  EXPECT_EQ(test_.notes().refused(), 1);
  EXPECT_EQ(Lines("--grpc_tls_key_file: cannot read " + files().key_file + ": No such file or directory"), 1);
  const Certificates next = test_.authority().Sign("next");
  Write(next.cert_file, files().cert_file);
  Write(next.key_file, files().key_file);
  Second();
  Second();
  EXPECT_EQ(test_.notes().loaded(), 1);
  EXPECT_EQ(Lines("new connections get the new TLS certificate"), 1);
}

// Would break if a certificate that is good a moment later, when this host's clock has come to it or there is a
// descriptor to read it by, were never taken.
TEST_F(EndpointTest, TriesAgain) {
  Open();
  const Certificates next = test_.authority().Sign("next");
  const std::string aside = files().key_file + ".aside";
  fs::rename(files().key_file, aside);
  // A descriptor that cannot be had looks like this, and is no change of the files.
  Write(next.cert_file, files().cert_file);
  fs::create_symlink(aside, files().key_file);
  Second();
  Second();
  EXPECT_EQ(test_.notes().refused(), 1);
  const std::string mismatch = "does not belong to the certificate";
  EXPECT_EQ(Lines(mismatch), 1);
  for (int i = 0; i < 10; ++i) Second();
  EXPECT_EQ(test_.notes().refused(), 2);
  EXPECT_EQ(Lines(mismatch), 1);
}

// Would break if an authority that is no longer trusted stayed so until the next restart.
TEST_F(EndpointTest, LoadsAuthoritiesThatHaveChanged) {
  const std::string ca = test_.authority().ca_file() + ".clients";
  Write(test_.authority().ca_file(), ca);
  test_.options().context.files.client_ca_file = ca;
  Open();
  const auto first = endpoint_->context();
  testing::CertificateAuthority other(getenv("TEST_TMPDIR"), "other");
  Write(other.ca_file(), ca);
  Second();
  Second();
  EXPECT_EQ(test_.notes().loaded(), 1);
  EXPECT_NE(endpoint_->context(), first);
}

// Would break if looks went on for a listener that is gone.
TEST_F(EndpointTest, EndsWithItsOwner) {
  Open();
  EXPECT_EQ(clock_.pending_timers(), 1);
  endpoint_.reset();
  Second();
  EXPECT_EQ(clock_.pending_timers(), 0);
}

// Would break if a flood filled the log, or lines that are missing were not counted.
TEST_F(EndpointTest, WritesFewLinesOfEachKind) {
  Open();
  for (int i = 0; i < 100; ++i) endpoint_->OnFailure({HandshakeFailure::kNoCertificate, ""}, "ipv4:127.0.0.1:1");
  endpoint_->OnFailure({HandshakeFailure::kVersion, "unsupported protocol"}, "ipv4:127.0.0.1:2");
  EXPECT_EQ(Lines("the client showed no certificate, and --grpc_tls_client_ca_file asks for one"), 10);
  EXPECT_EQ(Lines("the client speaks no version of TLS from 1.2 on"), 1);
  Second();
  endpoint_->OnFailure({HandshakeFailure::kNoCertificate, ""}, "ipv4:127.0.0.1:1");
  EXPECT_EQ(Lines("left_out=90"), 1);
  EXPECT_EQ(test_.notes().failures(HandshakeFailure::kNoCertificate), 101);
}

// Would break if a place were lost with whoever had it, or there were more than may be.
TEST_F(EndpointTest, AdmitsSoManyHandshakes) {
  Open();
  HandshakeBudget::Place one = endpoint_->Admit("a");
  {
    const HandshakeBudget::Place two = endpoint_->Admit("b");
    EXPECT_TRUE(two);
    EXPECT_FALSE(endpoint_->Admit("c"));
    EXPECT_EQ(test_.notes().failures(HandshakeFailure::kTooMany), 1);
  }
  EXPECT_TRUE(endpoint_->Admit("d"));
  one = {};
  EXPECT_EQ(test_.budget().taken(), 0);
}

}  // namespace
}  // namespace meshgate::server::tls
