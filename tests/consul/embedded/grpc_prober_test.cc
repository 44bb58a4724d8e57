#include "consul/embedded/grpc_prober.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"
#include "tests/testing/pending.h"

namespace meshgate::consul::embedded {
namespace {

namespace health_v1 = grpc::health::v1;

// Says what each service's name asks it to; never answers about "hangs" until the call is cancelled.
class FakeHealth final : public health_v1::Health::CallbackService {
 public:
  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context, const health_v1::HealthCheckRequest* request,
                                  health_v1::HealthCheckResponse* response) override {
    class Hanging final : public grpc::ServerUnaryReactor {
     public:
      void OnCancel() override { Finish(grpc::Status::CANCELLED); }
      void OnDone() override { delete this; }
    };
    const std::string& service = request->service();
    if (service == "hangs") return new Hanging;
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    response->set_status(service == "down" ? health_v1::HealthCheckResponse::NOT_SERVING
                                           : health_v1::HealthCheckResponse::SERVING);
    reactor->Finish(service == "unknown" ? grpc::Status(grpc::StatusCode::NOT_FOUND, "no such service")
                                         : grpc::Status::OK);
    return reactor;
  }
};

class GrpcProberTest : public ::testing::Test {
 protected:
  GrpcProberTest() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
  }
  ~GrpcProberTest() override { server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(10)); }

  CheckDefinition Check(const std::string& service, bool use_tls = false) const {
    CheckDefinition check;
    check.probe = GrpcProbe{absl::StrCat("127.0.0.1:", port_, service.empty() ? "" : "/", service), use_tls};
    return check;
  }
  ProbeResult Probe(const CheckDefinition& check, absl::Duration timeout = absl::Seconds(30)) {
    testing::Pending<ProbeResult> done;
    prober_.Probe(check, timeout, done.Callback());
    return done.Get(absl::Seconds(60)).value_or(ProbeResult{Health::kMaintenance, "no answer"});
  }

  FakeHealth health_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  GrpcProber prober_;
};

// What a server says about itself, or about one service, decides about the traffic it gets.
TEST_F(GrpcProberTest, FollowsTheAnswer) {
  EXPECT_EQ(Probe(Check("")).health, Health::kPassing);
  EXPECT_EQ(Probe(Check("shop.Cart")).health, Health::kPassing);
  EXPECT_EQ(Probe(Check("down")).health, Health::kCritical);
  EXPECT_EQ(Probe(Check("down")).output, "NOT_SERVING");
  EXPECT_EQ(Probe(Check("unknown")).health, Health::kCritical);
  EXPECT_NE(Probe(Check("unknown")).output.find("no such service"), std::string::npos);
  EXPECT_EQ(Probe(Check("", /*use_tls=*/true), absl::Seconds(5)).health, Health::kCritical)
      << "a server without TLS must not pass for one with it";
}

// A server that hangs must be critical after the timeout.
TEST_F(GrpcProberTest, Timeout) { EXPECT_EQ(Probe(Check("hangs"), absl::Milliseconds(100)).health, Health::kCritical); }

// A server that is back must pass with the next probe, not after a backoff.
TEST_F(GrpcProberTest, NoMemoryOfFailures) {
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(10));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Probe(Check("")).health, Health::kCritical);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", port_), grpc::InsecureServerCredentials());
  builder.RegisterService(&health_);
  server_ = builder.BuildAndStart();
  ASSERT_NE(server_, nullptr);
  EXPECT_EQ(Probe(Check("")).health, Health::kPassing);
}

// The process could not end while a server hangs.
TEST_F(GrpcProberTest, ShutdownEndsProbes) {
  testing::Pending<ProbeResult> hanging, late;
  prober_.Probe(Check("hangs"), absl::Minutes(10), hanging.Callback());
  prober_.Shutdown();
  EXPECT_EQ(hanging.calls(), 1);
  prober_.Probe(Check(""), absl::Minutes(10), late.Callback());
  EXPECT_EQ(late.calls(), 1);
  EXPECT_EQ(late.Get(absl::ZeroDuration())->health, Health::kCritical);
}

}  // namespace
}  // namespace meshgate::consul::embedded
