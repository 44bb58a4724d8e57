// Commits through the real gateway, in front of a real Consul and on its own.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "google/rpc/status.pb.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/gateway_process.h"

namespace meshgate {
namespace {

using ::meshgate::testing::ConsulAgent;
using ::meshgate::testing::GatewayProcess;

std::chrono::system_clock::time_point SoonEnough() {
  return std::chrono::system_clock::now() + std::chrono::seconds(60);
}

std::string ReasonOf(const grpc::Status& status) {
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::ErrorInfo info;
    if (detail.UnpackTo(&info)) return info.reason();
  }
  return "";
}

class Client {
 public:
  explicit Client(const GatewayProcess& gateway) : stub_(v1::ConfigService::NewStub(gateway.NewChannel())) {}

  v1::ConfigService::Stub& stub() { return *stub_; }

  grpc::Status Commit(const v1::CommitConfigRequest& request, v1::CommitConfigResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(SoonEnough());
    response->Clear();
    return stub_->CommitConfig(&context, request, response);
  }

 private:
  const std::unique_ptr<v1::ConfigService::Stub> stub_;
};

v1::PutConfigRequest* AddPut(v1::CommitConfigRequest* request, const std::string& key, const std::string& value) {
  v1::PutConfigRequest* put = request->add_operations()->mutable_put();
  put->set_key(key);
  put->set_value(value);
  return put;
}

// What a commit promises, seen by a caller and by a reader of the prefix: one response with all of it and nothing of
// the commit that failed before, which would show as a response of its own.
void ReadersGetAllOfACommitInOneResponse(GatewayProcess& gateway) {
  Client client(gateway);
  v1::CommitConfigRequest first;
  AddPut(&first, "app/a", "1");
  AddPut(&first, "app/old/1", "1");
  AddPut(&first, "app/old/2", "1");
  v1::CommitConfigResponse written;
  grpc::Status status = client.Commit(first, &written);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(written.entries_size(), 3);
  const uint64_t index = written.entries(0).modify_index();

  grpc::ClientContext context;
  context.set_deadline(SoonEnough());
  v1::WatchConfigRequest watch;
  watch.set_prefix("app/");
  auto stream = client.stub().WatchConfig(&context, watch);
  v1::WatchConfigResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.snapshot());
  EXPECT_EQ(response.events_size(), 3);

  v1::CommitConfigRequest failing;
  AddPut(&failing, "app/b", "never");
  failing.add_operations()->mutable_delete_()->set_prefix("app/old/");
  AddPut(&failing, "app/a", "never")->set_if_modify_index(index + 1000);
  status = client.Commit(failing, &written);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(ReasonOf(status), "CAS_MISMATCH");
  EXPECT_EQ(status.error_message().rfind("operations[2]: ", 0), 0u) << status.error_message();

  v1::CommitConfigRequest second;
  AddPut(&second, "app/a", "2")->set_if_modify_index(index);
  AddPut(&second, "app/b", "1")->set_if_modify_index(0);
  second.add_operations()->mutable_delete_()->set_prefix("app/old/");
  AddPut(&second, "app/c", "1");
  status = client.Commit(second, &written);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(written.entries_size(), 3);
  EXPECT_EQ(written.entries(1).key(), "app/b");
  EXPECT_EQ(written.entries(0).modify_index(), written.entries(2).modify_index());

  ASSERT_TRUE(stream->Read(&response));
  EXPECT_FALSE(response.snapshot());
  EXPECT_EQ(response.events_size(), 5) << response.ShortDebugString();
  EXPECT_EQ(response.index(), written.entries(0).modify_index());
  int puts = 0;
  for (const v1::ConfigEvent& event : response.events()) puts += event.type() == v1::ConfigEvent::TYPE_PUT;
  EXPECT_EQ(puts, 3);
  context.TryCancel();
}

// Half of a commit would reach the readers of one backend, or errors differ from one to the other.
TEST(CommitTest, WithConsul) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  GatewayProcess gateway({"--backend=consul", "--consul_address=" + agent.url(),
                          "--data_dir=" + std::string(getenv("TEST_TMPDIR")) + "/consul"});
  ASSERT_TRUE(gateway.listening());
  ReadersGetAllOfACommitInOneResponse(gateway);
}

TEST(CommitTest, Embedded) {
  GatewayProcess gateway({"--data_dir=" + std::string(getenv("TEST_TMPDIR")) + "/data"});
  ASSERT_TRUE(gateway.listening());
  ReadersGetAllOfACommitInOneResponse(gateway);
}

// The most that a commit may hold has to pass the limit of a message on the wire, too.
TEST(CommitTest, TheLargestCommitPasses) {
  GatewayProcess gateway({"--data_dir=" + std::string(getenv("TEST_TMPDIR")) + "/large"});
  ASSERT_TRUE(gateway.listening());
  Client client(gateway);
  v1::CommitConfigRequest request;
  for (int i = 0; i < 64; ++i) AddPut(&request, "large/" + std::to_string(i), std::string(5900, 'v'));
  v1::CommitConfigResponse written;
  grpc::Status status = client.Commit(request, &written);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(written.entries_size(), 64);
  request.mutable_operations(0)->mutable_put()->mutable_value()->resize(40000, 'v');
  status = client.Commit(request, &written);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonOf(status), "VALUE_TOO_LARGE");
}

}  // namespace
}  // namespace meshgate
