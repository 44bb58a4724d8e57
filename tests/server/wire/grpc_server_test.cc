#include "server/wire/grpc_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "tests/server/wire/test_server.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class GrpcServerTest : public ::testing::Test {
 protected:
  GrpcServerTest() {
    server_.get = [](const v1::GetConfigRequest&, const Caller&, Reply<v1::GetConfigResponse> reply) {
      reply(v1::GetConfigResponse());
    };
    server_.Start();
  }

  HealthCheckResponse::ServingStatus Check(const std::string& service) {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    const grpc::Status status = Health::NewStub(server_.Channel())->Check(&context, request, &response);
    return status.ok() ? response.status() : HealthCheckResponse::SERVICE_UNKNOWN;
  }

  // One raw request to any method, one raw answer.
  std::string Raw(const std::string& method, const std::string& request, grpc::Status* status) {
    grpc::ClientContext context;
    grpc::Slice slice(request);
    grpc::ByteBuffer in(&slice, 1), out;
    std::promise<grpc::Status> done;
    grpc::GenericStub stub(server_.Channel());
    stub.UnaryCall(&context, method, grpc::StubOptions(), &in, &out,
                   [&done](grpc::Status s) { done.set_value(std::move(s)); });
    *status = done.get_future().get();
    std::vector<grpc::Slice> slices;
    if (status->ok()) out.Dump(&slices);
    std::string bytes;
    for (const auto& s : slices) bytes.append(reinterpret_cast<const char*>(s.begin()), s.size());
    return bytes;
  }

  // Another server, with what the first one has.
  absl::StatusOr<std::unique_ptr<wire::GrpcServer>> Start(const wire::GrpcServerOptions& options) {
    return wire::GrpcServer::Start(options, &server_.methods, {}, &scheduler_, server_.registry.watch_reporter(),
                                   &server_.calls);
  }

  testing::ManualScheduler scheduler_;
  testing::TestServer server_{&scheduler_};
};

// Would break if a probe or a load balancer could not ask for the server and each service, or saw a draining one as
// serving.
TEST_F(GrpcServerTest, HealthFollowsServing) {
  EXPECT_EQ(Check(""), HealthCheckResponse::SERVING);
  EXPECT_EQ(Check("meshgate.v1.ConfigService"), HealthCheckResponse::SERVING);
  EXPECT_EQ(Check("no.such.Service"), HealthCheckResponse::SERVICE_UNKNOWN);
  server_.server->SetServing(false);
  EXPECT_EQ(Check(""), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Check("meshgate.v1.ConfigService"), HealthCheckResponse::NOT_SERVING);
}

// Would break if tools that know no proto files could not explore the server.
TEST_F(GrpcServerTest, ReflectionAndChannelz) {
  grpc::Status status;
  const std::string list_services("\x3a\x00", 2);  // ServerReflectionRequest{list_services: ""}
  const std::string services =
      Raw("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", list_services, &status);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(services, HasSubstr("meshgate.v1.ConfigService"));
  EXPECT_THAT(services, HasSubstr("grpc.health.v1.Health"));
  EXPECT_THAT(services, HasSubstr("grpc.channelz.v1.Channelz"));
  Raw("/grpc.channelz.v1.Channelz/GetServers", "", &status);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

// Would break if one request could take any amount of memory.
TEST_F(GrpcServerTest, RefusesRequestsThatAreTooLarge) {
  grpc::Status status;
  Raw("/meshgate.v1.ConfigService/GetConfig", std::string((1 << 20) + 1, 'x'), &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// Would break if a method that nobody has were not refused as gRPC refuses one.
TEST_F(GrpcServerTest, UnknownMethods) {
  grpc::Status status;
  Raw("/no.such.Service/Method", "", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  Raw("/meshgate.v1.ConfigService/NoSuchMethod", "", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

// Would break if a port in use were reported late, unclearly, or shared with whoever has it.
TEST_F(GrpcServerTest, SaysWhichAddressItCannotListenOn) {
  const std::string taken = server_.server->addresses().at(0);
  EXPECT_THAT(taken, MatchesRegex("127\\.0\\.0\\.1:[1-9][0-9]*"));
  wire::GrpcServerOptions options;
  options.front.listen = {"127.0.0.1:0", taken};
  auto second = Start(options);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("cannot listen for gRPC on " + taken));
}

// Would break if an address that is none were not said to be wrong.
TEST_F(GrpcServerTest, AddressesThatAreNone) {
  for (const std::string& address :
       {std::string("127.0.0.1"), std::string("no such host:1"), "unix:" + std::string(200, 'x')}) {
    wire::GrpcServerOptions options;
    options.front.listen = {address};
    const auto server = Start(options);
    ASSERT_FALSE(server.ok()) << address;
    EXPECT_THAT(std::string(server.status().message()), HasSubstr("--grpc_listen")) << address;
  }
}

// Would break if a process that was killed left its socket in the file system in the way of the next, or one that
// stops left its own.
TEST_F(GrpcServerTest, ASocketLeftBehindIsReplaced) {
  std::filesystem::current_path(::testing::TempDir());
  wire::GrpcServerOptions options;
  options.front.listen = {"unix:left"};
  {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {AF_UNIX, "left"};
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    close(fd);
  }
  {
    auto server = Start(options);
    ASSERT_TRUE(server.ok()) << server.status();
  }
  EXPECT_FALSE(std::filesystem::exists("left"));
}

// Would break if several addresses, or a socket in the file system, were not served.
TEST_F(GrpcServerTest, ListensOnSeveralAddresses) {
  // Relative, because the path of a socket has at most 107 characters.
  std::filesystem::current_path(::testing::TempDir());
  wire::GrpcServerOptions options;
  options.front.listen = {"127.0.0.1:0", "unix:socket"};
  auto server = Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  for (const std::string& address : (*server)->addresses()) {
    grpc::ClientContext context;
    HealthCheckResponse response;
    auto stub = Health::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    EXPECT_TRUE(stub->Check(&context, HealthCheckRequest(), &response).ok()) << address;
  }
}

// Would break if a client that watches our health, as gRPC's own health checking does, made every stop take as long as
// it may.
TEST_F(GrpcServerTest, HealthWatchDoesNotHoldUpAStop) {
  grpc::ClientContext context;
  auto stub = Health::NewStub(server_.Channel());
  auto watch = stub->Watch(&context, HealthCheckRequest());
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  server_.server->SetServing(false);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);

  const absl::Time began = absl::Now();
  server_.server->BeginShutdown(absl::Now() + absl::Seconds(60));
  EXPECT_TRUE(server_.server->WaitForCalls());
  server_.server->FinishShutdown();
  EXPECT_LT(absl::Now() - began, absl::Seconds(30));
  EXPECT_FALSE(watch->Read(&response));
  watch->Finish();
}

// Would break if a call in progress were cut while there is still time for it to end.
TEST(GrpcServerStopTest, WaitsForCallsInProgress) {
  testing::ManualScheduler scheduler;
  testing::TestServer server(&scheduler);
  std::promise<Reply<v1::GetConfigResponse>> reply;
  server.get = [&reply](const v1::GetConfigRequest&, const Caller&, Reply<v1::GetConfigResponse> r) {
    reply.set_value(std::move(r));
  };
  server.Start();
  std::future<grpc::Status> status = std::async(std::launch::async, [&server] {
    grpc::ClientContext context;
    v1::GetConfigResponse response;
    return server.stub->GetConfig(&context, v1::GetConfigRequest(), &response);
  });
  Reply<v1::GetConfigResponse> pending = reply.get_future().get();
  server.server->BeginShutdown(absl::Now() + absl::Seconds(60));
  pending(v1::GetConfigResponse());
  EXPECT_TRUE(server.server->WaitForCalls());
  server.server->FinishShutdown();
  EXPECT_TRUE(status.get().ok());
}

}  // namespace
}  // namespace meshgate::server
