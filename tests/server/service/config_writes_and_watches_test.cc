#include <cstdint>
#include <string>

#include "server/service/config_handlers.h"
#include "tests/server/service/handler_harness.h"

namespace meshgate::server {
namespace {

using consul::KvEntry;

KvEntry Entry(const std::string& key, const std::string& value, uint64_t index = 7) {
  KvEntry entry;
  entry.key = key;
  entry.value = value;
  entry.modify_index = index;
  return entry;
}

using PutConfigTest = HandlerHarness;

// All of a write must reach Consul, and the caller learns the index to read it back with, without its own value.
TEST_F(PutConfigTest, WritesAndAnswersWithTheIndexes) {
  caller_.time_left = absl::Seconds(2);
  v1::PutConfigRequest request;
  request.set_key("a");
  request.set_value(std::string(524288, 'v'));
  request.set_flags(18446744073709551615u);
  request.set_datacenter("dc2");
  Answered<v1::PutConfigResponse> answered;
  config_.PutConfig(request, caller_, answered.reply());
  const auto call = LastCall();
  EXPECT_EQ(call.method, Method::kPutKey);
  EXPECT_EQ(call.entry.key, "a");
  EXPECT_EQ(call.entry.value, request.value());
  EXPECT_EQ(call.entry.flags, 18446744073709551615u);
  EXPECT_FALSE(call.if_modify_index.has_value());
  EXPECT_EQ(call.write.datacenter, "dc2");
  EXPECT_EQ(call.write.timeout, absl::Seconds(2));
  backend_.AnswerPut(Entry("a", "", 12));
  Run();
  ASSERT_TRUE(answered.status().ok());
  EXPECT_EQ(answered.response().entry().key(), "a");
  EXPECT_EQ(answered.response().entry().value(), "");
  EXPECT_EQ(answered.response().entry().modify_index(), 12u);
}

// Zero means "only create", absent means "whatever is there": mixed up, one caller overwrites another's key.
TEST_F(PutConfigTest, TellsAnIndexOfZeroFromNone) {
  v1::PutConfigRequest request;
  request.set_key("a");
  for (uint64_t index : {uint64_t{0}, uint64_t{12}}) {
    request.set_if_modify_index(index);
    Answered<v1::PutConfigResponse> answered;
    config_.PutConfig(request, caller_, answered.reply());
    ASSERT_TRUE(LastCall().if_modify_index.has_value());
    EXPECT_EQ(*LastCall().if_modify_index, index);
  }
}

// A lost race and an unknown outcome must arrive as what they are.
TEST_F(PutConfigTest, PassesErrorsOn) {
  v1::PutConfigRequest request;
  request.set_key("a");
  const absl::Status errors[] = {
      MakeError(absl::StatusCode::kAborted, reason::kCasMismatch, "changed"),
      MakeError(absl::StatusCode::kUnavailable, reason::kWriteOutcomeUnknown, "may have been applied")};
  for (const absl::Status& error : errors) {
    Answered<v1::PutConfigResponse> answered;
    config_.PutConfig(request, caller_, answered.reply());
    backend_.Fail(Method::kPutKey, error);
    Run();
    EXPECT_EQ(answered.status(), error);
  }
}

// A write whose caller has given up before it was sent is not sent.
TEST_F(PutConfigTest, WritesNothingAfterTheDeadline) {
  caller_.time_left = absl::Seconds(-1);
  v1::PutConfigRequest request;
  request.set_key("a");
  Answered<v1::PutConfigResponse> answered;
  config_.PutConfig(request, caller_, answered.reply());
  EXPECT_EQ(answered.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(backend_.calls().empty());
}

using DeleteConfigTest = HandlerHarness;

// A key and a prefix of the same name are different things to delete.
TEST_F(DeleteConfigTest, DeletesWhatWasMeant) {
  v1::DeleteConfigRequest request;
  request.set_key("a");
  request.set_if_modify_index(12);
  request.set_datacenter("dc2");
  Answered<v1::DeleteConfigResponse> key;
  config_.DeleteConfig(request, caller_, key.reply());
  EXPECT_EQ(LastCall().method, Method::kDeleteKey);
  EXPECT_EQ(LastCall().name, "a");
  EXPECT_EQ(LastCall().if_modify_index, 12u);
  EXPECT_EQ(LastCall().write.datacenter, "dc2");
  backend_.AnswerDone(Method::kDeleteKey);

  request.Clear();
  request.set_prefix("a");
  Answered<v1::DeleteConfigResponse> prefix;
  config_.DeleteConfig(request, caller_, prefix.reply());
  EXPECT_EQ(LastCall().method, Method::kDeletePrefix);
  EXPECT_EQ(LastCall().name, "a");
  backend_.AnswerDone(Method::kDeletePrefix);
  Run();
  EXPECT_TRUE(key.status().ok());
  EXPECT_TRUE(prefix.status().ok());
}

// A failed deletion must not look like one that was made.
TEST_F(DeleteConfigTest, PassesErrorsOn) {
  v1::DeleteConfigRequest request;
  request.set_key("a");
  Answered<v1::DeleteConfigResponse> answered;
  config_.DeleteConfig(request, caller_, answered.reply());
  EXPECT_FALSE(LastCall().if_modify_index.has_value());
  const absl::Status error = MakeError(absl::StatusCode::kAborted, reason::kCasMismatch, "changed");
  backend_.AnswerDone(Method::kDeleteKey, error);
  Run();
  EXPECT_EQ(answered.status(), error);
}

class WatchConfigTest : public HandlerHarness {
 protected:
  static v1::WatchConfigResponse Parse(const std::string& bytes) {
    v1::WatchConfigResponse response;
    EXPECT_TRUE(response.ParseFromString(bytes));
    return response;
  }

  RecordedStream stream_{&scheduler_, &reporter_};
};

// The handler must join the right topic: a key's, with all that the request says of it.
TEST_F(WatchConfigTest, StreamsAKey) {
  v1::WatchConfigRequest request;
  request.set_key("a");
  request.set_datacenter("dc2");
  request.set_subscriber("payments-7c9f");
  config_.WatchConfig(request, caller_, stream_.outbox());
  ASSERT_EQ(backend_.pending(Method::kReadKey), 1u);
  EXPECT_EQ(LastCall().name, "a");
  EXPECT_EQ(LastCall().read.datacenter, "dc2");
  backend_.AnswerEntries(Method::kReadKey, {Entry("a", "1")}, 9);
  Run();
  ASSERT_EQ(stream_.written().size(), 1u);
  const v1::WatchConfigResponse snapshot = Parse(stream_.written()[0]);
  EXPECT_TRUE(snapshot.snapshot());
  ASSERT_EQ(snapshot.events_size(), 1);
  EXPECT_EQ(snapshot.events(0).entry().value(), "1");
  EXPECT_FALSE(stream_.end().has_value());
}

// A reader that comes back with its token and has missed nothing must not be sent the state again.
TEST_F(WatchConfigTest, ResumesBehindAToken) {
  v1::WatchConfigRequest request;
  request.set_key("a");
  config_.WatchConfig(request, caller_, stream_.outbox());
  backend_.AnswerEntries(Method::kReadKey, {Entry("a", "1")}, 9);
  Run();
  ASSERT_EQ(stream_.written().size(), 1u);
  request.set_resume_token(Parse(stream_.written()[0]).resume_token());
  ASSERT_NE(request.resume_token(), "");
  RecordedStream resumed(&scheduler_, &reporter_);
  config_.WatchConfig(request, caller_, resumed.outbox());
  Run();
  ASSERT_EQ(resumed.written().size(), 1u);
  EXPECT_FALSE(Parse(resumed.written()[0]).snapshot());
  EXPECT_EQ(Parse(resumed.written()[0]).events_size(), 0);
}

// A prefix, the empty one too, is a topic of its own kind.
TEST_F(WatchConfigTest, StreamsAPrefix) {
  v1::WatchConfigRequest request;
  request.set_prefix("");
  config_.WatchConfig(request, caller_, stream_.outbox());
  ASSERT_EQ(backend_.pending(Method::kReadPrefix), 1u);
  EXPECT_EQ(LastCall().name, "");
  backend_.AnswerEntries(Method::kReadPrefix, {Entry("a", "1"), Entry("b", "2")}, 9);
  Run();
  ASSERT_EQ(stream_.written().size(), 1u);
  EXPECT_EQ(Parse(stream_.written()[0]).events_size(), 2);
}

// A quiet stream shows that it is alive as often as it was asked to, and not at all when it was not.
TEST_F(WatchConfigTest, SendsProgressWhenAskedTo) {
  RecordedStream quiet(&scheduler_, &reporter_);
  v1::WatchConfigRequest request;
  request.set_key("a");
  config_.WatchConfig(request, caller_, quiet.outbox());
  request.mutable_progress_interval()->set_seconds(1);
  config_.WatchConfig(request, caller_, stream_.outbox());
  backend_.AnswerEntries(Method::kReadKey, {Entry("a", "1")}, 9);
  Run();
  ASSERT_EQ(stream_.written().size(), 1u);
  for (int second = 1; second <= 3; ++second) {
    scheduler_.Advance(absl::Seconds(1));
    ASSERT_EQ(stream_.written().size(), 1u + second);
  }
  EXPECT_EQ(quiet.written().size(), 1u);
  EXPECT_EQ(Parse(stream_.written()[1]).events_size(), 0);
  EXPECT_EQ(Parse(stream_.written()[1]).index(), 9u);
}

// What can't be watched ends the stream with the reason why.
TEST_F(WatchConfigTest, EndsWithTheHubsError) {
  v1::WatchConfigRequest request;
  request.set_key("a");
  config_.WatchConfig(request, caller_, stream_.outbox());
  const absl::Status denied = MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied, "no");
  backend_.Fail(Method::kReadKey, denied);
  Run();
  EXPECT_EQ(stream_.end(), denied);
}

}  // namespace
}  // namespace meshgate::server
