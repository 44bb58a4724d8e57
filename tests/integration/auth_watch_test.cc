// Streams whose callers lose their permission.
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/integration/auth_fixture.h"

namespace meshgate::testing {
namespace {

constexpr char kReader[] = R"(key_prefix "app/" { policy = "read" } service_prefix "web" { policy = "write" })"
                           R"( node_prefix "" { policy = "read" })";

class AuthWatchTest : public AuthFixture {
 protected:
  using ConfigStream = WatchStream<v1::WatchConfigResponse>;

  std::unique_ptr<ConfigStream> WatchConfig(const std::string& token, const std::string& key,
                                            const std::string& prefix = "") {
    v1::WatchConfigRequest request;
    key.empty() ? request.set_prefix(prefix) : request.set_key(key);
    return std::make_unique<ConfigStream>([&](grpc::ClientContext* context) {
      Authenticate(context, token);
      return config_->WatchConfig(context, request);
    });
  }
};

// A revoked token's stream must not carry a value that was written after the revocation, not once.
TEST_F(AuthWatchTest, WhatIsWrittenAfterARevocationIsNeverSent) {
  MakePolicy("reader", kReader);
  Put("app/k", "first");
  constexpr int kTimes = 50;
  for (int i = 0; i < kTimes; ++i) {
    MakeToken(Secret(i), "reader");
    // By turns a stream of the key, of a prefix, and of both at once.
    auto key = WatchConfig(Secret(i), "app/k");
    auto prefix = WatchConfig(Secret(i), "", "app/");
    ASSERT_TRUE(key->Read()) << i << key->Finish().error_message();
    if (i % 2 == 0) {
      ASSERT_TRUE(prefix->Read()) << i << prefix->Finish().error_message();
    }
    // Changes that are on their way while the token goes.
    if (i % 3 == 0) Put("app/k", absl::StrCat("before-", i));
    DeleteToken(Secret(i));
    const std::string later = absl::StrCat("written-after-", i, "-");
    Put("app/k", later);
    EXPECT_EQ(key->End().error_code(), grpc::StatusCode::UNAUTHENTICATED) << i;
    EXPECT_EQ(prefix->End().error_code(), grpc::StatusCode::UNAUTHENTICATED) << i;
    ASSERT_FALSE(WasSent(later)) << i;
  }
}

// The same where the token stays and its policy is narrowed.
TEST_F(AuthWatchTest, WhatIsWrittenAfterAPolicyWasNarrowedIsNeverSent) {
  MakeToken(Secret(1), "gateway");
  Put("app/k", "first");
  for (int i = 0; i < 20; ++i) {
    MakePolicy("narrowed", kReader);
    if (i == 0) MakeToken(Secret(2), "narrowed");
    auto key = WatchConfig(Secret(2), "app/k");
    ASSERT_TRUE(key->Read()) << i << key->Finish().error_message();
    MakePolicy("narrowed", R"(key_prefix "else/" { policy = "read" })");
    const std::string later = absl::StrCat("narrowed-before-", i, "-");
    Put("app/k", later);
    EXPECT_EQ(key->End().error_code(), grpc::StatusCode::PERMISSION_DENIED) << i;
    ASSERT_FALSE(WasSent(later)) << i;
  }
  // Another caller's stream of the same key goes on.
  auto other = WatchConfig(Secret(1), "app/k");
  EXPECT_TRUE(other->Read());
}

// A part of a prefix that is taken away is no deletion, and the stream can be opened again for the rest.
TEST_F(AuthWatchTest, APartThatIsTakenAwayIsNoDeletion) {
  MakePolicy("part", kReader);
  MakeToken(Secret(1), "part");
  Put("app/a", "1");
  Put("app/b", "2");
  auto stream = WatchConfig(Secret(1), "", "app/");
  ASSERT_TRUE(stream->Read());
  ASSERT_EQ(stream->response().events_size(), 2);
  const std::string token = stream->response().resume_token();
  EXPECT_NE(token, "");
  MakePolicy("part", absl::StrCat(kReader, R"( key_prefix "app/b" { policy = "deny" })"));
  Put("app/b", "canary-that-is-denied");
  while (stream->Read()) {
    for (const auto& event : stream->response().events()) EXPECT_EQ(event.type(), v1::ConfigEvent::TYPE_PUT);
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);

  auto again = WatchConfig(Secret(1), "", "app/");
  ASSERT_TRUE(again->Read()) << again->Finish().error_message();
  ASSERT_EQ(again->response().events_size(), 1);
  EXPECT_EQ(again->response().events(0).entry().key(), "app/a");
  EXPECT_EQ(again->response().resume_token(), "");
  Put("app/b", "canary-that-is-denied");
  Put("app/a", "3");
  ASSERT_TRUE(again->Read()) << again->Finish().error_message();
  ASSERT_EQ(again->response().events_size(), 1);
  EXPECT_EQ(again->response().events(0).entry().value(), "3");
  EXPECT_FALSE(WasSent("canary-that-is-denied"));
}

// Services and holds, too, end with their callers' permission.
TEST_F(AuthWatchTest, ServicesAndHoldsEnd) {
  MakePolicy("reader", kReader);
  MakeToken(Secret(1), "reader");
  RegisterAtConsul("web", "web-1");
  v1::WatchServiceRequest request;
  request.set_service("web");
  WatchStream<v1::WatchServiceResponse> service([&](grpc::ClientContext* context) {
    Authenticate(context, Secret(1));
    return registry_->WatchService(context, request);
  });
  ASSERT_TRUE(service.Read());

  grpc::ClientContext context;
  Authenticate(&context, Secret(1));
  auto hold = registry_->HoldRegistration(&context);
  v1::HoldRegistrationRequest first;
  first.mutable_registration()->mutable_instance()->set_id("web-held");
  first.mutable_registration()->mutable_instance()->set_service("web");
  // A heartbeat a second.
  first.mutable_registration()->add_checks()->mutable_ttl()->set_seconds(3);
  ASSERT_TRUE(hold->Write(first));
  v1::HoldRegistrationResponse held;
  ASSERT_TRUE(hold->Read(&held));

  DeleteToken(Secret(1));
  RegisterAtConsul("web", "web-registered-later");
  EXPECT_EQ(service.End().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  while (hold->Read(&held)) {
  }
  EXPECT_EQ(hold->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_FALSE(WasSent("web-registered-later"));
}

}  // namespace
}  // namespace meshgate::testing
