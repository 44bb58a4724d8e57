// Commits: several writes that are made together or not at all.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "consul/validate.h"
#include "tests/integration/backend_conformance.h"

namespace meshgate::consul {
namespace {

KvOperation PutOf(const std::string& key, const std::string& value, std::optional<uint64_t> if_modify_index = {}) {
  PutOperation put;
  put.entry.key = key;
  put.entry.value = value;
  put.if_modify_index = if_modify_index;
  return put;
}

KvOperation DeleteOf(const std::string& key, std::optional<uint64_t> if_modify_index = {}) {
  return DeleteKeyOperation{key, if_modify_index};
}

// Writes that were made together would be told apart, or their answer not be good for the next compare-and-set.
TEST_P(BackendConformance, CommitIsOneWrite) {
  const std::string base = Unique("commit-one") + "/";
  auto old = Put(base + "old", "1");
  auto kept = Put(base + "kept", "1");
  ASSERT_TRUE(old.ok() && kept.ok());
  ASSERT_TRUE(Put(base + "tree/1", "1").ok());
  ASSERT_TRUE(Put(base + "gone", "1").ok());
  PutOperation flags;
  flags.entry.key = base + "flags";
  flags.entry.value = std::string("\0\xff", 2);
  flags.entry.flags = uint64_t{0xffffffffffffffff};
  auto written = Commit({PutOf(base + "old", "2", old->modify_index), DeleteOf(base + "gone"),
                         PutOf(base + "new", "", 0), DeletePrefixOperation{base + "tree/"}, flags,
                         PutOf(base + "kept", "1"), DeleteOf(base + "never", 0), DeleteOf(base + "never", 7)});
  ASSERT_TRUE(written.ok()) << written.status();
  ASSERT_EQ(written->size(), 4u);
  const KvEntry& replaced = (*written)[0];
  EXPECT_EQ(replaced.key, base + "old");
  EXPECT_EQ(replaced.value, "") << "a write's answer carries no value";
  EXPECT_EQ(replaced.create_index, old->create_index);
  EXPECT_GT(replaced.modify_index, kept->modify_index);
  EXPECT_EQ((*written)[1].key, base + "new");
  EXPECT_EQ((*written)[1].create_index, replaced.modify_index);
  EXPECT_EQ((*written)[1].modify_index, replaced.modify_index);
  EXPECT_EQ((*written)[2].key, base + "flags");
  EXPECT_EQ((*written)[2].flags, flags.entry.flags);
  EXPECT_EQ((*written)[2].modify_index, replaced.modify_index);
  EXPECT_EQ((*written)[3].key, base + "kept");
  EXPECT_EQ((*written)[3].modify_index, kept->modify_index) << "it changed nothing";

  auto answer = ReadPrefix(base);
  ASSERT_TRUE(answer.ok());
  ASSERT_EQ(answer->value.size(), 4u);
  EXPECT_EQ(answer->value[0].value, flags.entry.value);
  EXPECT_EQ(answer->value[0].flags, flags.entry.flags);
  EXPECT_EQ(answer->value[2].key, base + "new");
  EXPECT_EQ(answer->value[2].value, "");
  EXPECT_EQ(answer->value[3].value, "2");
  EXPECT_EQ(answer->meta.index, replaced.modify_index);
}

// Half of a commit that lost a race would be worse than none, and its maker has to learn which part it was.
TEST_P(BackendConformance, CommitChangesNothingWhenOneFails) {
  const std::string base = Unique("commit-none") + "/";
  auto put = Put(base + "a", "1");
  ASSERT_TRUE(put.ok());
  const std::vector<std::pair<KvOperation, std::string>> failing = {
      {PutOf(base + "a", "2", 0), "exists"},
      {PutOf(base + "a", "2", put->modify_index + 1000), "was modified"},
      {PutOf(base + "missing", "2", 5), "is missing"},
      {DeleteOf(base + "a", 0), "exists"},
      {DeleteOf(base + "a", put->modify_index + 1000), "was modified"}};
  for (const auto& [operation, why] : failing) {
    const auto failed =
        Commit({PutOf(base + "new", "1"), DeletePrefixOperation{base + "x"}, operation, PutOf(base, "1")});
    EXPECT_EQ(Outcome(failed.status()), "ABORTED CAS_MISMATCH") << why;
    EXPECT_TRUE(absl::StartsWith(failed.status().message(), "operations[2]: ")) << failed.status();
    auto answer = ReadPrefix(base);
    ASSERT_TRUE(answer.ok());
    ASSERT_EQ(answer->value.size(), 1u) << why;
    EXPECT_EQ(answer->value[0].modify_index, put->modify_index);
    EXPECT_EQ(answer->meta.index, put->modify_index) << "nobody is woken";
  }
  const auto twice = Commit({PutOf(base + "new", "1"), PutOf(base + "a", "2", 0), DeleteOf(base + "a", 0)});
  EXPECT_TRUE(absl::StartsWith(twice.status().message(), "operations[1]: ")) << twice.status();
}

// Both backends must agree on what a later operation sees, or a commit that works at one site fails at the next.
TEST_P(BackendConformance, CommitIsInOrder) {
  const std::string base = Unique("commit-order") + "/";
  const auto below = [&] {
    auto answer = ReadPrefix(base);
    EXPECT_TRUE(answer.ok()) << answer.status();
    std::string all;
    if (!answer.ok()) return all;
    for (const KvEntry& entry : answer->value) {
      absl::StrAppend(&all, all.empty() ? "" : " ", entry.key.substr(base.size()), "=", entry.value);
    }
    return all;
  };
  auto first = Put(base + "a", "1");
  ASSERT_TRUE(first.ok());

  auto twice = Commit({PutOf(base + "a", "2"), PutOf(base + "a", "3"), PutOf(base + "b", "1", 0)});
  ASSERT_TRUE(twice.ok()) << twice.status();
  ASSERT_EQ(twice->size(), 3u);
  EXPECT_EQ((*twice)[0].modify_index, (*twice)[1].modify_index);
  EXPECT_EQ((*twice)[1].create_index, first->create_index);
  EXPECT_EQ(below(), "a=3 b=1");

  auto replaced = Commit({DeletePrefixOperation{base}, PutOf(base + "c", "1", 0), PutOf(base + "a", "4", 0)});
  ASSERT_TRUE(replaced.ok()) << replaced.status();
  EXPECT_EQ((*replaced)[1].create_index, (*replaced)[1].modify_index) << "it was deleted, and made anew";
  EXPECT_EQ(below(), "a=4 c=1");

  auto undone =
      Commit({PutOf(base + "d", "1"), DeleteOf(base + "d"), PutOf(base + "e", "1"), DeletePrefixOperation{base + "e"}});
  ASSERT_TRUE(undone.ok()) << undone.status();
  EXPECT_EQ(undone->size(), 2u);
  EXPECT_EQ(below(), "a=4 c=1");

  EXPECT_EQ(Outcome(Commit({PutOf(base + "f", "1"), PutOf(base + "f", "2", 0)}).status()), "ABORTED CAS_MISMATCH");
  const uint64_t index = (*replaced)[1].modify_index;
  EXPECT_EQ(Outcome(Commit({PutOf(base + "a", "5"), PutOf(base + "a", "6", index)}).status()), "ABORTED CAS_MISMATCH");
  EXPECT_EQ(Outcome(Commit({PutOf(base + "a", "5"), DeleteOf(base + "a", index)}).status()), "ABORTED CAS_MISMATCH");
  EXPECT_EQ(Outcome(Commit({DeleteOf(base + "a"), PutOf(base + "a", "6", index)}).status()), "ABORTED CAS_MISMATCH");
  EXPECT_EQ(below(), "a=4 c=1");
}

// A commit without puts has nothing to answer with, and must not fail for it.
TEST_P(BackendConformance, CommitOfDeletionsAlone) {
  const std::string base = Unique("commit-delete") + "/";
  ASSERT_TRUE(Put(base + "a", "1").ok());
  ASSERT_TRUE(Put(base + "b/1", "1").ok());
  auto written = Commit({DeleteOf(base + "a"), DeletePrefixOperation{base + "b/"}});
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_TRUE(written->empty());
  auto answer = ReadPrefix(base);
  ASSERT_TRUE(answer.ok());
  EXPECT_TRUE(answer->value.empty());
  written = Commit({DeleteOf(base + "a"), DeletePrefixOperation{base + "b/"}});
  EXPECT_TRUE(written.ok()) << "nothing is there: succeeds; " << written.status();
}

// What validation lets through must be taken: as many operations, and as many bytes, as there may be.
TEST_P(BackendConformance, LargestCommit) {
  const std::string base = Unique("commit-large") + "/";
  std::vector<KvOperation> operations;
  for (int i = 0; i < 64; ++i) {
    PutOperation put;
    put.entry.key = absl::StrCat(base, i, "/\"\\", std::string(600, 'k'));
    put.entry.value = std::string(5500, 'x');
    put.entry.flags = ~uint64_t{0};
    put.if_modify_index = 0;
    operations.push_back(put);
  }
  const size_t left = kMaxCommitBytes - CommitBytes(operations);
  std::get<PutOperation>(operations[63]).entry.value.resize(5500 + left / 4 * 3);
  ASSERT_TRUE(ValidateCommitSize("operations", operations).ok());
  ASSERT_GT(CommitBytes(operations), kMaxCommitBytes - 4);
  auto written = Commit(operations);
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(written->size(), 64u);
  EXPECT_EQ(ReadPrefix(base)->value.size(), 64u);
}

// Who watches what was written would see half of a commit, which need not make sense.
TEST_P(BackendConformance, CommitWakesItsReadersOnceAndWithAllOfIt) {
  const std::string base = Unique("commit-watch") + "/";
  ASSERT_TRUE(Put(base + "a", "1").ok());
  const uint64_t index = IndexOf(ReadPrefix(base));
  auto watch = WatchPrefix(base, index);
  auto key = WatchKey(base + "a", index);
  ASSERT_TRUE(Commit({PutOf(base + "b", "1"), DeleteOf(base + "a"), PutOf(base + "c", "1")}).ok());
  auto woken = watch.Get(kBound);
  ASSERT_TRUE(woken.has_value() && woken->ok());
  ASSERT_EQ((*woken)->value.size(), 2u);
  EXPECT_EQ((*woken)->value[0].key, base + "b");
  EXPECT_EQ((*woken)->value[1].key, base + "c");
  EXPECT_EQ((*woken)->meta.index, (*woken)->value[0].modify_index);
  auto gone = key.Get(kBound);
  ASSERT_TRUE(gone.has_value() && gone->ok());
  EXPECT_TRUE((*gone)->value.empty());
}

// A datacenter that does not exist must not take a commit.
TEST_P(BackendConformance, CommitToAnUnknownDatacenter) {
  WriteOptions write;
  write.datacenter = "nowhere";
  EXPECT_EQ(Outcome(Commit({PutOf(Unique("commit-dc"), "1")}, write).status()), "NOT_FOUND DATACENTER_NOT_FOUND");
}

}  // namespace
}  // namespace meshgate::consul
