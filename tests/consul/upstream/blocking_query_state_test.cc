#include "consul/upstream/blocking_query_state.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace meshgate::consul {
namespace {

using Verdict = BlockingQueryState::Verdict;

struct Return {
  std::optional<uint64_t> index;  // of the answer
  bool early;                     // before the end of the wait
  Verdict verdict;                // expected
  uint64_t next;                  // expected to be sent next
  bool error = false;             // no answer at all
};

struct Rule {
  const char* broken_if_it_fails;
  std::vector<Return> returns;
};

// Each row is one rule of Consul's blocking queries, told as a series of returns.
TEST(BlockingQueryStateTest, Rules) {
  const std::vector<Rule> rules = {
      {"the first read does not wait, and the next one waits for what it said", {{7, false, Verdict::kCurrent, 7}}},
      {"a higher index is a state to compare",
       {{7, false, Verdict::kCurrent, 7}, {9, true, Verdict::kCurrent, 9}, {12, false, Verdict::kCurrent, 12}}},
      {"the end of a wait is no news, and the same index is asked again",
       {{7, false, Verdict::kCurrent, 7}, {7, false, Verdict::kWaitEnded, 7}, {7, false, Verdict::kWaitEnded, 7}}},
      {"an early return with the same index is not believed and read again plainly",
       {{7, false, Verdict::kCurrent, 7}, {7, true, Verdict::kSuspect, 0}, {7, false, Verdict::kCurrent, 7}}},
      {"a restored snapshot shows in the plain read after the suspect return",
       {{7, false, Verdict::kCurrent, 7}, {7, true, Verdict::kSuspect, 0}, {3, false, Verdict::kReset, 3}}},
      {"a lower index starts over at 0",
       {{90, false, Verdict::kCurrent, 90}, {4, true, Verdict::kReset, 0}, {4, false, Verdict::kCurrent, 4}}},
      {"index 0 counts as 1 and so blocks", {{0, false, Verdict::kCurrent, 1}, {0, false, Verdict::kWaitEnded, 1}}},
      {"an answer without an index changes nothing",
       {{7, false, Verdict::kCurrent, 7},
        {std::nullopt, true, Verdict::kUnusable, 7},
        {8, true, Verdict::kCurrent, 8}}},
      {"a failure is followed by a plain read: an index from before a loss of data is not woken by writes",
       {{7, false, Verdict::kCurrent, 7}, {{}, false, Verdict::kUnusable, 0, true}, {8, false, Verdict::kCurrent, 8}}},
      {"a loss of data behind a failure is noticed",
       {{90, false, Verdict::kCurrent, 90}, {{}, false, Verdict::kUnusable, 0, true}, {3, false, Verdict::kReset, 3}}},
      {"the same index after a failure is compared, not suspected",
       {{7, false, Verdict::kCurrent, 7}, {{}, false, Verdict::kUnusable, 0, true}, {7, false, Verdict::kCurrent, 7}}},
  };
  for (const Rule& rule : rules) {
    SCOPED_TRACE(rule.broken_if_it_fails);
    BlockingQueryState state;
    EXPECT_EQ(state.next_index(), 0u);
    for (size_t i = 0; i < rule.returns.size(); ++i) {
      SCOPED_TRACE("return " + std::to_string(i));
      const Return& r = rule.returns[i];
      if (r.error) {
        state.OnError();
      } else {
        EXPECT_EQ(state.OnAnswer(r.index, r.early), r.verdict);
      }
      EXPECT_EQ(state.next_index(), r.next);
    }
  }
}

}  // namespace
}  // namespace meshgate::consul
