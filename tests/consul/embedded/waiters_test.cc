#include "consul/embedded/waiters.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace meshgate::consul::embedded {
namespace {

class WaitersTest : public ::testing::Test {
 protected:
  SharedWaiter Add(TargetKind kind, const std::string& name) {
    auto waiter = std::make_shared<Waiter>(kind, name);
    waiters_.Add(waiter);
    return waiter;
  }

  // Names of who a change of this key wakes, sorted.
  std::vector<std::string> TakeKey(const std::string& key) {
    std::vector<SharedWaiter> out;
    waiters_.TakeKey(key, out);
    std::vector<std::string> names;
    for (const SharedWaiter& waiter : out) names.push_back(waiter->name());
    std::sort(names.begin(), names.end());
    return names;
  }

  Waiters waiters_;
};

// A change must wake exactly those that it concerns, each once.
TEST_F(WaitersTest, KeyWakesItselfAndItsPrefixes) {
  Add(TargetKind::kKey, "cfg/new");
  Add(TargetKind::kKey, "cfg/n");
  Add(TargetKind::kPrefix, "");
  Add(TargetKind::kPrefix, "cfg/");
  Add(TargetKind::kPrefix, "cfg/n");
  Add(TargetKind::kPrefix, "cfg/new");
  Add(TargetKind::kPrefix, "cfg/new/");
  Add(TargetKind::kPrefix, "cfx/");
  Add(TargetKind::kService, "cfg/new");
  EXPECT_EQ(TakeKey("cfg/new"), (std::vector<std::string>{"", "cfg/", "cfg/n", "cfg/new", "cfg/new"}));
  EXPECT_EQ(TakeKey("cfg/new"), std::vector<std::string>{});
  EXPECT_EQ(waiters_.size(), 4u);
  EXPECT_EQ(TakeKey("cfg/new/x"), (std::vector<std::string>{"cfg/new/"}));
}

// Services and the catalog are told apart from keys and from each other.
TEST_F(WaitersTest, ServicesAndCatalog) {
  Add(TargetKind::kService, "web");
  Add(TargetKind::kService, "web");
  Add(TargetKind::kService, "db");
  Add(TargetKind::kCatalog, "");
  std::vector<SharedWaiter> out;
  waiters_.TakeService("web", out);
  EXPECT_EQ(out.size(), 2u);
  out.clear();
  waiters_.TakeCatalog(out);
  EXPECT_EQ(out.size(), 1u);
  EXPECT_EQ(waiters_.size(), 1u);
}

// A query that ends by itself must leave nothing behind, whatever its place in the list, and ending twice must be
// harmless.
TEST_F(WaitersTest, RemoveFromAnyPlace) {
  std::vector<SharedWaiter> added;
  for (int i = 0; i < 5; ++i) added.push_back(Add(TargetKind::kPrefix, "p"));
  for (int i : {2, 4, 0}) {
    waiters_.Remove(added[i].get());
    waiters_.Remove(added[i].get());
    EXPECT_EQ(added[i].use_count(), 1);
  }
  EXPECT_EQ(waiters_.size(), 2u);
  EXPECT_EQ(TakeKey("pq").size(), 2u);
  waiters_.Remove(added[1].get());
  EXPECT_EQ(waiters_.size(), 0u);
  // The length of the prefix was forgotten with its last waiter, and is learnt again.
  Add(TargetKind::kPrefix, "z");
  EXPECT_EQ(TakeKey("zz"), std::vector<std::string>{"z"});
}

// Among thousands of waiters a change must find those that it concerns, and the others must all be able to go.
TEST_F(WaitersTest, FoundAmongMany) {
  std::vector<SharedWaiter> added;
  for (int i = 0; i < 20000; ++i) {
    added.push_back(Add(i % 2 == 0 ? TargetKind::kKey : TargetKind::kPrefix, "k" + std::to_string(i)));
  }
  EXPECT_EQ(TakeKey("k12345/x"), (std::vector<std::string>{"k1", "k123", "k12345"}));
  for (const SharedWaiter& waiter : added) waiters_.Remove(waiter.get());
  EXPECT_EQ(waiters_.size(), 0u);
}

// At the end nobody may be forgotten.
TEST_F(WaitersTest, TakeAll) {
  Add(TargetKind::kKey, "a");
  Add(TargetKind::kPrefix, "a");
  Add(TargetKind::kService, "a");
  Add(TargetKind::kCatalog, "");
  std::vector<SharedWaiter> out;
  waiters_.TakeAll(out);
  EXPECT_EQ(out.size(), 4u);
  EXPECT_EQ(waiters_.size(), 0u);
  for (const SharedWaiter& waiter : out) waiters_.Remove(waiter.get());
}

}  // namespace
}  // namespace meshgate::consul::embedded
