// The table of bad input, over the wire against the real server: raw bytes, as no generated client would send them.
#include "tests/testing/bad_input.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>

#include "google/rpc/status.pb.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "meshgate/v1/registry_service.grpc.pb.h"
#include "tests/testing/gateway_process.h"

namespace meshgate {
namespace {

using ::meshgate::testing::BadInput;
using ::meshgate::testing::GatewayProcess;

std::chrono::system_clock::time_point SoonEnough() {
  return std::chrono::system_clock::now() + std::chrono::seconds(30);
}

// Sends one message to a method of any kind, and waits for the end of the call. `responses` counts what came before it.
grpc::Status Send(const std::shared_ptr<grpc::Channel>& channel, const BadInput& input, int* responses) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(SoonEnough());
  grpc::CompletionQueue queue;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call = stub.PrepareCall(&context, input.method, &queue);
  // One operation at a time: a tag tells nothing that the order does not.
  const auto done = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  grpc::Slice slice(input.bytes);
  const grpc::ByteBuffer request(&slice, 1);
  call->StartCall(nullptr);
  if (done()) {
    call->WriteLast(request, grpc::WriteOptions(), nullptr);
    done();
    grpc::ByteBuffer response;
    for (call->Read(&response, nullptr); done(); call->Read(&response, nullptr)) {
      ++*responses;
      // A stream that was let in would not end by itself.
      context.TryCancel();
    }
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  done();
  queue.Shutdown();
  while (done()) {
  }
  return status;
}

std::string BadFieldOf(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return "no details";
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::BadRequest bad;
    if (detail.UnpackTo(&bad) && bad.field_violations_size() == 1) return bad.field_violations(0).field();
  }
  return "no BadRequest";
}

class BadInputTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(gateway_.listening()); }

  GatewayProcess gateway_{{"--data_dir=" + std::string(getenv("TEST_TMPDIR")) + "/data"}};
};

// A client in another language can send anything: it must learn what was wrong by the field's name, and nothing of it
// may be stored or bring the server down.
TEST_F(BadInputTest, IsRefusedByFieldAndChangesNothing) {
  const std::shared_ptr<grpc::Channel> channel = gateway_.NewChannel();
  for (const BadInput& input : testing::BadInputs()) {
    SCOPED_TRACE(input.name);
    int responses = 0;
    const grpc::Status status = Send(channel, input, &responses);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
    EXPECT_EQ(status.error_message().substr(0, input.field.size() + 2), input.field + ": ");
    EXPECT_EQ(BadFieldOf(status), input.field);
    EXPECT_EQ(responses, 0);
  }

  auto config = v1::ConfigService::NewStub(channel);
  v1::ListConfigResponse entries;
  grpc::ClientContext list;
  list.set_deadline(SoonEnough());
  ASSERT_TRUE(config->ListConfig(&list, v1::ListConfigRequest(), &entries).ok());
  EXPECT_EQ(entries.entries_size(), 0);

  auto registry = v1::RegistryService::NewStub(channel);
  v1::DiscoverRequest discover;
  discover.set_service("web");
  discover.set_include_unhealthy(true);
  v1::DiscoverResponse instances;
  grpc::ClientContext find;
  find.set_deadline(SoonEnough());
  ASSERT_TRUE(registry->Discover(&find, discover, &instances).ok());
  EXPECT_EQ(instances.instances_size(), 0);
}

// The largest of everything that is allowed, next to what is not: the limits must not be tighter on the wire than in
// the handlers.
TEST_F(BadInputTest, TakesTheLargestKeyAndValue) {
  auto config = v1::ConfigService::NewStub(gateway_.NewChannel());
  v1::PutConfigRequest put;
  put.set_key(std::string(1024, 'k'));
  put.set_value(std::string(524288, '\xff'));
  v1::PutConfigResponse written;
  grpc::ClientContext write;
  write.set_deadline(SoonEnough());
  const grpc::Status status = config->PutConfig(&write, put, &written);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_GT(written.entry().modify_index(), 0u);

  v1::GetConfigRequest get;
  get.set_key(put.key());
  get.mutable_options()->set_min_index(written.entry().modify_index());
  v1::GetConfigResponse found;
  grpc::ClientContext read;
  read.set_deadline(SoonEnough());
  ASSERT_TRUE(config->GetConfig(&read, get, &found).ok());
  EXPECT_EQ(found.entry().value(), put.value());
}

}  // namespace
}  // namespace meshgate
