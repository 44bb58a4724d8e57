// Who may do what through a gateway with --auth=consul.
#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/auth_calls.h"
#include "tests/testing/child_process.h"

namespace meshgate::testing {
namespace {

class AuthTableTest : public AuthCalls {};

// A call that does not end as Consul itself would have it lets callers see or do what they may not, or keeps them from
// what they may; and no byte of what it is about may reach who was refused.
TEST_F(AuthTableTest, EveryCallEndsAsConsulWouldHaveIt) {
  constexpr char kValue[] = "canary-of-the-table";
  MakeCallers(kValue);

  const auto expect_all = [&](const std::string& token, grpc::StatusCode want, const std::string& who) {
    for (const Case& one : Calls("written")) {
      const grpc::Status status = one.call(token);
      EXPECT_EQ(status.error_code(), want) << one.name << " by " << who << ": " << status.error_message();
      EXPECT_EQ(status.error_message().find(kValue), std::string::npos);
    }
  };
  expect_all("", grpc::StatusCode::PERMISSION_DENIED, "nobody");
  expect_all(kUnknown, grpc::StatusCode::UNAUTHENTICATED, "a stranger");
  expect_all(Secret(2), grpc::StatusCode::PERMISSION_DENIED, "somebody else");
  expect_all("no token", grpc::StatusCode::UNAUTHENTICATED, "what is no token");
  EXPECT_FALSE(WasSent(kValue));
  EXPECT_FALSE(WasSent("web-1"));
  expect_all(Secret(1), grpc::StatusCode::OK, "who may");
  EXPECT_TRUE(WasSent(kValue));
  EXPECT_TRUE(WasSent("web-1"));

  // The gateway has known all of it for a while when a token goes.
  expect_all(Secret(3), grpc::StatusCode::OK, "who may, too");
  DeleteToken(Secret(3));
  expect_all(Secret(3), grpc::StatusCode::UNAUTHENTICATED, "who was revoked");
  // The same token with less.
  MakePolicy("allowed", kElse);
  expect_all(Secret(1), grpc::StatusCode::PERMISSION_DENIED, "who may no more");
}

// Would break if meshgatectl could not call a gateway that asks Consul who its callers are.
TEST_F(AuthTableTest, MeshgatectlBringsItsToken) {
  MakePolicy("allowed", kAllowed);
  MakeToken(Secret(1), "allowed");
  Put("app/k", "seen");
  const std::string file = absl::StrCat(getenv("TEST_TMPDIR"), "/ctl-token");
  std::ofstream(file) << Secret(1) << "\n";
  const auto run = [&](const std::string& before, const std::string& options, int* code) {
    ExitStatus status;
    std::string said = RunCommand({"/bin/sh", "-c",
                                   absl::StrCat(before, " exec client/meshgatectl get app/k -e ",
                                                gateway_->grpc_address(), " ", options, " 2>&1")},
                                  &status);
    *code = status.code.value_or(-1);
    return said;
  };
  int code = 0;
  EXPECT_EQ(run("", "--token-file " + file, &code), "seen");
  EXPECT_EQ(run("MESHGATE_TOKEN=" + Secret(1), "", &code), "seen");
  EXPECT_EQ(run("CONSUL_HTTP_TOKEN_FILE=" + file, "", &code), "seen");
  EXPECT_EQ(code, 0);
  EXPECT_TRUE(absl::StrContains(run("", "", &code), "PERMISSION_DENIED"));
  EXPECT_EQ(code, 64 + grpc::StatusCode::PERMISSION_DENIED);
  const std::string said = run(absl::StrCat("MESHGATE_TOKEN=", kUnknown), "", &code);
  EXPECT_TRUE(absl::StrContains(said, "UNAUTHENTICATED (TOKEN_UNKNOWN)")) << said;
  EXPECT_FALSE(absl::StrContains(said, kUnknown));
}

// Of what a token may see in part it gets that part, whichever way the read goes.
TEST_F(AuthTableTest, ListsShowWhatMayBeRead) {
  MakePolicy("some", R"(key_prefix "app/" { policy = "read" } key_prefix "app/hidden" { policy = "deny" })"
                     R"( service "web" { policy = "read" } node_prefix "" { policy = "read" })");
  MakeToken(Secret(1), "some");
  Put("app/seen", "1");
  Put("app/hidden", "2");
  RegisterAtConsul("web", "web-1");
  RegisterAtConsul("other", "other-1");
  for (const v1::Consistency consistency : {v1::CONSISTENCY_CACHED, v1::CONSISTENCY_DEFAULT}) {
    grpc::ClientContext list, services;
    Authenticate(&list, Secret(1));
    Authenticate(&services, Secret(1));
    v1::ListConfigRequest request;
    request.set_prefix("app/");
    request.mutable_options()->set_consistency(consistency);
    v1::ListConfigResponse response;
    const grpc::Status status = config_->ListConfig(&list, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(response.entries_size(), 1);
    EXPECT_EQ(response.entries(0).key(), "app/seen");

    v1::ListServicesRequest all;
    all.mutable_options()->set_consistency(consistency);
    v1::ListServicesResponse seen;
    ASSERT_TRUE(registry_->ListServices(&services, all, &seen).ok());
    ASSERT_EQ(seen.services_size(), 1);
    EXPECT_EQ(seen.services(0).name(), "web");
  }
  EXPECT_FALSE(WasSent("app/hidden"));
}

// A hold must not be taken, and so ended, by somebody who may not write its service.
TEST_F(AuthTableTest, HoldsAreTakenByThoseWhoMayAlone) {
  MakePolicy("allowed", kAllowed);
  MakePolicy("else", kElse);
  MakeToken(Secret(1), "allowed");
  MakeToken(Secret(2), "else");
  grpc::ClientContext context;
  Authenticate(&context, Secret(1));
  auto stream = registry_->HoldRegistration(&context);
  v1::HoldRegistrationRequest request;
  request.mutable_registration()->mutable_instance()->set_id("web-9");
  request.mutable_registration()->mutable_instance()->set_service("web");
  ASSERT_TRUE(stream->Write(request));
  v1::HoldRegistrationResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(Hold(Secret(2), "web-9").error_code(), grpc::StatusCode::PERMISSION_DENIED);

  // Nor under another service's name that they may write.
  grpc::ClientContext thief;
  Authenticate(&thief, Secret(2));
  auto stolen = registry_->HoldRegistration(&thief);
  request.mutable_registration()->mutable_instance()->set_service("else");
  ASSERT_TRUE(stolen->Write(request));
  EXPECT_FALSE(stolen->Read(&response));
  EXPECT_EQ(stolen->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);

  // The first one still has it.
  stream->WritesDone();
  while (stream->Read(&response)) {
  }
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

}  // namespace
}  // namespace meshgate::testing
