// Registration and discovery through the gateway on a real Consul.
#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "meshgate/v1/registry_service.grpc.pb.h"
#include "tests/testing/child_process.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate {
namespace {

using ::meshgate::testing::ConsulAgent;
using ::meshgate::testing::ExitStatus;
using ::meshgate::testing::GatewayProcess;
using ::meshgate::testing::RunCommand;

// Accepts connections and says nothing: what a TCP probe wants. Gone when destroyed.
class TcpListener {
 public:
  TcpListener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 128), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~TcpListener() { close(fd_); }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

 private:
  const int fd_;
  uint16_t port_ = 0;
};

class GrpcHealthServer {
 public:
  GrpcHealthServer() {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    // Its health service alone is no service for gRPC.
    builder.RegisterService(&unimplemented_);
    server_ = builder.BuildAndStart();
  }
  void SetServing(bool serving) { server_->GetHealthCheckService()->SetServingStatus(serving); }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

 private:
  int port_ = 0;
  v1::RegistryService::CallbackService unimplemented_;
  std::unique_ptr<grpc::Server> server_;
};

class RegistryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(agent_.ready());
    gateway_ = std::make_unique<GatewayProcess>(
        std::vector<std::string>{"--backend=consul", "--consul_address=" + agent_.url()});
    ASSERT_TRUE(gateway_->listening());
    stub_ = v1::RegistryService::NewStub(gateway_->NewChannel());
  }

  void Register(const v1::RegisterRequest& request) {
    grpc::ClientContext context;
    v1::RegisterResponse response;
    const grpc::Status status = stub_->Register(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }

  void Heartbeat(const std::string& id, v1::HealthStatus health) {
    v1::HeartbeatRequest request;
    request.set_id(id);
    request.set_status(health);
    grpc::ClientContext context;
    v1::HeartbeatResponse response;
    const grpc::Status status = stub_->Heartbeat(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }

  // The ids that Discover returns, straight from Consul.
  std::vector<std::string> Discover(const std::string& service) {
    v1::DiscoverRequest request;
    request.set_service(service);
    request.mutable_options()->set_consistency(v1::CONSISTENCY_DEFAULT);
    grpc::ClientContext context;
    v1::DiscoverResponse response;
    const grpc::Status status = stub_->Discover(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::vector<std::string> ids;
    for (const auto& i : response.instances()) ids.push_back(i.instance().id());
    return ids;
  }

  ConsulAgent agent_;
  std::unique_ptr<GatewayProcess> gateway_;
  std::unique_ptr<v1::RegistryService::Stub> stub_;
};

// A reader of one service that waits for instances to come and go.
class ServiceReader {
 public:
  ServiceReader(v1::RegistryService::Stub* stub, const std::string& service) {
    v1::WatchServiceRequest request;
    request.set_service(service);
    stream_ = stub->WatchService(&context_, request);
  }
  ~ServiceReader() {
    context_.TryCancel();
    stream_->Finish();
  }
  // Reads until the healthy instances are these.
  bool ReadUntil(const std::vector<std::string>& ids) {
    v1::WatchServiceResponse response;
    while (Ids() != ids || first_) {
      if (!stream_->Read(&response)) return false;
      first_ = false;
      if (response.snapshot()) state_.clear();
      for (const auto& event : response.events()) {
        const std::string& id = event.instance().instance().id();
        if (event.type() == v1::ServiceEvent::TYPE_PUT) {
          state_[id] = event.instance();
        } else {
          state_.erase(id);
        }
      }
    }
    return true;
  }

 private:
  std::vector<std::string> Ids() const {
    std::vector<std::string> ids;
    for (const auto& [id, instance] : state_) ids.push_back(id);
    return ids;
  }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchServiceResponse>> stream_;
  std::map<std::string, v1::DiscoveredInstance> state_;
  bool first_ = true;
};

v1::RegisterRequest Instance(const std::string& service) {
  v1::RegisterRequest request;
  request.mutable_instance()->set_service(service);
  request.mutable_instance()->set_id(service + "-1");
  request.mutable_instance()->set_address("127.0.0.1");
  request.mutable_instance()->set_port(8080);
  return request;
}

// Each kind of check: Consul lists the service, its probe makes the instance healthy, and its failure takes the
// instance from Discover and from the watch.
TEST_F(RegistryTest, EveryKindOfCheckDecidesWhatIsDiscovered) {
  auto http = std::make_unique<testing::TinyHttpServer>();
  auto tcp = std::make_unique<TcpListener>();
  GrpcHealthServer grpc_server;
  grpc_server.SetServing(true);

  v1::RegisterRequest request = Instance("with-http");
  request.add_checks()->mutable_http()->set_url(absl::StrCat("http://127.0.0.1:", http->port(), "/health"));
  request.mutable_checks(0)->mutable_interval()->set_seconds(1);
  Register(request);
  request = Instance("with-tcp");
  request.add_checks()->mutable_tcp()->set_address(tcp->address());
  request.mutable_checks(0)->mutable_interval()->set_seconds(1);
  Register(request);
  request = Instance("with-grpc");
  request.add_checks()->mutable_grpc()->set_target(grpc_server.address());
  request.mutable_checks(0)->mutable_interval()->set_seconds(1);
  Register(request);
  request = Instance("with-ttl");
  request.add_checks()->mutable_ttl()->set_seconds(60);
  Register(request);
  Heartbeat("with-ttl-1", v1::HEALTH_STATUS_PASSING);

  ExitStatus status;
  const std::string services = RunCommand({"consul", "catalog", "services", "-http-addr=" + agent_.url()}, &status);
  EXPECT_EQ(status.code, 0);
  const std::vector<std::string> names = {"with-grpc", "with-http", "with-tcp", "with-ttl"};
  std::map<std::string, std::unique_ptr<ServiceReader>> readers;
  for (const std::string& name : names) {
    EXPECT_NE(services.find(name), std::string::npos) << services;
    readers[name] = std::make_unique<ServiceReader>(stub_.get(), name);
    EXPECT_TRUE(readers[name]->ReadUntil({name + "-1"})) << name;
    EXPECT_EQ(Discover(name), std::vector<std::string>{name + "-1"});
  }

  http.reset();
  tcp.reset();
  grpc_server.SetServing(false);
  Heartbeat("with-ttl-1", v1::HEALTH_STATUS_CRITICAL);
  for (const std::string& name : names) {
    EXPECT_TRUE(readers[name]->ReadUntil({})) << name;
    EXPECT_EQ(Discover(name), std::vector<std::string>{});
  }
}

// Replacing, removing, and removing what is not there.
TEST_F(RegistryTest, ReplacesAndRemoves) {
  v1::RegisterRequest request = Instance("web");
  Register(request);
  ServiceReader reader(stub_.get(), "web");
  EXPECT_TRUE(reader.ReadUntil({"web-1"}));
  request.mutable_instance()->set_port(9090);
  request.mutable_instance()->set_id("web-2");
  Register(request);
  EXPECT_TRUE(reader.ReadUntil({"web-1", "web-2"}));

  v1::DeregisterRequest gone;
  gone.set_id("web-1");
  v1::DeregisterResponse response;
  {
    grpc::ClientContext context;
    EXPECT_TRUE(stub_->Deregister(&context, gone, &response).ok());
  }
  EXPECT_TRUE(reader.ReadUntil({"web-2"}));
  grpc::ClientContext context;
  EXPECT_EQ(stub_->Deregister(&context, gone, &response).error_code(), grpc::StatusCode::NOT_FOUND);

  v1::HeartbeatRequest heartbeat;
  heartbeat.set_id("web-2");
  v1::HeartbeatResponse none;
  grpc::ClientContext heartbeat_context;
  EXPECT_EQ(stub_->Heartbeat(&heartbeat_context, heartbeat, &none).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

}  // namespace
}  // namespace meshgate
