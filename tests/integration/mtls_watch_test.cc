// Streams whose callers lose their permission in the gateway's own list.
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/mtls_fixture.h"

namespace meshgate::testing {
namespace {

class MtlsWatchTest : public MtlsFixture {
 protected:
  using ConfigStream = WatchStream<v1::WatchConfigResponse>;
  using ServiceStream = WatchStream<v1::WatchServiceResponse>;

  std::unique_ptr<ConfigStream> WatchConfig(const std::string& caller, const std::string& key,
                                            const std::string& prefix = "", const std::string& resume = "") {
    v1::WatchConfigRequest request;
    key.empty() ? request.set_prefix(prefix) : request.set_key(key);
    request.set_resume_token(resume);
    return std::make_unique<ConfigStream>([&](grpc::ClientContext* context) {
      Authenticate(context, caller);
      return config(caller)->WatchConfig(context, request);
    });
  }
  std::unique_ptr<ServiceStream> WatchWeb(const std::string& caller) {
    v1::WatchServiceRequest request;
    request.set_service("web");
    request.set_include_unhealthy(true);
    return std::make_unique<ServiceStream>([&](grpc::ClientContext* context) {
      Authenticate(context, caller);
      return registry(caller)->WatchService(context, request);
    });
  }
  // Reads until the stream tells of something with these bytes.
  template <typename Stream>
  static bool ReadUntil(Stream* stream, const std::string& bytes) {
    while (stream->Read()) {
      if (stream->response().SerializeAsString().find(bytes) != std::string::npos) return true;
    }
    return false;
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, MtlsWatchTest, ::testing::Values("embedded", "consul"), BackendName);

// Every kind of stream ends when its caller loses the permission or is removed, though nothing changes; and what is
// written from then on is not sent to it, not once, while others get it.
TEST_P(MtlsWatchTest, StreamsEndWithThePermission) {
  Put("app/k", "first");
  RegisterAtConsul("web", "web-1");
  const std::string losses[] = {kElse, "", kElse, ""};
  int round = 0;
  for (const std::string& left : losses) {
    const std::string later = absl::StrCat("written-later-", ++round, "-"),
                      later_id = absl::StrCat("web-later-", round);
    const std::string held_id = absl::StrCat("web-held-", round);
    Allow("allowed", kAllowed);
    auto key = WatchConfig("allowed", "app/k");
    auto prefix = WatchConfig("allowed", "", "app/");
    auto service = WatchWeb("allowed");
    auto other = WatchConfig("admin", "app/k");
    auto others_service = WatchWeb("admin");
    ASSERT_TRUE(key->Read()) << key->Finish().error_message();
    ASSERT_TRUE(prefix->Read()) << prefix->Finish().error_message();
    ASSERT_TRUE(service->Read()) << service->Finish().error_message();
    ASSERT_TRUE(other->Read());
    grpc::ClientContext context;
    Authenticate(&context, "allowed");
    auto hold = registry("allowed")->HoldRegistration(&context);
    v1::HoldRegistrationRequest first;
    first.mutable_registration()->mutable_instance()->set_id(held_id);
    first.mutable_registration()->mutable_instance()->set_service("web");
    // Longer than the test waits.
    first.mutable_linger()->set_seconds(600);
    ASSERT_TRUE(hold->Write(first));
    v1::HoldRegistrationResponse held;
    ASSERT_TRUE(hold->Read(&held)) << hold->Finish().error_message();
    ASSERT_TRUE(ReadUntil(others_service.get(), held_id));

    Allow("allowed", left);
    // By turns while the streams idle, and at once.
    if (round > 2) Put("app/k", later);
    const std::string reason = left.empty() ? "IDENTITY_NOT_LISTED" : "PERMISSION_DENIED";
    for (const grpc::Status& status : {key->End(), prefix->End(), service->End()}) {
      EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << status.error_message();
      EXPECT_TRUE(Says(status, reason)) << status.error_message();
    }
    while (hold->Read(&held)) {
    }
    const grpc::Status lost = hold->Finish();
    EXPECT_EQ(lost.error_code(), grpc::StatusCode::PERMISSION_DENIED) << lost.error_message();
    EXPECT_TRUE(Says(lost, reason)) << lost.error_message();
    // What it held goes with it, at once and not after the linger.
    while (others_service->Read()) {
      const auto& events = others_service->response().events();
      if (std::any_of(events.begin(), events.end(), [&](const v1::ServiceEvent& event) {
            return event.type() == v1::ServiceEvent::TYPE_DELETE && event.instance().instance().id() == held_id;
          })) {
        break;
      }
    }
    EXPECT_FALSE(others_service->response().events().empty());

    if (round <= 2) Put("app/k", later);
    RegisterAtConsul("web", later_id);
    EXPECT_TRUE(ReadUntil(other.get(), later)) << "another caller's stream goes on";
    EXPECT_TRUE(ReadUntil(others_service.get(), later_id));
    for (const std::string& bytes : {later, later_id}) EXPECT_FALSE(WasSent("allowed", bytes)) << bytes;
  }
}

// A part of a prefix that is taken away is no deletion, also for whoever resumes, and the stream can be opened again
// for the rest.
TEST_P(MtlsWatchTest, APartThatIsTakenAwayIsNoDeletion) {
  Allow("part", "{read: {keys: [app/]}}");
  Put("app/a", "1");
  Put("app/b", "2");
  auto stream = WatchConfig("part", "", "app/");
  ASSERT_TRUE(stream->Read());
  ASSERT_EQ(stream->response().events_size(), 2);
  const std::string token = stream->response().resume_token();
  EXPECT_NE(token, "");
  Allow("part", "{read: {keys: [app/a]}}");
  Put("app/b", "canary-that-is-denied");
  while (stream->Read()) {
    for (const auto& event : stream->response().events()) EXPECT_EQ(event.type(), v1::ConfigEvent::TYPE_PUT);
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);

  auto resumed = WatchConfig("part", "", "app/", token);
  EXPECT_FALSE(resumed->Read()) << resumed->response().ShortDebugString();
  EXPECT_EQ(resumed->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);

  auto again = WatchConfig("part", "", "app/");
  ASSERT_TRUE(again->Read()) << again->Finish().error_message();
  ASSERT_EQ(again->response().events_size(), 1);
  EXPECT_EQ(again->response().events(0).entry().key(), "app/a");
  EXPECT_EQ(again->response().resume_token(), "");
  Put("app/b", "canary-that-is-denied");
  Put("app/a", "3");
  ASSERT_TRUE(again->Read()) << again->Finish().error_message();
  ASSERT_EQ(again->response().events_size(), 1);
  EXPECT_EQ(again->response().events(0).entry().value(), "3");
  EXPECT_FALSE(WasSent("part", "canary-that-is-denied"));

  // What is gained is for new streams at once, and for this one with its next change.
  Allow("part", "{read: {keys: [app/]}}");
  auto whole = WatchConfig("part", "", "app/");
  ASSERT_TRUE(whole->Read()) << whole->Finish().error_message();
  EXPECT_EQ(whole->response().events_size(), 2);
}

// Many streams of many callers, who lose their permission while values are written without a pause.
TEST_P(MtlsWatchTest, NothingSlipsThroughWhileValuesAreWritten) {
  constexpr int kCallers = 6;
  const auto name = [](int number) { return absl::StrCat("caller", number); };
  Put("app/k", "first");
  std::atomic<bool> stop{false};
  std::atomic<int> written{0};
  std::thread writer([&] {
    while (!stop) {
      Put("app/k", absl::StrCat("value-", written + 1, "-"));
      ++written;
    }
  });
  for (int round = 0; round < 3; ++round) {
    std::vector<std::pair<std::string, std::string>> everybody, nobody;
    for (int i = 0; i < kCallers; ++i) {
      everybody.emplace_back(name(i), "{read: {keys: [app/]}}");
      nobody.emplace_back(name(i), i % 2 == 0 ? "" : kElse);
    }
    Allow(everybody);
    std::vector<std::unique_ptr<ConfigStream>> streams;
    for (int i = 0; i < kCallers; ++i) {
      streams.push_back(WatchConfig(name(i), "app/k"));
      streams.push_back(WatchConfig(name(i), "", "app/"));
    }
    for (const auto& stream : streams) EXPECT_TRUE(stream->Read());
    Allow(nobody);
    // One more may have been on its way to the store.
    const int before = written + 1;
    for (const auto& stream : streams) {
      EXPECT_EQ(stream->End().error_code(), grpc::StatusCode::PERMISSION_DENIED);
      for (const auto& event : stream->response().events()) {
        const std::string& value = event.entry().value();
        if (value == "first") continue;
        EXPECT_LE(std::stoi(value.substr(value.find('-') + 1)), before);
      }
    }
    for (int later = before + 1; later <= written; ++later) {
      const std::string value = absl::StrCat("value-", later, "-");
      for (int i = 0; i < kCallers; ++i) ASSERT_FALSE(WasSent(name(i), value)) << value;
    }
  }
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace meshgate::testing
