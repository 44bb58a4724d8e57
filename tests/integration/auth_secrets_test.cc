// What a gateway with --auth=consul keeps to itself, and what it does without Consul.
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/integration/auth_calls.h"

namespace meshgate::testing {
namespace {

class AuthSecretsTest : public AuthCalls {
 protected:
  void SetUp() override {
    process_.stderr_file = absl::StrCat(std::getenv("TEST_TMPDIR"), "/",
                                        ::testing::UnitTest::GetInstance()->current_test_info()->name(), ".log");
    // However slow the machine.
    Start({"--log_level=debug", "--log_format=json", "--auth_grace=1h"}, process_);
  }

  std::string Log() {
    std::ifstream in(process_.stderr_file);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }

  ChildProcess::Options process_;
};

// A token or a value in a log, a metric or an error is one in a hundred other places.
TEST_F(AuthSecretsTest, NothingSaysATokenOrAValue) {
  constexpr char kValue[] = "canary-of-the-secrets";
  MakeCallers(kValue);
  std::string said;
  const std::string malformed = "canary malformed";
  for (const std::string& token : {std::string(), std::string(kUnknown), Secret(1), Secret(2), malformed}) {
    for (const Case& one : Calls(kValue)) {
      const grpc::Status status = one.call(token);
      absl::StrAppend(&said, status.error_message(), "\n", status.error_details(), "\n");
    }
  }
  DeleteToken(Secret(3));
  for (const Case& one : Calls(kValue)) absl::StrAppend(&said, one.call(Secret(3)).error_message(), "\n");
  agent_.Kill();
  for (const Case& one : Calls(kValue)) {
    // The others need Consul for the test's own part, or wait for it as long as they may.
    if (one.name.find("Config") == std::string::npos || one.name.find("Watch") == 0) continue;
    absl::StrAppend(&said, one.call(Secret(2)).error_message(), "\n");
  }
  const std::string metrics = gateway_->Get("/metrics").value_or("");
  EXPECT_NE(metrics.find("meshgate_auth_checks_total{result=\"denied\"}"), std::string::npos);
  EXPECT_NE(metrics.find("meshgate_auth_check_duration_seconds_count"), std::string::npos);
  const std::string log = Log();
  EXPECT_NE(log.find("GetConfig"), std::string::npos);
  for (const std::string& secret : {std::string(kRoot), std::string(kGateway), std::string(kUnknown), Secret(1),
                                    Secret(2), Secret(3), std::string(kValue), malformed}) {
    for (const auto& [where, text] :
         {std::pair<const char*, std::string>{"log", log}, {"metrics", metrics}, {"errors", said}}) {
      const size_t at = text.find(secret);
      EXPECT_EQ(at, std::string::npos) << where << ": "
                                       << (at == std::string::npos ? ""
                                                                   : text.substr(at - std::min<size_t>(at, 200), 300));
    }
  }
}

// Without Consul, callers that were allowed shortly before get what was known; nobody else gets anything.
TEST_F(AuthSecretsTest, WithoutConsulWhatWasAllowedShortlyBefore) {
  constexpr char kValue[] = "canary-of-the-outage";
  MakePolicy("allowed", kAllowed);
  MakeToken(Secret(1), "allowed");
  MakeToken(Secret(2), "allowed");
  Put("app/k", kValue);
  v1::WatchConfigRequest request;
  request.set_key("app/k");
  const auto open = [&](const std::string& token) {
    return std::make_unique<WatchStream<v1::WatchConfigResponse>>([&](grpc::ClientContext* context) {
      Authenticate(context, token);
      return config_->WatchConfig(context, request);
    });
  };
  auto stream = open(Secret(1));
  ASSERT_TRUE(stream->Read());
  agent_.Freeze();
  // Asked while Consul answers nobody; a moment later it is known to be away.
  ASSERT_TRUE(gateway_->WaitForMetric("meshgate_consul_breaker_state{state=\"open\"}", 1));
  auto known = open(Secret(1));
  ASSERT_TRUE(known->Read()) << known->Finish().error_message();
  ASSERT_EQ(known->response().events_size(), 1);
  EXPECT_EQ(known->response().events(0).entry().value(), kValue);
  auto stranger = open(Secret(2));
  EXPECT_FALSE(stranger->Read());
  const grpc::Status status = stranger->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_NE(status.error_details().find("PERMISSION_UNKNOWN"), std::string::npos);

  agent_.Thaw();
  ASSERT_TRUE(gateway_->WaitForMetric("meshgate_consul_breaker_state{state=\"closed\"}", 1));
  Put("app/k", "after");
  while (stream->Read()) {
    if (stream->response().events_size() > 0) break;
  }
  ASSERT_EQ(stream->response().events_size(), 1);
  EXPECT_EQ(stream->response().events(0).entry().value(), "after");
}

}  // namespace
}  // namespace meshgate::testing
