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

class ListConfigTest : public HandlerHarness {
 protected:
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
