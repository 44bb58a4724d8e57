// Callers that do not read their answers.
#include <gmock/gmock.h>

#include <string>
#include <utility>

#include "meshgate/v1/config_service.pb.h"
#include "metrics/registry.h"
#include "server/wire/native_call.h"
#include "tests/server/wire/session_fixture.h"

namespace meshgate::server::wire {
namespace {

using Unary = UnaryCall<v1::GetConfigRequest, v1::GetConfigResponse>;

// The calls are GetConfig of values of 1,000 bytes; a connection may hold 40 KB.
class UnreadAnswersTest : public SessionFixture {
 protected:
  UnreadAnswersTest() {
    options_.max_held_bytes = 40'000;
    factory_ = [this](Stream* stream) { return std::make_shared<Unary>(stream, &method_, environment_, &handler_); };
  }

  // The calls use what is below.
  ~UnreadAnswersTest() override { session_.reset(); }

  // A connection that has room, and whose streams have none.
  void OpenWithoutRoom() {
    Open(/*window=*/0);
    client_->OpenWindow(0, 1 << 20);
  }
  int32_t Get(const std::string& key = "cfg/a", size_t more = 0) {
    v1::GetConfigRequest request;
    request.set_key(key);
    if (more > 0) request.mutable_options()->set_datacenter(std::string(more, 'x'));
    const int32_t id = client_->Begin(Client::Call("/meshgate.v1.ConfigService/GetConfig"));
    client_->Send(id, Client::Framed(request.SerializeAsString()));
    client_->End(id);
    Pump();
    return id;
  }
  static v1::GetConfigResponse Value(size_t bytes) {
    v1::GetConfigResponse response;
    response.mutable_entry()->set_value(std::string(bytes, 'x'));
    return response;
  }

  metrics::Registry registry_{"1", "embedded"};
  CallTracker tracker_;
  const NativeEnvironment environment_{nullptr, nullptr, nullptr, &tracker_};
  const MethodInfo method_{
      "meshgate.v1.ConfigService", "GetConfig",
      registry_.rpc_reporter()->Method(metrics::RpcReporter::Type::kUnary, "meshgate.v1.ConfigService", "GetConfig")};
  int handled_ = 0;
  std::vector<Reply<v1::GetConfigResponse>> pending_;
  Unary::Handler handler_ = [this](const v1::GetConfigRequest& request, const Caller&,
                                   Reply<v1::GetConfigResponse> reply) {
    ++handled_;
    if (request.key() == "later") return pending_.push_back(std::move(reply));
    if (request.key() == "none") return reply(absl::NotFoundError("no such key"));
    reply(Value(1000));
  };
};

// Would break if thousands of calls whose answers are not read each kept one: with 512 KiB in a value, that is
// gigabytes for a few bytes. Each is served once there is room for its answer.
TEST_F(UnreadAnswersTest, WaitForRoom) {
  OpenWithoutRoom();
  std::vector<int32_t> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(Get(i % 10 == 9 ? "none" : "cfg/a"));
  EXPECT_LT(handled_, 10);
  EXPECT_LT(session_->held().used(), 7'000u);
  for (const int32_t id : ids) {
    client_->OpenWindow(id, 65535);
    Pump();
  }
  EXPECT_EQ(handled_, 100);
  EXPECT_EQ(session_->held().used(), 0u);
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(response(ids[i]).code(), i % 10 == 9 ? "5" : "0") << i;
    EXPECT_EQ(response(ids[i]).messages().size(), i % 10 == 9 ? 0u : 1u) << i;
    EXPECT_TRUE(response(ids[i]).closed.has_value()) << i;
  }
  EXPECT_EQ(tracker_.open(), 0);
}

// Would break if answers that come later, as those of Consul do, had no limit, or if one were lost.
TEST_F(UnreadAnswersTest, FailBeyondTheLimit) {
  OpenWithoutRoom();
  std::vector<int32_t> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(Get("later"));
  EXPECT_EQ(handled_, 100);
  for (auto& reply : pending_) std::exchange(reply, nullptr)(Value(10'000));
  EXPECT_LE(session_->held().used(), options_.max_held_bytes);
  for (const int32_t id : ids) client_->OpenWindow(id, 65535);
  Pump();
  EXPECT_EQ(session_->held().used(), 0u);
  int served = 0, failed = 0;
  for (const int32_t id : ids) (response(id).code() == "0" ? served : failed) += 1;
  EXPECT_EQ(served, 3);
  EXPECT_EQ(failed, 97);
  EXPECT_EQ(response(ids.back()).code(), "8");
}

// Would break if large requests could pile up while Consul hangs, whether or not their callers wait for them.
TEST_F(UnreadAnswersTest, RequestsThatAreServedAreBounded) {
  Open();
  const int32_t first = Get("later", 15'000);
  client_->Reset(first);
  Pump();
  EXPECT_GT(session_->held().used(), 30'000u) << "it is still being served";
  const int32_t second = Get("later", 15'000);
  EXPECT_EQ(response(second).code(), "8");
  EXPECT_EQ(handled_, 1);
  pending_.front()(Value(1));
  EXPECT_EQ(session_->held().used(), 0u);
  Get("later", 15'000);
  EXPECT_EQ(handled_, 2);
  // Long after the connection has gone.
  session_.reset();
  EXPECT_GT(loop_.held().used(), 30'000u);
  pending_.back()(Value(1));
  EXPECT_EQ(loop_.held().used(), 0u);
}

// Would break if a waiting call that its caller gives up, or whose time is over, were served all the same.
TEST_F(UnreadAnswersTest, GoneWhileWaiting) {
  OpenWithoutRoom();
  for (int i = 0; i < 20; ++i) Get();
  const int before = handled_;
  const int32_t id = Get();
  client_->Reset(id);
  Pump();
  EXPECT_EQ(handled_, before);
  session_.reset();
  EXPECT_EQ(handled_, before);
  EXPECT_EQ(tracker_.open(), 0);
}

}  // namespace
}  // namespace meshgate::server::wire
