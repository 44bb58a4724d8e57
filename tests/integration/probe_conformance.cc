// Checks that the store makes itself, against listeners of the test.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/integration/backend_conformance.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::consul {
namespace {

using testing::TinyHttpServer;

Registration Probed(const std::string& service, CheckDefinition check) {
  Registration registration;
  registration.id = service;
  registration.service = service;
  registration.address = "127.0.0.1";
  registration.port = 1;
  registration.checks = {std::move(check)};
  return registration;
}

template <typename Probe>
CheckDefinition Every(Probe probe, absl::Duration interval = absl::Seconds(1)) {
  CheckDefinition check;
  check.probe = std::move(probe);
  check.interval = interval;
  check.timeout = absl::Seconds(2);
  return check;
}

auto HasHealth(Health health) {
  return [health](const Instances& instances) { return instances.size() == 1 && instances[0].health == health; };
}

// An instance that answers would stay out of rotation, or one that fails would stay in it. Consul's documentation:
// 2xx passes, 429 warns, anything else is critical.
TEST_P(BackendProbeConformance, HttpProbeFollowsTheAnswer) {
  TinyHttpServer server;
  HttpProbe probe;
  probe.url = absl::StrCat("http://127.0.0.1:", server.port(), "/healthz?x=1");
  probe.method = "POST";
  probe.headers = {{"X-Probe", "yes"}};
  server.set_status(204);
  const std::string service = Unique("probe-http");
  ASSERT_TRUE(Register(Probed(service, Every(probe))).ok());
  const absl::Duration bound = absl::Seconds(2) + under_test().probe_slack();
  AwaitService(service, HasHealth(Health::kPassing), bound);
  const std::string request = server.last_request();
  EXPECT_EQ(request.rfind("POST /healthz?x=1 HTTP/1.1\r\n", 0), 0u) << request;
  EXPECT_NE(request.find("X-Probe: yes\r\n"), std::string::npos) << request;

  server.set_status(429);
  AwaitService(service, HasHealth(Health::kWarning), bound);
  server.set_status(503);
  AwaitService(service, HasHealth(Health::kCritical), bound);
  server.set_status(200);
  AwaitService(service, HasHealth(Health::kPassing), bound);
  EXPECT_TRUE(Deregister(service).ok());
}

// A port that nobody listens on must be noticed, and noticed again when somebody does.
TEST_P(BackendProbeConformance, TcpProbeFollowsTheListener) {
  auto server = std::make_unique<TinyHttpServer>();
  const std::string service = Unique("probe-tcp");
  ASSERT_TRUE(Register(Probed(service, Every(TcpProbe{absl::StrCat("127.0.0.1:", server->port())}))).ok());
  const absl::Duration bound = absl::Seconds(2) + under_test().probe_slack();
  AwaitService(service, HasHealth(Health::kPassing), bound);
  server = nullptr;
  AwaitService(service, HasHealth(Health::kCritical), bound);
  EXPECT_TRUE(Deregister(service).ok());
}

// A gRPC server that serves, but says that it does not, must be taken out; each of its services speaks for itself.
TEST_P(BackendProbeConformance, GrpcProbeFollowsTheHealthService) {
  grpc::EnableDefaultHealthCheckService(true);
  int port = 0;
  grpc::ServerBuilder builder;
  // A server of the health service alone would have nobody to poll it.
  grpc::CallbackGenericService nothing;
  builder.RegisterCallbackGenericService(&nothing);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  grpc::HealthCheckServiceInterface* health = server->GetHealthCheckService();
  health->SetServingStatus("shop.Cart", true);

  const std::string whole = Unique("probe-grpc");
  const std::string part = Unique("probe-grpc");
  const std::string other = Unique("probe-grpc");
  const std::string target = absl::StrCat("127.0.0.1:", port);
  ASSERT_TRUE(Register(Probed(whole, Every(GrpcProbe{target}))).ok());
  ASSERT_TRUE(Register(Probed(part, Every(GrpcProbe{target + "/shop.Cart"}))).ok());
  CheckDefinition unknown = Every(GrpcProbe{target + "/no.Such"});
  unknown.initial_status = Health::kPassing;
  ASSERT_TRUE(Register(Probed(other, unknown)).ok());
  const absl::Duration bound = absl::Seconds(4) + under_test().probe_slack();
  AwaitService(whole, HasHealth(Health::kPassing), bound);
  AwaitService(part, HasHealth(Health::kPassing), bound);
  AwaitService(other, HasHealth(Health::kCritical), bound);

  health->SetServingStatus("shop.Cart", false);
  AwaitService(part, HasHealth(Health::kCritical), bound);
  EXPECT_EQ(AwaitService(whole, HasHealth(Health::kPassing), bound).size(), 1u);
  for (const std::string& service : {whole, part, other}) EXPECT_TRUE(Deregister(service).ok());
  server->Shutdown();
}

// An instance is as healthy as the worst of its checks.
TEST_P(BackendProbeConformance, WorstOfSeveralChecks) {
  TinyHttpServer server;
  server.set_status(200);
  const std::string service = Unique("probe-several");
  Registration registration = Probed(service, Every(HttpProbe{absl::StrCat("http://127.0.0.1:", server.port(), "/")}));
  registration.checks.push_back(Every(TcpProbe{absl::StrCat("127.0.0.1:", server.port())}));
  CheckDefinition ttl;
  ttl.probe = TtlProbe{absl::Seconds(60)};
  registration.checks.push_back(ttl);
  ASSERT_TRUE(Register(registration).ok());
  const absl::Duration bound = absl::Seconds(2) + under_test().probe_slack();
  ASSERT_TRUE(Heartbeat(service, Health::kPassing).ok());
  AwaitService(service, HasHealth(Health::kPassing), bound);
  ASSERT_TRUE(Heartbeat(service, Health::kWarning).ok());
  AwaitService(service, HasHealth(Health::kWarning), bound);
  server.set_status(500);
  AwaitService(service, HasHealth(Health::kCritical), bound);
  EXPECT_TRUE(Deregister(service).ok());
}

}  // namespace
}  // namespace meshgate::consul
