// Who may do what through a gateway with --auth=mtls.
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/integration/every_call.h"
#include "tests/integration/mtls_fixture.h"

namespace meshgate::testing {
namespace {

class MtlsTableTest : public EveryCall<MtlsFixture> {
 protected:
  static grpc::Status Commit(v1::ConfigService::Stub* stub, const std::vector<std::string>& keys) {
    grpc::ClientContext context;
    v1::CommitConfigRequest request;
    for (const std::string& key : keys) request.add_operations()->mutable_put()->set_key(key);
    v1::CommitConfigResponse response;
    return stub->CommitConfig(&context, request, &response);
  }
  grpc::Status Deregister(const std::string& caller, const std::string& id) {
    grpc::ClientContext context;
    v1::DeregisterRequest request;
    request.set_id(id);
    v1::DeregisterResponse response;
    return registry(caller)->Deregister(&context, request, &response);
  }
  std::string Log() {
    std::ifstream log(log_file_);
    return {std::istreambuf_iterator<char>(log), std::istreambuf_iterator<char>()};
  }
  grpc::Status Heartbeat(const std::string& caller, const std::string& id) {
    grpc::ClientContext context;
    v1::HeartbeatRequest request;
    request.set_id(id);
    v1::HeartbeatResponse response;
    return registry(caller)->Heartbeat(&context, request, &response);
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, MtlsTableTest, ::testing::Values("embedded", "consul"), BackendName);

// A call that does not end as the list would have it lets callers see or do what they may not, or keeps them from what
// they may; and no byte of what it is about may reach who was refused, nor a word about what others may.
TEST_P(MtlsTableTest, EveryCallEndsAsTheListWouldHaveIt) {
  constexpr char kValue[] = "canary-of-the-table";
  const std::string common_name = kCommonName, nameless = kNameless, none = kNoCertificate;
  Allow({{"allowed", kAllowed}, {"else", kElse}, {"nothing", "{}"}, {common_name, kAllowed}});
  Put("app/k", kValue);
  RegisterAtConsul("web", "web-1");

  const auto expect_all = [&](const std::string& caller, grpc::StatusCode want, const std::string& reason) {
    for (const Case& one : Calls("written")) {
      const grpc::Status status = one.call(caller);
      EXPECT_EQ(status.error_code(), want) << one.name << " by " << caller << ": " << status.error_message();
      if (want == grpc::StatusCode::OK || reason.empty()) continue;
      EXPECT_TRUE(Says(status, reason)) << one.name << " by " << caller << ": " << status.error_message();
      if (want != grpc::StatusCode::PERMISSION_DENIED) continue;
      EXPECT_NE(status.error_message().find("\"spiffe://test/" + caller + "\""), std::string::npos);
      EXPECT_NE(status.error_message().find("--auth_mtls_file"), std::string::npos) << status.error_message();
      for (const char* other : {"admin", "app/", kValue}) {
        EXPECT_EQ(status.error_message().find(other), std::string::npos) << status.error_message();
      }
    }
  };
  const auto denied = grpc::StatusCode::PERMISSION_DENIED;
  // The handshake fails: its library says that there is no connection.
  expect_all(none, grpc::StatusCode::UNAVAILABLE, "");
  expect_all(nameless, grpc::StatusCode::UNAUTHENTICATED, "IDENTITY_MISSING");
  expect_all("unlisted", denied, "IDENTITY_NOT_LISTED");
  expect_all("else", denied, "PERMISSION_DENIED");
  expect_all("nothing", denied, "PERMISSION_DENIED");
  for (const std::string& caller :
       {none, nameless, std::string("unlisted"), std::string("else"), std::string("nothing")}) {
    EXPECT_FALSE(WasSent(caller, kValue)) << caller;
    EXPECT_FALSE(WasSent(caller, "web-1")) << caller;
  }
  expect_all("allowed", grpc::StatusCode::OK, "");
  expect_all(common_name, grpc::StatusCode::OK, "");
  EXPECT_TRUE(WasSent("allowed", kValue));
  EXPECT_TRUE(WasSent("allowed", "web-1"));

  // The gateway has known all of it for a while when the list changes.
  Allow("allowed", kElse);
  expect_all("allowed", denied, "PERMISSION_DENIED");
  Allow("allowed", "");
  expect_all("allowed", denied, "IDENTITY_NOT_LISTED");
  Allow("allowed", kAllowed);
  expect_all("allowed", grpc::StatusCode::OK, "");
  expect_all("else", denied, "PERMISSION_DENIED");
  EXPECT_FALSE(WasSent("else", kValue));
  EXPECT_EQ(Log().find(kValue), std::string::npos);
  EXPECT_NE(Log().find("unlisted"), std::string::npos) << "an operator is to see who is refused, and why";
}

// Of what a caller may see in part it gets that part, whichever way the read goes.
TEST_P(MtlsTableTest, ListsShowWhatMayBeRead) {
  Allow("some", R"({read: {keys: [app/seen], services: [web]}})");
  Put("app/seen", "1");
  Put("app/seen/not", "2");
  Put("app/hidden", "3");
  RegisterAtConsul("web", "web-1");
  RegisterAtConsul("other", "other-1");
  for (const v1::Consistency consistency : {v1::CONSISTENCY_CACHED, v1::CONSISTENCY_DEFAULT}) {
    grpc::ClientContext list, services;
    v1::ListConfigRequest request;
    request.set_prefix("app/");
    // A page that what is hidden does not fill.
    request.set_page_size(1);
    request.mutable_options()->set_consistency(consistency);
    v1::ListConfigResponse response;
    const grpc::Status status = config("some")->ListConfig(&list, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(response.entries_size(), 1);
    EXPECT_EQ(response.entries(0).key(), "app/seen");
    EXPECT_EQ(response.next_page_token(), "");

    v1::ListServicesRequest all;
    all.mutable_options()->set_consistency(consistency);
    v1::ListServicesResponse seen;
    ASSERT_TRUE(registry("some")->ListServices(&services, all, &seen).ok());
    ASSERT_EQ(seen.services_size(), 1);
    EXPECT_EQ(seen.services(0).name(), "web");
  }
  for (const char* hidden : {"app/hidden", "app/seen/not", "other"}) EXPECT_FALSE(WasSent("some", hidden)) << hidden;
}

// An instance is its service's, whatever its id: a caller that may register one service must not touch another's.
TEST_P(MtlsTableTest, InstancesBelongToTheirServices) {
  Allow("web", R"({register: {services: ["web*"]}})");
  RegisterAtConsul("db", "web-looks-like-it");
  const auto denied = grpc::StatusCode::PERMISSION_DENIED;
  EXPECT_EQ(Deregister("web", "web-looks-like-it").error_code(), denied);
  EXPECT_EQ(Heartbeat("web", "web-looks-like-it").error_code(), denied);
  EXPECT_EQ(Register("web", "web", "web-looks-like-it").error_code(), denied) << "it would be taken from db";
  EXPECT_EQ(Hold("web", "web-looks-like-it").error_code(), denied);
  EXPECT_EQ(Register("web", "db", "web-2").error_code(), denied);
  EXPECT_TRUE(Heartbeat("admin", "web-looks-like-it").ok()) << "it is still there";

  EXPECT_TRUE(Register("web", "web", "any-id").ok());
  EXPECT_TRUE(Register("web", "web-canary", "any-id").ok()) << "both are its own";
  EXPECT_TRUE(Heartbeat("web", "any-id").ok());
  EXPECT_TRUE(Deregister("web", "any-id").ok());
  const grpc::Status gone = Deregister("web", "any-id");
  EXPECT_EQ(gone.error_code(), grpc::StatusCode::NOT_FOUND) << gone.error_message();
  EXPECT_TRUE(Says(gone, "INSTANCE_NOT_FOUND"));
}

// All or nothing: what may not be written must not be, nor anything with it, and the caller learns which it was.
TEST_P(MtlsTableTest, CommitsAreCheckedAsAWhole) {
  Allow("writer", R"({write: {keys: [app/a/, app/one]}})");
  EXPECT_TRUE(Commit(config("writer"), {"app/a/1", "app/one"}).ok());
  const grpc::Status refused = Commit(config("writer"), {"app/a/2", "app/b"});
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(refused.error_message().rfind("operations[1]: ", 0), 0u) << refused.error_message();
  EXPECT_TRUE(Says(refused, "PERMISSION_DENIED"));
  const auto remove = [&](bool prefix, const std::string& name) {
    grpc::ClientContext context;
    v1::DeleteConfigRequest request;
    prefix ? request.set_prefix(name) : request.set_key(name);
    v1::DeleteConfigResponse response;
    return config("writer")->DeleteConfig(&context, request, &response).error_code();
  };
  // Others' keys begin so, too.
  EXPECT_EQ(remove(true, "app/"), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(remove(true, "app/one"), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(remove(false, "app/one"), grpc::StatusCode::OK);
  EXPECT_EQ(remove(true, "app/a/"), grpc::StatusCode::OK);
  grpc::ClientContext context;
  v1::ListConfigRequest request;
  request.mutable_options()->set_consistency(v1::CONSISTENCY_DEFAULT);
  v1::ListConfigResponse left;
  ASSERT_TRUE(config("admin")->ListConfig(&context, request, &left).ok());
  EXPECT_EQ(left.entries_size(), 0) << left.ShortDebugString();
}

// A mistake in the list must not cut anybody off, and its correction must count.
TEST_P(MtlsTableTest, ABadListLeavesTheOneBefore) {
  Allow("allowed", kAllowed);
  { std::ofstream(list_file_) << "identities: {spiffe://test/admin: {reed: {}}}"; }
  ASSERT_TRUE(gateway_->WaitForMetric("meshgate_auth_list_reloads_total{result=\"failed\"}", 1));
  EXPECT_EQ(gateway_->Metric("meshgate_auth_list_identities"), 2);
  for (const Case& one : Calls("written")) {
    if (one.name != "PutConfig" && one.name != "Register") continue;
    EXPECT_TRUE(one.call("allowed").ok()) << one.name;
  }
  EXPECT_NE(Log().find("list.yaml:1: spiffe://test/admin: reed: is no permission"), std::string::npos) << Log();
  Allow("allowed", kElse);
  for (const Case& one : Calls("written")) {
    if (one.name != "PutConfig") continue;
    EXPECT_EQ(one.call("allowed").error_code(), grpc::StatusCode::PERMISSION_DENIED);
  }
}

}  // namespace
}  // namespace meshgate::testing
