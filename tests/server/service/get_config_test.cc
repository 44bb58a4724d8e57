#include <string>
#include <utility>
#include <vector>

#include "server/service/config_handlers.h"
#include "tests/server/service/handler_harness.h"

namespace meshgate::server {
namespace {

using consul::KvEntry;
using consul::ReadMode;

KvEntry Entry(const std::string& key, const std::string& value, uint64_t index = 7) {
  KvEntry entry;
  entry.key = key;
  entry.value = value;
  entry.flags = 18446744073709551615u;
  entry.create_index = index - 1;
  entry.modify_index = index;
  return entry;
}

absl::Status Away() { return MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "Consul is away"); }

class GetConfigTest : public HandlerHarness {
 protected:
  Answered<v1::GetConfigResponse> Get(const std::string& key, const v1::ReadOptions& options = {}) {
    v1::GetConfigRequest request;
    request.set_key(key);
    *request.mutable_options() = options;
    Answered<v1::GetConfigResponse> answered;
    config_.GetConfig(request, caller_, answered.reply());
    return answered;
  }

  static v1::ReadOptions With(v1::Consistency consistency, uint64_t min_index = 0) {
    v1::ReadOptions options;
    options.set_consistency(consistency);
    options.set_min_index(min_index);
    return options;
  }
};

// The plain case: all that Consul knows of an entry reaches the caller, who is told that memory answered.
TEST_F(GetConfigTest, AnswersFromTheHub) {
  auto answered = Get("pay/url");
  ASSERT_EQ(backend_.pending(Method::kReadKey), 1u);
  EXPECT_EQ(LastCall().name, "pay/url");
  backend_.AnswerEntries(Method::kReadKey, {Entry("pay/url", std::string("\0\xff", 2))}, 9);
  Run();
  ASSERT_TRUE(answered.status().ok()) << answered.status();
  const v1::GetConfigResponse& response = answered.response();
  EXPECT_EQ(response.entry().key(), "pay/url");
  EXPECT_EQ(response.entry().value(), std::string("\0\xff", 2));
  EXPECT_EQ(response.entry().flags(), 18446744073709551615u);
  EXPECT_EQ(response.entry().create_index(), 6u);
  EXPECT_EQ(response.entry().modify_index(), 7u);
  EXPECT_EQ(response.info().source(), v1::ReadInfo::SOURCE_CACHE);
  EXPECT_EQ(response.info().index(), 9u);
}

// Reads of a key that is watched already must not reach Consul: that is what the memory is for.
TEST_F(GetConfigTest, AsksConsulOnce) {
  auto first = Get("a");
  backend_.AnswerEntries(Method::kReadKey, {Entry("a", "1")}, 7);
  Run();
  const size_t asked = backend_.calls().size();
  scheduler_.Advance(absl::Seconds(3));
  const size_t watching = backend_.calls().size();
  auto second = Get("a", With(v1::CONSISTENCY_CACHED));
  ASSERT_FALSE(second.pending());
  EXPECT_EQ(second.response().entry().value(), "1");
  EXPECT_EQ(second.response().info().age().seconds(), 3);
  EXPECT_EQ(backend_.calls().size(), watching);
  EXPECT_LE(watching, asked + 1);
}

// The longest key, and keys of every other kind that Consul takes, must pass.
TEST_F(GetConfigTest, TakesEveryGoodKey) {
  for (const std::string& key : {std::string(1024, 'k'), std::string("a b"), std::string("a/.b/..c/d."),
                                 std::string("caf\xc3\xa9"), std::string("a?b#c%d"), std::string("folder/")}) {
    auto answered = Get(key, With(v1::CONSISTENCY_DEFAULT));
    EXPECT_EQ(LastCall().name, key);
    backend_.AnswerEntries(Method::kReadKey, {Entry(key, "v")}, 7);
    Run();
    EXPECT_TRUE(answered.status().ok()) << answered.status();
  }
}

// A caller that mistypes a key must be able to see it from the error.
TEST_F(GetConfigTest, NamesTheKeyThatIsMissing) {
  auto answered = Get("pay/ulr");
  backend_.AnswerEntries(Method::kReadKey, {}, 9);
  Run();
  EXPECT_EQ(answered.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(answered.status()), reason::kKeyNotFound);
  EXPECT_NE(answered.status().message().find("pay/ulr"), absl::string_view::npos);
}

// A value may be empty; the key exists all the same.
TEST_F(GetConfigTest, TellsAnEmptyValueFromAMissingKey) {
  auto answered = Get("a");
  backend_.AnswerEntries(Method::kReadKey, {Entry("a", "")}, 9);
  Run();
  ASSERT_TRUE(answered.status().ok());
  EXPECT_EQ(answered.response().entry().value(), "");
}

// Each consistency that is Consul's must be asked of Consul, within the caller's deadline, and be said to come from it.
TEST_F(GetConfigTest, AsksConsulInTheModeAskedFor) {
  caller_.time_left = absl::Seconds(2);
  const std::pair<v1::Consistency, ReadMode> modes[] = {{v1::CONSISTENCY_DEFAULT, ReadMode::kDefault},
                                                        {v1::CONSISTENCY_CONSISTENT, ReadMode::kConsistent},
                                                        {v1::CONSISTENCY_STALE, ReadMode::kStale}};
  for (const auto& [consistency, mode] : modes) {
    v1::ReadOptions options = With(consistency);
    options.set_datacenter("dc2");
    auto answered = Get("a", options);
    const auto call = LastCall();
    EXPECT_EQ(call.read.mode, mode);
    EXPECT_EQ(call.read.datacenter, "dc2");
    EXPECT_EQ(call.read.timeout, absl::Seconds(2));
    EXPECT_EQ(call.read.index, 0u);
    backend_.AnswerEntries(Method::kReadKey, {Entry("a", "1")}, 9);
    Run();
    ASSERT_TRUE(answered.status().ok());
    EXPECT_EQ(answered.response().info().source(), v1::ReadInfo::SOURCE_CONSUL);
    EXPECT_EQ(answered.response().info().index(), 9u);
    EXPECT_TRUE(answered.response().info().has_age());
    EXPECT_EQ(answered.response().info().age().seconds(), 0);
  }
}

// A cached read of another datacenter must not be answered from this one.
TEST_F(GetConfigTest, KeepsDatacentersApart) {
  auto here = Get("a");
  v1::ReadOptions options;
  options.set_datacenter("dc2");
  auto there = Get("a", options);
  ASSERT_EQ(backend_.pending(Method::kReadKey), 2u);
  EXPECT_EQ(LastCall().read.datacenter, "dc2");
  backend_.AnswerEntries(Method::kReadKey, {Entry("a", "here")}, 9);
  backend_.AnswerEntries(Method::kReadKey, {Entry("a", "there")}, 9);
  Run();
  EXPECT_EQ(here.response().entry().value(), "here");
  EXPECT_EQ(there.response().entry().value(), "there");
}

// Read your own write: an answer from before the write is asked for again, with a quorum, and that one stands.
TEST_F(GetConfigTest, AsksAgainWithAQuorumForAnOlderAnswer) {
  auto answered = Get("a", With(v1::CONSISTENCY_STALE, 50));
  backend_.AnswerEntries(Method::kReadKey, {Entry("a", "old", 40)}, 40);
  Run();
  ASSERT_TRUE(answered.pending());
  EXPECT_EQ(LastCall().read.mode, ReadMode::kConsistent);
  backend_.AnswerEntries(Method::kReadKey, {Entry("a", "new", 49)}, 49);
  Run();
  ASSERT_TRUE(answered.status().ok());
  EXPECT_EQ(answered.response().entry().value(), "new");
  EXPECT_EQ(answered.response().info().index(), 49u);
  EXPECT_EQ(backend_.calls().size(), 2u);
}

// An answer that is new enough, or was made with a quorum, must not be asked for twice.
TEST_F(GetConfigTest, AsksOnceForANewEnoughAnswer) {
  for (const auto& [consistency, index] :
       {std::pair(v1::CONSISTENCY_DEFAULT, 50), std::pair(v1::CONSISTENCY_CONSISTENT, 40)}) {
    auto answered = Get("a", With(consistency, 50));
    const size_t asked = backend_.calls().size();
    backend_.AnswerEntries(Method::kReadKey, {Entry("a", "1")}, index);
    Run();
    EXPECT_FALSE(answered.pending());
    EXPECT_EQ(backend_.calls().size(), asked);
  }
}

// With the memory behind the write, Consul is asked, and the caller is told that Consul answered.
TEST_F(GetConfigTest, PassesTheMemoryByForANewerIndex) {
  Get("a");
  backend_.AnswerEntries(Method::kReadKey, {Entry("a", "old", 40)}, 40);
  Run();
  auto answered = Get("a", With(v1::CONSISTENCY_CACHED, 50));
  ASSERT_TRUE(answered.pending());
  EXPECT_EQ(LastCall().read.mode, ReadMode::kConsistent);
  // The watch's own query waits too, and is the older one.
  backend_.Fail(Method::kReadKey, Away());
  backend_.AnswerEntries(Method::kReadKey, {Entry("a", "new", 50)}, 50);
  Run();
  ASSERT_TRUE(answered.status().ok()) << answered.status();
  EXPECT_EQ(answered.response().entry().value(), "new");
  EXPECT_EQ(answered.response().info().source(), v1::ReadInfo::SOURCE_CONSUL);
}

// While Consul is away the last state is served, marked as such with its age; unless the caller can't use one so old.
TEST_F(GetConfigTest, SaysWhenTheStateIsTheLastKnown) {
  Get("a");
  backend_.AnswerEntries(Method::kReadKey, {Entry("a", "1")}, 7);
  Run();
  LoseConsul(Method::kReadKey);
  auto answered = Get("a");
  ASSERT_TRUE(answered.status().ok()) << answered.status();
  EXPECT_EQ(answered.response().info().source(), v1::ReadInfo::SOURCE_LAST_KNOWN_GOOD);
  EXPECT_EQ(answered.response().info().age().seconds(), 25);

  v1::ReadOptions fresh;
  fresh.mutable_max_age()->set_seconds(10);
  auto refused = Get("a", fresh);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(refused.status()), reason::kTooStale);
}

// Errors of Consul pass unchanged, reason and all, whichever way the read went.
TEST_F(GetConfigTest, PassesErrorsOn) {
  const absl::Status denied = MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied, "no");
  for (v1::Consistency consistency : {v1::CONSISTENCY_CACHED, v1::CONSISTENCY_DEFAULT}) {
    auto answered = Get("a", With(consistency));
    backend_.Fail(Method::kReadKey, denied);
    Run();
    EXPECT_EQ(answered.status(), denied);
  }
}

// Nobody waits for the answer of a call whose deadline has passed.
TEST_F(GetConfigTest, SparesConsulAfterTheDeadline) {
  caller_.time_left = absl::ZeroDuration();
  EXPECT_EQ(Get("a").status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(backend_.calls().empty());
}

}  // namespace
}  // namespace meshgate::server
