#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
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

class ConfigHandlersTest : public HandlerHarness {
 protected:
  Answered<v1::GetConfigResponse> Get(const std::string& key, const v1::ReadOptions& options = {}) {
    v1::GetConfigRequest request;
    request.set_key(key);
    *request.mutable_options() = options;
    Answered<v1::GetConfigResponse> answered;
    config_.GetConfig(request, caller_, answered.reply());
    return answered;
  }

  Answered<v1::ListConfigResponse> List(const v1::ListConfigRequest& request) {
    Answered<v1::ListConfigResponse> answered;
    config_.ListConfig(request, caller_, answered.reply());
    return answered;
  }

  static v1::ReadOptions With(v1::Consistency consistency, uint64_t min_index = 0) {
    v1::ReadOptions options;
    options.set_consistency(consistency);
    options.set_min_index(min_index);
    return options;
  }
};

using GetConfigTest = ConfigHandlersTest;

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

class ListConfigTest : public ConfigHandlersTest {
 protected:
  // Lets the hub hold these entries under `prefix`.
  void Hold(const std::string& prefix, std::vector<KvEntry> entries, uint64_t index) {
    v1::ListConfigRequest request;
    request.set_prefix(prefix);
    auto answered = List(request);
    backend_.AnswerEntries(Method::kReadPrefix, std::move(entries), index);
    Run();
    ASSERT_TRUE(answered.status().ok()) << answered.status();
  }

  static std::vector<KvEntry> Numbered(int count, const std::string& value) {
    std::vector<KvEntry> entries;
    for (int i = 0; i < count; ++i) entries.push_back(Entry(absl::StrCat("a/", 100000 + i), value));
    return entries;
  }
};

// Pages must put together to the whole list: in order, nothing twice, nothing missing, and an end.
TEST_F(ListConfigTest, PagesThroughAllEntriesInOrder) {
  const std::vector<KvEntry> entries = Numbered(25, "v");
  Hold("a/", entries, 9);
  std::vector<std::string> keys;
  std::vector<int> sizes;
  v1::ListConfigRequest request;
  request.set_prefix("a/");
  request.set_page_size(10);
  do {
    auto answered = List(request);
    ASSERT_TRUE(answered.status().ok()) << answered.status();
    for (const v1::ConfigEntry& entry : answered.response().entries()) {
      keys.push_back(entry.key());
      EXPECT_EQ(entry.value(), "v");
    }
    sizes.push_back(answered.response().entries_size());
    request.set_page_token(answered.response().next_page_token());
  } while (!request.page_token().empty() && sizes.size() < 10);
  EXPECT_EQ(sizes, (std::vector<int>{10, 10, 5}));
  ASSERT_EQ(keys.size(), entries.size());
  for (size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(keys[i], entries[i].key);
}

// A page that ends with the list is the last one: a caller must not have to fetch an empty one to find out.
TEST_F(ListConfigTest, EndsWithTheLastEntry) {
  Hold("a/", Numbered(10, "v"), 9);
  v1::ListConfigRequest request;
  request.set_prefix("a/");
  request.set_page_size(10);
  EXPECT_EQ(List(request).response().next_page_token(), "");
}

// Nothing under a prefix is a list without entries, not an error.
TEST_F(ListConfigTest, TakesAnEmptyPrefixForAllAndAnEmptyListForNone) {
  v1::ListConfigRequest request;
  auto answered = List(request);
  EXPECT_EQ(LastCall().name, "");
  backend_.AnswerEntries(Method::kReadPrefix, {}, 9);
  Run();
  ASSERT_TRUE(answered.status().ok());
  EXPECT_EQ(answered.response().entries_size(), 0);
  EXPECT_EQ(answered.response().next_page_token(), "");
  EXPECT_EQ(answered.response().info().index(), 9u);
}

// The sizes that the API names: 1,000 unless said otherwise, never more than 10,000.
TEST_F(ListConfigTest, BoundsThePageSize) {
  Hold("a/", Numbered(10001, ""), 9);
  v1::ListConfigRequest request;
  request.set_prefix("a/");
  EXPECT_EQ(List(request).response().entries_size(), 1000);
  request.set_page_size(10000);
  EXPECT_EQ(List(request).response().entries_size(), 10000);
  request.set_page_size(2147483647);
  EXPECT_EQ(List(request).response().entries_size(), 10000);
}

// A gRPC client refuses a message of more than 4 MiB: pages of large values end early, but never empty.
TEST_F(ListConfigTest, EndsAPageBeforeItIsTooLarge) {
  const std::string value(524288, 'v');
  Hold("a/", Numbered(20, value), 9);
  v1::ListConfigRequest request;
  request.set_prefix("a/");
  std::set<std::string> keys;
  int pages = 0;
  do {
    auto answered = List(request);
    ASSERT_TRUE(answered.status().ok());
    EXPECT_GT(answered.response().entries_size(), 0);
    EXPECT_LT(answered.response().ByteSizeLong(), 4u << 20);
    for (const v1::ConfigEntry& entry : answered.response().entries()) EXPECT_TRUE(keys.insert(entry.key()).second);
    request.set_page_token(answered.response().next_page_token());
    ++pages;
  } while (!request.page_token().empty() && pages < 20);
  EXPECT_EQ(keys.size(), 20u);

  // Without values there is no reason to.
  request.clear_page_token();
  request.set_keys_only(true);
  EXPECT_EQ(List(request).response().entries_size(), 20);
}

// Many small entries must fit as well: what surrounds them counts.
TEST_F(ListConfigTest, CountsWhatSurroundsAnEntry) {
  std::vector<KvEntry> entries;
  for (int i = 0; i < 10000; ++i) {
    KvEntry entry = Entry(absl::StrCat("a/", std::string(400, 'k'), 100000 + i), "v", 18446744073709551615u);
    entries.push_back(std::move(entry));
  }
  Hold("a/", std::move(entries), 9);
  v1::ListConfigRequest request;
  request.set_prefix("a/");
  request.set_page_size(10000);
  auto answered = List(request);
  EXPECT_LT(answered.response().ByteSizeLong(), 4u << 20);
  EXPECT_NE(answered.response().next_page_token(), "");
}

// Keys alone: the values stay here, the rest of the entries does not.
TEST_F(ListConfigTest, LeavesValuesOut) {
  Hold("a/", {Entry("a/1", "secret")}, 9);
  v1::ListConfigRequest request;
  request.set_prefix("a/");
  request.set_keys_only(true);
  auto answered = List(request);
  ASSERT_EQ(answered.response().entries_size(), 1);
  EXPECT_EQ(answered.response().entries(0).key(), "a/1");
  EXPECT_EQ(answered.response().entries(0).value(), "");
  EXPECT_EQ(answered.response().entries(0).modify_index(), 7u);
}

// Entries that come and go between two pages must not shift the others into or out of the next one.
TEST_F(ListConfigTest, ContinuesBehindTheLastKeyWhateverChanged) {
  v1::ListConfigRequest request;
  request.set_prefix("a/");
  request.set_page_size(2);
  *request.mutable_options() = With(v1::CONSISTENCY_DEFAULT);
  auto first = List(request);
  backend_.AnswerEntries(Method::kReadPrefix, {Entry("a/1", ""), Entry("a/3", ""), Entry("a/5", "")}, 9);
  Run();
  request.set_page_token(first.response().next_page_token());
  auto second = List(request);
  // a/0 and a/2 are new, a/3, where the page ended, is gone.
  backend_.AnswerEntries(Method::kReadPrefix,
                         {Entry("a/0", ""), Entry("a/1", ""), Entry("a/2", ""), Entry("a/5", ""), Entry("a/6", "")},
                         12);
  Run();
  ASSERT_EQ(second.response().entries_size(), 2);
  EXPECT_EQ(second.response().entries(0).key(), "a/5");
  EXPECT_EQ(second.response().entries(1).key(), "a/6");
  EXPECT_EQ(second.response().next_page_token(), "");
}

// A page must not be cut from an older state than the one before it, or a key could be missing from both.
TEST_F(ListConfigTest, DoesNotGoBackInTimeBetweenPages) {
  v1::ListConfigRequest request;
  request.set_prefix("a/");
  request.set_page_size(1);
  *request.mutable_options() = With(v1::CONSISTENCY_STALE);
  auto first = List(request);
  backend_.AnswerEntries(Method::kReadPrefix, {Entry("a/1", ""), Entry("a/2", "")}, 9);
  Run();
  request.set_page_token(first.response().next_page_token());
  auto second = List(request);
  backend_.AnswerEntries(Method::kReadPrefix, {Entry("a/1", "")}, 8);
  Run();
  ASSERT_TRUE(second.pending());
  EXPECT_EQ(LastCall().read.mode, ReadMode::kConsistent);
  backend_.AnswerEntries(Method::kReadPrefix, {Entry("a/1", ""), Entry("a/2", "")}, 9);
  Run();
  ASSERT_EQ(second.response().entries_size(), 1);
  EXPECT_EQ(second.response().entries(0).key(), "a/2");
}

// Lists fail as reads of one key do.
TEST_F(ListConfigTest, PassesErrorsOn) {
  auto answered = List(v1::ListConfigRequest());
  backend_.Fail(Method::kReadPrefix, Away());
  Run();
  EXPECT_EQ(answered.status(), Away());
}

}  // namespace
}  // namespace meshgate::server
