#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/consul/watch/hub_fixture.h"

namespace meshgate::consul {
namespace {

class AwaitTest : public HubTest {
 protected:
  // A blocking query as a caller of Consul makes it.
  struct Call {
    std::optional<absl::StatusOr<CachedState>> answer;
    std::unique_ptr<Awaiting> awaiting;

    uint64_t index() const { return answer.has_value() && answer->ok() ? (*answer)->index : 0; }
  };

  std::unique_ptr<Call> Await(const Target& target, uint64_t index, absl::Duration wait = absl::Minutes(1)) {
    auto call = std::make_unique<Call>();
    call->awaiting = hub_->Await(
        target, {index, wait}, [c = call.get()](absl::StatusOr<CachedState> answer) { c->answer = std::move(answer); });
    scheduler_.RunReady();
    return call;
  }

  static Target Query(std::string query, std::optional<std::string> token = std::nullopt) {
    Target target{TargetKind::kQuery, std::move(query), "", ""};
    target.token = std::move(token);
    return target;
  }

  void AnswerQuery(std::string body, uint64_t index) {
    ASSERT_TRUE(backend_.AnswerQuery({200, std::move(body)}, index));
    scheduler_.RunReady();
  }
};

// A thousand programs that wait for one key are one query, and all hear of its change.
TEST_F(AwaitTest, ManyWaitForOneQuery) {
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 1000; ++i) calls.push_back(Await(Key("a"), 5));
  EXPECT_EQ(backend_.pending().size(), 1u);
  Answer({Entry("a", "1", 5)}, 5);
  for (const auto& call : calls) EXPECT_FALSE(call->answer.has_value());
  EXPECT_EQ(AskedIndex(), 5u);
  Answer({Entry("a", "2", 6)}, 6);
  for (const auto& call : calls) {
    ASSERT_EQ(call->index(), 6u);
    EXPECT_EQ((*call->answer)->state->entries[0].value, "2");
  }
}

// Whoever holds an older index hears at once: what has happened between its queries must not be missed.
TEST_F(AwaitTest, AnOlderIndexIsAnsweredAtOnce) {
  const auto first = Await(Key("a"), 3);
  Answer({Entry("a", "1", 5)}, 5);
  EXPECT_EQ(first->index(), 5u);
  EXPECT_EQ(Await(Key("a"), 4)->index(), 5u);
  const auto gone = Await(Key("a"), 5);
  EXPECT_FALSE(gone->answer.has_value());
  Answer({}, 9);
  ASSERT_EQ(gone->index(), 9u);
  EXPECT_TRUE((*gone->answer)->state->entries.empty());
}

// Consul returns an absent key's query for writes elsewhere; those who wait need not hear of it.
TEST_F(AwaitTest, AReturnWithoutAChangeAnswersNobody) {
  const auto call = Await(Key("a"), 5);
  Answer({}, 5);
  Answer({}, 8);
  EXPECT_FALSE(call->answer.has_value());
  // Nor whoever comes with either index.
  EXPECT_FALSE(Await(Key("a"), 5)->answer.has_value());
  EXPECT_FALSE(Await(Key("a"), 8)->answer.has_value());
}

TEST_F(AwaitTest, TheEndOfTheWaitGivesWhatThereIs) {
  const auto call = Await(Key("a"), 5, absl::Seconds(10));
  Answer({Entry("a", "1", 5)}, 5);
  scheduler_.Advance(absl::Seconds(9));
  EXPECT_FALSE(call->answer.has_value());
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_EQ(call->index(), 5u);

  const auto unknown = Await(Key("b"), 5, absl::Seconds(1));
  scheduler_.Advance(absl::Seconds(1));
  ASSERT_TRUE(unknown->answer.has_value());
  EXPECT_EQ(unknown->answer->status().code(), absl::StatusCode::kDeadlineExceeded);
}

// An index from before a loss of data lies above all that will be written for long: no write would wake it.
TEST_F(AwaitTest, AnIndexThatConsulHasLostIsAnsweredAtOnce) {
  const auto call = Await(Key("a"), 500);
  Answer({Entry("a", "1", 20)}, 20);
  EXPECT_FALSE(call->answer.has_value());
  EXPECT_EQ(backend_.pending().size(), 1u);
  scheduler_.Advance(absl::Seconds(1));
  // A quorum is asked, as the answer may be an old one.
  const auto pending = backend_.pending();
  ASSERT_EQ(pending.size(), 2u);
  const bool second = pending[1].read.mode == ReadMode::kConsistent;
  EXPECT_TRUE(second || pending[0].read.mode == ReadMode::kConsistent);
  if (!second) {
    Answer({Entry("a", "1", 20)}, 20);
    EXPECT_EQ(call->index(), 20u);
  }
}

// The hub may be behind another way to Consul by a moment: the caller waits for what it does not know.
TEST_F(AwaitTest, AnIndexThatIsAheadForAMomentWaits) {
  const auto first = Await(Key("a"), 1);
  Answer({Entry("a", "1", 5)}, 5);
  ASSERT_EQ(first->index(), 5u);
  const auto call = Await(Key("a"), 7);
  scheduler_.Advance(absl::Seconds(1));
  ASSERT_EQ(backend_.pending().size(), 2u);
  // The watch hears of the write that the caller knows, and then of one that it does not.
  Answer({Entry("a", "2", 7)}, 7);
  EXPECT_FALSE(call->answer.has_value());
  for (int i = 0; i < 2 && !call->answer.has_value(); ++i) Answer({Entry("a", "3", 8)}, 8);
  EXPECT_EQ(call->index(), 8u);
}

// Also where nothing is there before and after: an absent key of a store that came back empty.
TEST_F(AwaitTest, IndexesThatGoBackAnswerThoseAbove) {
  const auto call = Await(Key("a"), 500);
  Answer({}, 500);
  EXPECT_FALSE(call->answer.has_value());
  Answer({}, 3);
  // Believed of a quorum alone.
  Answer({}, 3);
  EXPECT_EQ(call->index(), 3u);
  // Whoever comes back with what it was given waits again, and is not answered over and over.
  const auto next = Await(Key("a"), 3);
  EXPECT_FALSE(next->answer.has_value());
}

// A query that several targets share carries the latest index of them all. Callers that go from one gateway to another
// must not be led back and forth: a key has its own.
TEST_F(AwaitTest, AKeyThatIsThereHasItsOwnIndex) {
  const auto call = Await(Key("a"), 4);
  Answer({Entry("a", "1", 5)}, 90);
  EXPECT_EQ(call->index(), 5u);
  const auto next = Await(Key("a"), 5);
  EXPECT_FALSE(next->answer.has_value());
  Answer({Entry("a", "2", 91)}, 95);
  EXPECT_EQ(next->index(), 91u);
}

// A caller that has gone costs nothing more, and its target is let go.
TEST_F(AwaitTest, ACallerThatHasGoneIsForgotten) {
  auto call = Await(Key("a"), 5);
  Answer({Entry("a", "1", 5)}, 5);
  call->awaiting.reset();
  Answer({Entry("a", "2", 6)}, 6);
  EXPECT_FALSE(call->answer.has_value());
  EXPECT_EQ(reporter_.upstream, 1);
  scheduler_.Advance(HubOptions().linger);
  EXPECT_EQ(reporter_.upstream, 0);
}

// While Consul is away those who wait go on waiting, and the end of the wait gives the last state, as stale.
TEST_F(AwaitTest, AnOutageIsWaitedOut) {
  const auto call = Await(Key("a"), 5, absl::Minutes(1));
  Answer({Entry("a", "1", 5)}, 5);
  Fail(Away());
  scheduler_.Advance(absl::Seconds(2));
  Fail(Away());
  EXPECT_FALSE(call->answer.has_value());
  scheduler_.Advance(absl::Minutes(1));
  ASSERT_EQ(call->index(), 5u);
  EXPECT_TRUE((*call->answer)->stale);
}

TEST_F(AwaitTest, ATargetThatCannotBeReadFails) {
  const auto call = Await(Key("a"), 5);
  Fail(MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied, "no"));
  ASSERT_TRUE(call->answer.has_value());
  EXPECT_EQ(call->answer->status().code(), absl::StatusCode::kPermissionDenied);
}

// Queries are told apart by what they ask and by whose token, and are compared as they are.
TEST_F(AwaitTest, QueriesAreSharedByThoseWhoAskTheSameWithTheSameToken) {
  const auto one = Await(Query("/v1/health/service/web"), 5);
  const auto same = Await(Query("/v1/health/service/web"), 5);
  EXPECT_EQ(backend_.pending().size(), 1u);
  const auto other = Await(Query("/v1/health/service/web", "secret"), 5);
  ASSERT_EQ(backend_.pending().size(), 2u);
  EXPECT_EQ(backend_.pending()[1].read.token, "secret");
  EXPECT_EQ(backend_.pending()[0].read.token, std::nullopt);

  AnswerQuery("[]", 5);
  EXPECT_FALSE(one->answer.has_value());
  AnswerQuery("[1]", 5);
  AnswerQuery("[2]", 7);
  ASSERT_EQ(one->index(), 7u);
  EXPECT_EQ((*same->answer)->state->query.body, "[2]");
  EXPECT_FALSE(other->answer.has_value());
}

// What a caller's token may no longer read it must not be given again, not even as the last known state.
TEST_F(AwaitTest, AQueryThatIsRefusedEnds) {
  const auto call = Await(Query("/v1/catalog/nodes", "secret"), 5);
  AnswerQuery("[]", 5);
  ASSERT_TRUE(backend_.Fail(Method::kReadQuery,
                            MakeError(absl::StatusCode::kUnauthenticated, reason::kTokenUnknown, "ACL not found")));
  scheduler_.RunReady();
  ASSERT_TRUE(call->answer.has_value());
  EXPECT_EQ(call->answer->status().code(), absl::StatusCode::kUnauthenticated);
  const auto next = Await(Query("/v1/catalog/nodes", "secret"), 4);
  EXPECT_FALSE(next->answer.has_value());
}

TEST_F(AwaitTest, AHubThatStopsTellsThoseWhoWait) {
  const auto call = Await(Key("a"), 5);
  hub_->Shutdown();
  ASSERT_TRUE(call->answer.has_value());
  EXPECT_EQ(call->answer->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Await(Key("a"), 5)->answer->status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace meshgate::consul
