// Certificates that are replaced while clients call.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "tests/testing/certificates.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/tls_client.h"

namespace meshgate {
namespace {

namespace fs = std::filesystem;
using testing::Certificates;
using testing::GatewayProcess;
using testing::TlsClient;

constexpr char kOk[] = R"(meshgate_tls_reloads_total{listener="grpc",result="ok"})";
constexpr char kFailed[] = R"(meshgate_tls_reloads_total{listener="grpc",result="failed"})";

// A folder as Kubernetes mounts secrets: the names are links through one to a folder of a version, which is turned.
class MountedSecret {
 public:
  explicit MountedSecret(const std::string& folder) : folder_(folder) {
    fs::create_directories(folder_);
    fs::create_symlink("..data/tls.crt", folder_ + "/tls.crt");
    fs::create_symlink("..data/tls.key", folder_ + "/tls.key");
  }
  std::string cert_file() const { return folder_ + "/tls.crt"; }
  std::string key_file() const { return folder_ + "/tls.key"; }

  void Become(const std::string& cert_file, const std::string& key_file) {
    const std::string version = absl::StrCat("..v", ++versions_);
    fs::create_directory(folder_ + "/" + version);
    fs::copy_file(cert_file, folder_ + "/" + version + "/tls.crt");
    fs::copy_file(key_file, folder_ + "/" + version + "/tls.key");
    fs::create_symlink(version, folder_ + "/..new");
    fs::rename(folder_ + "/..new", folder_ + "/..data");
  }

 private:
  const std::string folder_;
  int versions_ = 0;
};

// Calls until it is told to stop, on one connection or each time on a new one.
class Caller {
 public:
  Caller(const GatewayProcess* gateway, bool reconnects)
      : thread_([this, gateway, reconnects] {
          std::shared_ptr<grpc::Channel> channel = gateway->NewChannel();
          while (!stop_) {
            if (reconnects) channel = gateway->NewChannel();
            grpc::ClientContext context;
            context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
            v1::PutConfigRequest request;
            request.set_key(reconnects ? "new" : "old");
            v1::PutConfigResponse response;
            const grpc::Status status = v1::ConfigService::NewStub(channel)->PutConfig(&context, request, &response);
            ++calls_;
            if (status.ok()) continue;
            ++failed_;
            ADD_FAILURE() << status.error_code() << ": " << status.error_message();
          }
        }) {}
  ~Caller() { Stop(); }
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  int calls() const { return calls_; }
  int failed() const { return failed_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int> calls_{0};
  std::atomic<int> failed_{0};
  std::thread thread_;
};

class TlsRotationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const Certificates first = authority_.Sign("first");
    secret_.Become(first.cert_file, first.key_file);
    testing::ChildProcess::Options options;
    options.stderr_file = folder_ + "/gateway.log";
    gateway_ = std::make_unique<GatewayProcess>(std::vector<std::string>{"--grpc_tls_cert_file=" + secret_.cert_file(),
                                                                         "--grpc_tls_key_file=" + secret_.key_file()},
                                                options);
    ASSERT_TRUE(gateway_->listening());
  }
  static std::string NewFolder() {
    static int count = 0;
    const std::string made = absl::StrCat(getenv("TEST_TMPDIR"), "/rotation", ++count);
    fs::create_directory(made);
    return made;
  }
  // Of the certificate that a new connection gets.
  std::string Serial() const {
    TlsClient::Options options;
    options.ca_file = authority_.ca_file();
    TlsClient client(gateway_->grpc_address(), options);
    return client.Handshake() ? client.serial() : client.error();
  }
  const std::string folder_ = NewFolder();
  testing::CertificateAuthority authority_{folder_, "ca"};
  MountedSecret secret_{folder_ + "/secret"};
  std::unique_ptr<GatewayProcess> gateway_;
};

// Would break if a certificate that is replaced cost a single call, or new connections went on with the old one.
TEST_F(TlsRotationTest, CostsNoCall) {
  gateway_->CallByTls({authority_.ca_file(), "", ""}, /*http=*/false);
  Caller stays(gateway_.get(), false), reconnects(gateway_.get(), true);
  for (int i = 1; i <= 4; ++i) {
    const Certificates next = authority_.Sign(absl::StrCat("next", i));
    secret_.Become(next.cert_file, next.key_file);
    ASSERT_TRUE(gateway_->WaitForMetric(kOk, i));
    EXPECT_EQ(Serial(), testing::SerialOf(next.cert_file));
  }
  stays.Stop();
  reconnects.Stop();
  EXPECT_GT(stays.calls(), 100);
  EXPECT_GT(reconnects.calls(), 20);
  EXPECT_EQ(stays.failed() + reconnects.failed(), 0);
}

// Would break if files that cannot be used took the certificate away, were not said so, or kept good ones that come
// later from being used.
TEST_F(TlsRotationTest, KeepsTheOldOneWhereTheNewOneCannotBeUsed) {
  const std::string before = Serial();
  const Certificates one = authority_.Sign("one"), other = authority_.Sign("other");
  secret_.Become(one.cert_file, other.key_file);
  ASSERT_TRUE(gateway_->WaitForMetric(kFailed, 1));
  EXPECT_EQ(Serial(), before);
  secret_.Become(one.cert_file, one.key_file);
  ASSERT_TRUE(gateway_->WaitForMetric(kOk, 1));
  EXPECT_EQ(Serial(), testing::SerialOf(one.cert_file));
  // Once for each change, however often they were looked at.
  EXPECT_EQ(gateway_->Metric(kFailed), 1);
  std::ifstream in(folder_ + "/gateway.log");
  const std::string log{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  EXPECT_TRUE(absl::StrContains(log, absl::StrCat("--grpc_tls_key_file: the key in ", secret_.key_file(),
                                                  " does not belong to the certificate in ", secret_.cert_file())))
      << log;
}

}  // namespace
}  // namespace meshgate
