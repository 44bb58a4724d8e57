// Random histories: readers come and go, keys are written, deleted, forbidden, Consul goes away, answers overtake each
// other and the plan changes all the while. What a reader holds never goes back, and is what Consul holds in the end.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/consul/upstream/budget_fixture.h"

namespace meshgate::consul {
namespace {

class HandOverTest : public BudgetTest, public ::testing::WithParamInterface<int> {
 protected:
  size_t Below(size_t n) { return static_cast<size_t>(random_() % n); }

  std::string RandomName() {
    // Few first letters, so that a plan can keep to the budget; lengths differ, so that names are prefixes of others.
    std::string name = absl::StrCat(std::string(1, static_cast<char>('a' + Below(3))), "/");
    for (size_t i = 1 + Below(3); i > 0; --i) name += static_cast<char>('0' + Below(5));
    return name;
  }

  std::map<std::string, std::string> Truth(const std::string& name, TargetKind kind) const {
    std::map<std::string, std::string> found;
    for (auto it = truth_.lower_bound(name); it != truth_.end() && it->first.compare(0, name.size(), name) == 0; ++it) {
      if (kind == TargetKind::kPrefix || it->first == name) found.insert(*it);
    }
    return found;
  }

  struct Watched {
    TargetKind kind;
    std::string name;
    ReaderPtr reader;
  };

  void Step() {
    switch (Below(12)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const TargetKind kind = Below(6) == 0 ? TargetKind::kPrefix : TargetKind::kKey;
        const std::string name = RandomName();
        open_.push_back({kind, name, Open(kind, name)});
        break;
      }
      case 4:
        if (!open_.empty()) {
          std::swap(open_[Below(open_.size())], open_.back());
          open_.pop_back();
        }
        break;
      case 5:
        // A crowd leaves.
        if (Below(20) == 0) open_.resize(open_.size() / 5);
        break;
      case 6: {
        const std::string name = RandomName();
        consul_.Delete(name);
        truth_.erase(name);
        break;
      }
      case 7:
        if (Below(40) == 0) {
          consul_.SetAway(true);
          scheduler_.Advance(absl::Seconds(Below(6)));
          consul_.SetAway(false);
        }
        break;
      default: {
        const std::string name = RandomName();
        truth_[name] = absl::StrCat(++value_);
        consul_.Put(name, truth_[name]);
      }
    }
  }

  std::mt19937 random_{static_cast<uint32_t>(GetParam())};
  std::map<std::string, std::string> truth_;
  std::vector<Watched> open_;
  int value_ = 0;
};

TEST_P(HandOverTest, NothingGoesBackAndNothingIsMissed) {
  consul_.SetLatency(absl::Milliseconds(GetParam() % 3 * 30));
  for (int i = 0; i < 1500; ++i) {
    Step();
    scheduler_.Advance(absl::Milliseconds(Below(4) == 0 ? Below(300) : Below(5)));
  }
  // Far less than the queries wait: what is known by then was heard of, not stumbled upon.
  scheduler_.Advance(absl::Seconds(10));
  for (const Watched& open : open_) {
    EXPECT_EQ(open.reader->state, Truth(open.name, open.kind)) << open.name;
    EXPECT_FALSE(open.reader->is_stale) << open.name;
  }
  EXPECT_GT(reporter_.replans, 0);
  EXPECT_LE(consul_.most_blocking(), kLimit);
  EXPECT_EQ(consul_.cancelled(), 0);
  // By then old queries have run out, and there are seats for all.
  scheduler_.Advance(absl::Seconds(70));
  EXPECT_EQ(reporter_.polled, 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, HandOverTest, ::testing::Range(1, 31));

}  // namespace
}  // namespace meshgate::consul
