#include <cstdint>
#include <string>

#include "server/service/config_handlers.h"
#include "tests/server/service/handler_harness.h"

namespace meshgate::server {
namespace {

using CommitConfigTest = HandlerHarness;

// All of a commit must reach the store, in order and with its conditions, and its caller learn the indexes.
TEST_F(CommitConfigTest, WritesAllOfItAndAnswersWithTheIndexes) {
  caller_.time_left = absl::Seconds(2);
  v1::CommitConfigRequest request;
  request.set_datacenter("dc2");
  auto* put = request.add_operations()->mutable_put();
  put->set_key("a");
  put->set_value("1");
  put->set_flags(18446744073709551615u);
  put->set_datacenter("dc2");
  auto* create = request.add_operations()->mutable_put();
  create->set_key("b");
  create->set_if_modify_index(0);
  auto* remove = request.add_operations()->mutable_delete_();
  remove->set_key("c");
  remove->set_if_modify_index(12);
  request.add_operations()->mutable_delete_()->set_key("d");
  request.add_operations()->mutable_delete_()->set_prefix("e/");
  Answered<v1::CommitConfigResponse> answered;
  config_.CommitConfig(request, caller_, answered.reply());
  const auto call = LastCall();
  ASSERT_EQ(call.method, Method::kCommit);
  EXPECT_EQ(call.write.datacenter, "dc2");
  EXPECT_EQ(call.write.timeout, absl::Seconds(2));
  ASSERT_EQ(call.operations.size(), 5u);
  const auto& first = std::get<consul::PutOperation>(call.operations[0]);
  EXPECT_EQ(first.entry.key, "a");
  EXPECT_EQ(first.entry.value, "1");
  EXPECT_EQ(first.entry.flags, 18446744073709551615u);
  EXPECT_FALSE(first.if_modify_index.has_value());
  EXPECT_EQ(std::get<consul::PutOperation>(call.operations[1]).if_modify_index, 0u);
  EXPECT_EQ(std::get<consul::DeleteKeyOperation>(call.operations[2]).if_modify_index, 12u);
  EXPECT_FALSE(std::get<consul::DeleteKeyOperation>(call.operations[3]).if_modify_index.has_value());
  EXPECT_EQ(std::get<consul::DeletePrefixOperation>(call.operations[4]).prefix, "e/");

  consul::KvEntry a;
  a.key = "a";
  a.create_index = 7;
  a.modify_index = 12;
  consul::KvEntry b = a;
  b.key = "b";
  backend_.AnswerCommit({a, b});
  Run();
  ASSERT_TRUE(answered.status().ok());
  ASSERT_EQ(answered.response().entries_size(), 2);
  EXPECT_EQ(answered.response().entries(0).key(), "a");
  EXPECT_EQ(answered.response().entries(0).create_index(), 7u);
  EXPECT_EQ(answered.response().entries(0).modify_index(), 12u);
  EXPECT_EQ(answered.response().entries(1).key(), "b");
}

// A lost race and an unknown outcome must arrive as what they are.
TEST_F(CommitConfigTest, PassesErrorsOn) {
  v1::CommitConfigRequest request;
  request.add_operations()->mutable_put()->set_key("a");
  const absl::Status errors[] = {
      MakeError(absl::StatusCode::kAborted, reason::kCasMismatch, "operations[0]: changed"),
      MakeError(absl::StatusCode::kUnavailable, reason::kWriteOutcomeUnknown, "may have been applied")};
  for (const absl::Status& error : errors) {
    Answered<v1::CommitConfigResponse> answered;
    config_.CommitConfig(request, caller_, answered.reply());
    backend_.Fail(Method::kCommit, error);
    Run();
    EXPECT_EQ(answered.status(), error);
  }
}

// A commit whose caller has given up before it was sent is not sent.
TEST_F(CommitConfigTest, WritesNothingAfterTheDeadline) {
  caller_.time_left = absl::Seconds(-1);
  v1::CommitConfigRequest request;
  request.add_operations()->mutable_put()->set_key("a");
  Answered<v1::CommitConfigResponse> answered;
  config_.CommitConfig(request, caller_, answered.reply());
  EXPECT_EQ(answered.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(backend_.calls().empty());
}

// A commit must be told why it was too much: a caller who reads "invalid" can't do better.
TEST_F(CommitConfigTest, SaysWhichLimitItExceeds) {
  v1::CommitConfigRequest request;
  for (int i = 0; i < 65; ++i) request.add_operations()->mutable_put()->set_key("a");
  Answered<v1::CommitConfigResponse> many;
  config_.CommitConfig(request, caller_, many.reply());
  EXPECT_NE(many.status().message().find("at most 64 elements, has 65"), std::string::npos) << many.status();
  request.Clear();
  auto* put = request.add_operations()->mutable_put();
  put->set_key("a");
  put->set_value(std::string(400000, 'v'));
  Answered<v1::CommitConfigResponse> large;
  config_.CommitConfig(request, caller_, large.reply());
  EXPECT_NE(large.status().message().find("524288"), std::string::npos) << large.status();
  EXPECT_EQ(ReasonOf(large.status()), reason::kValueTooLarge);
}

}  // namespace
}  // namespace meshgate::server
