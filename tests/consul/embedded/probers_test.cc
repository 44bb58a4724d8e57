// All kinds of probes behind one.
#include "consul/embedded/probers.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"
#include "tests/testing/pending.h"

namespace meshgate::consul {
namespace {

namespace health_v1 = grpc::health::v1;

// Serves, and keeps by which name it was asked for.
class FakeHealth final : public health_v1::Health::Service {
 public:
  grpc::Status Check(grpc::ServerContext* context, const health_v1::HealthCheckRequest*,
                     health_v1::HealthCheckResponse* response) override {
    const grpc::string_ref authority = context->ExperimentalGetAuthority();
    std::lock_guard<std::mutex> lock(mu_);
    authority_ = std::string(authority.data(), authority.size());
    response->set_status(health_v1::HealthCheckResponse::SERVING);
    return grpc::Status::OK;
  }
  // Of the latest call; empty: none came.
  std::string authority() {
    std::lock_guard<std::mutex> lock(mu_);
    return authority_;
  }

 private:
  std::mutex mu_;
  std::string authority_;
};

class ProbersTest : public ::testing::Test {
 protected:
  ProbersTest() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
  }
  ~ProbersTest() override { server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(10)); }

  embedded::ProbeResult Probe(CheckAllowList list, const std::string& host, bool use_tls = false) {
    CheckDefinition check;
    check.probe = GrpcProbe{absl::StrCat(host, ":", port_, "/web"), use_tls};
    const std::unique_ptr<embedded::Prober> prober = MakeProber(std::move(list));
    testing::Pending<embedded::ProbeResult> done;
    prober->Probe(check, absl::Seconds(30), done.Callback());
    auto result = done.Get(absl::Seconds(60)).value_or(embedded::ProbeResult{Health::kMaintenance, "no answer"});
    prober->Shutdown();
    return result;
  }

  FakeHealth health_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// A name that is listed may come to lead to the metadata service, or to what listens for this host alone, with gRPC
// checks, too.
TEST_F(ProbersTest, GrpcChecksOfNamesLeadToListedAddressesAlone) {
  const embedded::ProbeResult refused = Probe(CheckAllowList::Parse({"localhost"}).value(), "localhost");
  EXPECT_EQ(refused.health, Health::kCritical);
  EXPECT_NE(refused.output.find("has to be listed by itself"), std::string::npos) << refused.output;
  EXPECT_EQ(health_.authority(), "");
}

// A server that many names lead to must be asked by the one that was registered.
TEST_F(ProbersTest, GrpcChecksOfNames) {
  const embedded::ProbeResult result = Probe(CheckAllowList::OfThisHost(), "localhost");
  EXPECT_EQ(result.health, Health::kPassing) << result.output;
  EXPECT_EQ(health_.authority(), absl::StrCat("localhost:", port_));
  EXPECT_EQ(Probe(CheckAllowList::OfThisHost(), "localhost", /*use_tls=*/true).health, Health::kCritical)
      << "a server without TLS must not pass for one with it";
  EXPECT_EQ(Probe(CheckAllowList::OfThisHost(), "127.0.0.1").health, Health::kPassing);
  EXPECT_EQ(health_.authority(), absl::StrCat("127.0.0.1:", port_));
}

// A server that is away must not leave its check without an answer.
TEST_F(ProbersTest, NobodyListens) {
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(10));
  EXPECT_EQ(Probe(CheckAllowList::OfThisHost(), "localhost").health, Health::kCritical);
}

}  // namespace
}  // namespace meshgate::consul
