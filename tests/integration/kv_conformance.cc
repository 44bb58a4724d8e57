// Entries: what is read back, and which writes are refused.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/backend_conformance.h"

namespace meshgate::consul {
namespace {

// Bytes; Consul's own limit.
constexpr size_t kLargestValue = 524288;

// The one entry of an answer, or an empty one and a failure.
KvEntry Only(const absl::StatusOr<Answer<Entries>>& answer) {
  EXPECT_TRUE(answer.ok()) << answer.status();
  if (!answer.ok()) return {};
  EXPECT_EQ(answer->value.size(), 1u);
  return answer->value.size() == 1 ? answer->value[0] : KvEntry{};
}

std::vector<std::string> KeysOf(const absl::StatusOr<Answer<Entries>>& answer) {
  EXPECT_TRUE(answer.ok()) << answer.status();
  std::vector<std::string> keys;
  if (answer.ok()) {
    for (const KvEntry& entry : answer->value) keys.push_back(entry.key);
  }
  return keys;
}

// A key that does not exist would look like a failure, or its watchers could not block, if this were not an empty
// answer with an index.
TEST_P(BackendConformance, MissingKeyIsEmptyWithIndex) {
  auto answer = ReadKey(Unique("kv-missing"));
  EXPECT_GE(IndexOf(answer), 1u);
  EXPECT_TRUE(answer->value.empty());
}

// What a writer stores would not be what a reader gets, or a write's answer could not be used for the next CAS.
TEST_P(BackendConformance, PutIsReadBackWithItsIndexes) {
  const std::string key = Unique("kv-put");
  auto put = Put(key, "value", 42);
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(put->key, key);
  EXPECT_EQ(put->value, "") << "a write's answer carries no value";
  EXPECT_EQ(put->flags, 42u);
  EXPECT_GE(put->create_index, 1u);
  EXPECT_EQ(put->modify_index, put->create_index);

  auto answer = ReadKey(key);
  const KvEntry entry = Only(answer);
  EXPECT_EQ(entry.key, key);
  EXPECT_EQ(entry.value, "value");
  EXPECT_EQ(entry.flags, 42u);
  EXPECT_EQ(entry.create_index, put->create_index);
  EXPECT_EQ(entry.modify_index, put->modify_index);
  EXPECT_GE(IndexOf(answer), entry.modify_index);
}

// A replaced entry would look like a new one, or not like a change.
TEST_P(BackendConformance, ReplacingKeepsCreateIndexAndRaisesModifyIndex) {
  const std::string key = Unique("kv-replace");
  auto first = Put(key, "1");
  auto second = Put(key, "2");
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(second->create_index, first->create_index);
  EXPECT_GT(second->modify_index, first->modify_index);
}

// Writers that repeat themselves would wake every watcher.
TEST_P(BackendConformance, IdenticalPutChangesNothing) {
  const std::string key = Unique("kv-identical");
  auto first = Put(key, "same", 7);
  auto second = Put(key, "same", 7);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(second->modify_index, first->modify_index);
  EXPECT_EQ(Only(ReadKey(key)).modify_index, first->modify_index);
}

// An empty value would be taken for a missing key, which deletes configuration.
TEST_P(BackendConformance, EmptyValueIsAnEntry) {
  const std::string key = Unique("kv-empty");
  ASSERT_TRUE(Put(key, "").ok());
  const KvEntry entry = Only(ReadKey(key));
  EXPECT_EQ(entry.value, "");
  EXPECT_GE(entry.modify_index, 1u);
}

// Values are bytes: an implementation that treats them as text would cut or mangle them.
TEST_P(BackendConformance, ValueKeepsEveryByte) {
  std::string value;
  for (int i = 0; i < 1024; ++i) value.push_back(static_cast<char>(i));
  const std::string key = Unique("kv-bytes");
  ASSERT_TRUE(Put(key, value).ok());
  EXPECT_EQ(Only(ReadKey(key)).value, value);
}

// Flags that pass through a double would lose their low bits.
TEST_P(BackendConformance, FlagsUseAllBits) {
  for (uint64_t flags : {std::numeric_limits<uint64_t>::max(), (uint64_t{1} << 53) + 1, uint64_t{1} << 63}) {
    const std::string key = Unique("kv-flags");
    auto put = Put(key, "v", flags);
    ASSERT_TRUE(put.ok()) << put.status();
    EXPECT_EQ(put->flags, flags);
    EXPECT_EQ(Only(ReadKey(key)).flags, flags);
  }
}

// The largest value that is allowed must be writable, with and without CAS, and its indexes known: it is too large for
// the way that smaller ones go.
TEST_P(BackendConformance, LargestValue) {
  const std::string key = Unique("kv-large");
  const std::string value(kLargestValue, 'x');
  auto created = Put(key, value, 3, 0);
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_GE(created->modify_index, 1u);
  EXPECT_EQ(created->flags, 3u);
  EXPECT_EQ(Only(ReadKey(key)).value, value);

  EXPECT_EQ(Outcome(Put(key, value, 4, 0).status()), "ABORTED CAS_MISMATCH");
  auto replaced = Put(key, value, 4, created->modify_index);
  ASSERT_TRUE(replaced.ok()) << replaced.status();
  EXPECT_GT(replaced->modify_index, created->modify_index);
  EXPECT_EQ(replaced->create_index, created->create_index);
}

// Keys with characters that mean something in a URL or in JSON would be read from, or written to, another key.
TEST_P(BackendConformance, KeysMayHoldAnyCharacter) {
  const std::string base = Unique("kv-chars");
  const std::vector<std::string> tails = {"a b",         " lead",  "trail ", "\xc3\xbcn\xc3\xaf/\xe9\x8d\xb5",
                                          "q?x=1&y",     "h#frag", "100%",   "%2F",
                                          "%",           "a+b",    "a&b=c",  "\"quoted\"",
                                          "'single'",    "semi;x", "back\\", "a:b@c",
                                          "~t*!(",       "[]{}|",  "<x>",    "...",
                                          "dots..in.it", ".lead",  "$,",     "folder/"};
  for (const std::string& tail : tails) {
    const std::string key = absl::StrCat(base, "/", tail);
    auto put = Put(key, absl::StrCat("value of ", tail));
    ASSERT_TRUE(put.ok()) << key << ": " << put.status();
    EXPECT_EQ(put->key, key);
    const KvEntry entry = Only(ReadKey(key));
    EXPECT_EQ(entry.key, key);
    EXPECT_EQ(entry.value, absl::StrCat("value of ", tail));
    const std::vector<std::string> below = KeysOf(ReadPrefix(key));
    EXPECT_EQ(std::count(below.begin(), below.end(), key), 1) << key;
  }
  EXPECT_EQ(KeysOf(ReadPrefix(absl::StrCat(base, "/"))).size(), tails.size());
  for (const std::string& tail : tails) {
    EXPECT_TRUE(Delete(absl::StrCat(base, "/", tail)).ok()) << tail;
  }
  EXPECT_TRUE(KeysOf(ReadPrefix(absl::StrCat(base, "/"))).empty());
}

// A prefix is a string prefix, in byte order: a reader that got folders only, or another order, would miss entries or
// could not compare two states.
TEST_P(BackendConformance, PrefixIsAStringPrefixInByteOrder) {
  const std::string base = Unique("kv-prefix");
  for (const char* tail : {"/n", "/new", "/m", "/n/a", "/n-1", "/N", "/o", "/n/"}) {
    ASSERT_TRUE(Put(absl::StrCat(base, tail), tail).ok());
  }
  auto answer = ReadPrefix(absl::StrCat(base, "/n"));
  EXPECT_GE(IndexOf(answer), 1u);
  const std::vector<std::string> want = {base + "/n", base + "/n-1", base + "/n/", base + "/n/a", base + "/new"};
  EXPECT_EQ(KeysOf(answer), want);
}

// A prefix may end in the middle of a name, also behind dots that a URL gives a meaning to.
TEST_P(BackendConformance, PrefixMayEndInDots) {
  const std::string base = Unique("kv-dots");
  for (const char* tail : {"/.a", "/..b", "/c"}) ASSERT_TRUE(Put(absl::StrCat(base, tail), tail).ok());
  EXPECT_EQ(KeysOf(ReadPrefix(base + "/.")), (std::vector<std::string>{base + "/..b", base + "/.a"}));
  EXPECT_EQ(KeysOf(ReadPrefix(base + "/..")), (std::vector<std::string>{base + "/..b"}));
  ASSERT_TRUE(DeletePrefix(base + "/.").ok());
  EXPECT_EQ(KeysOf(ReadPrefix(base + "/")), (std::vector<std::string>{base + "/c"}));
}

// An empty prefix reads all there is.
TEST_P(BackendConformance, EmptyPrefixReadsAll) {
  const std::string key = Unique("kv-all");
  ASSERT_TRUE(Put(key, "v").ok());
  const std::vector<std::string> keys = KeysOf(ReadPrefix(""));
  EXPECT_TRUE(std::find(keys.begin(), keys.end(), key) != keys.end());
  EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
}

// A prefix without keys would look like a failure, or could not be watched.
TEST_P(BackendConformance, MissingPrefixIsEmptyWithIndex) {
  auto answer = ReadPrefix(Unique("kv-no-prefix"));
  EXPECT_GE(IndexOf(answer), 1u);
  EXPECT_TRUE(answer->value.empty());
}

// Every consistency reads the same settled entry.
TEST_P(BackendConformance, EveryReadModeReads) {
  const std::string key = Unique("kv-mode");
  ASSERT_TRUE(Put(key, "v").ok());
  for (ReadMode mode : {ReadMode::kDefault, ReadMode::kConsistent}) {
    ReadOptions options;
    options.mode = mode;
    EXPECT_EQ(Only(ReadKey(key, options)).value, "v");
  }
  ReadOptions stale;
  stale.mode = ReadMode::kStale;
  EXPECT_TRUE(ReadKey(key, stale).ok());
}

// A datacenter that does not exist must not read as "no such key".
TEST_P(BackendConformance, UnknownDatacenter) {
  ReadOptions options;
  options.datacenter = "nowhere";
  EXPECT_EQ(Outcome(ReadKey(Unique("kv-dc"), options).status()), "NOT_FOUND DATACENTER_NOT_FOUND");
  EXPECT_EQ(Outcome(ReadPrefix(Unique("kv-dc"), options).status()), "NOT_FOUND DATACENTER_NOT_FOUND");
  EXPECT_EQ(Outcome(ReadService("web", options).status()), "NOT_FOUND DATACENTER_NOT_FOUND");
  EXPECT_EQ(Outcome(ReadCatalog(options).status()), "NOT_FOUND DATACENTER_NOT_FOUND");
  WriteOptions write;
  write.datacenter = "nowhere";
  testing::Pending<absl::Status> done;
  backend().DeleteKey(Unique("kv-dc"), std::nullopt, write, done.Callback());
  EXPECT_EQ(Outcome(done.Get(kBound).value_or(absl::OkStatus())), "NOT_FOUND DATACENTER_NOT_FOUND");
}

// Create-only would overwrite, or fail to create.
TEST_P(BackendConformance, CasZeroOnlyCreates) {
  const std::string key = Unique("cas-create");
  auto created = Put(key, "1", 0, 0);
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(Outcome(Put(key, "2", 0, 0).status()), "ABORTED CAS_MISMATCH");
  EXPECT_EQ(Only(ReadKey(key)).value, "1");
  EXPECT_EQ(Only(ReadKey(key)).modify_index, created->modify_index);
}

// Two writers that read the same state would both win.
TEST_P(BackendConformance, CasWritesOnlyWhatWasRead) {
  const std::string key = Unique("cas-put");
  auto first = Put(key, "1");
  ASSERT_TRUE(first.ok());
  auto second = Put(key, "2", 0, first->modify_index);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_GT(second->modify_index, first->modify_index);
  EXPECT_EQ(Outcome(Put(key, "3", 0, first->modify_index).status()), "ABORTED CAS_MISMATCH");
  EXPECT_EQ(Outcome(Put(key, "3", 0, second->modify_index + 1000).status()), "ABORTED CAS_MISMATCH");
  EXPECT_EQ(Only(ReadKey(key)).value, "2");
}

// A CAS on an entry that was deleted must not bring it back.
TEST_P(BackendConformance, CasOnAMissingKeyFails) {
  const std::string key = Unique("cas-missing");
  EXPECT_EQ(Outcome(Put(key, "1", 0, 5).status()), "ABORTED CAS_MISMATCH");
  EXPECT_TRUE(KeysOf(ReadKey(key)).empty());
}

// Deletes must reach the one key alone, and repeating one must be harmless.
TEST_P(BackendConformance, DeleteRemovesOneKey) {
  const std::string key = Unique("kv-delete");
  ASSERT_TRUE(Put(key, "v").ok());
  ASSERT_TRUE(Put(key + "/below", "v").ok());
  EXPECT_TRUE(Delete(key).ok());
  EXPECT_TRUE(KeysOf(ReadKey(key)).empty());
  EXPECT_EQ(KeysOf(ReadPrefix(key)), std::vector<std::string>{key + "/below"});
  EXPECT_TRUE(Delete(key).ok()) << "deleting what is gone succeeds";
}

// A delete with a stale index would remove somebody else's write; one with index 0 never removes anything.
TEST_P(BackendConformance, CasDelete) {
  const std::string key = Unique("cas-delete");
  EXPECT_TRUE(Delete(key, 5).ok()) << "nothing is there: succeeds";
  EXPECT_TRUE(Delete(key, 0).ok()) << "nothing is there: succeeds";
  auto put = Put(key, "v");
  ASSERT_TRUE(put.ok());
  EXPECT_EQ(Outcome(Delete(key, 0)), "ABORTED CAS_MISMATCH");
  EXPECT_EQ(Outcome(Delete(key, put->modify_index + 1000)), "ABORTED CAS_MISMATCH");
  EXPECT_EQ(Only(ReadKey(key)).value, "v");
  EXPECT_TRUE(Delete(key, put->modify_index).ok());
  EXPECT_TRUE(KeysOf(ReadKey(key)).empty());
}

// A prefix delete must take all that begins with it, and nothing else.
TEST_P(BackendConformance, DeletePrefixTakesWhatBeginsWithIt) {
  const std::string base = Unique("kv-tree");
  for (const char* tail : {"/a", "/a/1", "/ab", "/b"}) ASSERT_TRUE(Put(base + tail, "v").ok());
  EXPECT_TRUE(DeletePrefix(base + "/a").ok());
  EXPECT_EQ(KeysOf(ReadPrefix(base)), std::vector<std::string>{base + "/b"});
  EXPECT_TRUE(DeletePrefix(base + "/a").ok()) << "nothing is there: succeeds";
}

// An entry that was deleted and created again would pass for the old one.
TEST_P(BackendConformance, CreatedAgainHasANewCreateIndex) {
  const std::string key = Unique("kv-again");
  auto first = Put(key, "v");
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(Delete(key).ok());
  auto second = Put(key, "v");
  ASSERT_TRUE(second.ok());
  EXPECT_GT(second->create_index, first->create_index);
  EXPECT_EQ(second->modify_index, second->create_index);
}

}  // namespace
}  // namespace meshgate::consul
