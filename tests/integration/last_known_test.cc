// A gateway that starts while Consul is away serves what it knew.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "meshgate/v1/config_service.grpc.pb.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"

namespace meshgate {
namespace {

using ::meshgate::testing::ConsulAgent;
using ::meshgate::testing::GatewayProcess;

// Killed while it served, started again without a Consul: readers must get the last state, told that it is stale and
// how old it is, a caller that wants it fresher a refusal; and when Consul comes back empty, that truth as a snapshot.
TEST(LastKnownTest, ARestartWithoutConsulServesTheLastState) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  const std::string data_dir = std::string(getenv("TEST_TMPDIR")) + "/data";
  ASSERT_EQ(agent.Call("PUT", "/v1/kv/app/a", "known").code, 200);
  v1::WatchConfigRequest watch;
  watch.set_key("app/a");
  {
    GatewayProcess gateway({"--backend=consul", "--consul_address=" + agent.url(), "--data_dir=" + data_dir});
    ASSERT_TRUE(gateway.listening());
    grpc::ClientContext context;
    auto stream = v1::ConfigService::NewStub(gateway.NewChannel())->WatchConfig(&context, watch);
    v1::WatchConfigResponse response;
    ASSERT_TRUE(stream->Read(&response));
    ASSERT_EQ(response.events_size(), 1);
    ASSERT_TRUE(gateway.WaitForMetric("meshgate_state_store_targets", 1)) << "the state was never stored";
    gateway.process().Signal(SIGKILL);
    ASSERT_TRUE(gateway.process().Wait().has_value());
  }
  agent.Kill();

  GatewayProcess gateway({"--backend=consul", "--consul_address=" + agent.url(), "--data_dir=" + data_dir});
  ASSERT_TRUE(gateway.listening());
  auto stub = v1::ConfigService::NewStub(gateway.NewChannel());
  grpc::ClientContext context;
  auto stream = stub->WatchConfig(&context, watch);
  v1::WatchConfigResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.snapshot());
  EXPECT_TRUE(response.stale());
  ASSERT_EQ(response.events_size(), 1);
  EXPECT_EQ(response.events(0).entry().value(), "known");

  v1::GetConfigRequest get;
  get.set_key("app/a");
  v1::GetConfigResponse got;
  {
    grpc::ClientContext get_context;
    const grpc::Status status = stub->GetConfig(&get_context, get, &got);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_EQ(got.info().source(), v1::ReadInfo::SOURCE_LAST_KNOWN_GOOD);
  EXPECT_EQ(got.entry().value(), "known");
  get.mutable_options()->mutable_max_age()->set_nanos(1);
  grpc::ClientContext refused_context;
  EXPECT_EQ(stub->GetConfig(&refused_context, get, &got).error_code(), grpc::StatusCode::UNAVAILABLE);

  agent.Restart();
  ASSERT_TRUE(agent.ready());
  do {
    ASSERT_TRUE(stream->Read(&response));
  } while (response.stale());
  EXPECT_TRUE(response.snapshot());
  EXPECT_EQ(response.events_size(), 0);
  context.TryCancel();
  stream->Finish();
}

}  // namespace
}  // namespace meshgate
