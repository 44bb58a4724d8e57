// The hub over a store of last known states: what readers get from a gateway that starts while Consul is away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "consul/base/errors.h"
#include "consul/watch/hub.h"
#include "consul/watch/resume_token.h"
#include "consul/watch/state_store.h"
#include "meshgate/v1/config_service.pb.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/manual_scheduler.h"
#include "tests/testing/scheduler_thread.h"

namespace meshgate::consul {
namespace {

using ::meshgate::testing::FakeBackend;
using ::meshgate::testing::ManualScheduler;
using ::testing::ElementsAre;
using Method = FakeBackend::Method;

// A store that answers when the test says so.
class FakeStore final : public StateStore {
 public:
  void Load(const Target& target, Loaded done) override { loads.push_back({target, std::move(done)}); }
  void Save(const Target& target, StoredState stored) override { saves.push_back({target, std::move(stored)}); }
  bool HasStates() const override { return has_states; }
  void Close() override {}

  std::vector<std::pair<Target, Loaded>> loads;
  std::vector<std::pair<Target, StoredState>> saves;
  bool has_states = false;
};

class Sleeper final : public Subscriber {
 public:
  explicit Sleeper(ReaderThread* thread) : thread_(thread) {}
  ReaderThread* thread() override { return thread_; }
  void Wake() override { ++wakes; }
  int wakes = 0;

 private:
  ReaderThread* const thread_;
};

absl::Status Away() {
  return MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "connection refused");
}

class HubStoreTest : public ::testing::Test {
 protected:
  HubStoreTest() {
    HubOptions options;
    options.store = &store_;
    hub_ = std::make_unique<Hub>(&backend_, &scheduler_, &reporter_, options);
  }

  struct Stream {
    std::unique_ptr<Sleeper> sleeper;
    std::unique_ptr<Subscription> subscription;
    v1::WatchConfigResponse last;

    // "snapshot", "changes" or "nothing", then for how many seconds it is stale, then the events. "-" where there is no
    // message.
    std::vector<std::string> Read() {
      auto next = subscription->Next();
      if (!next.ok()) return {"error: " + std::string(next.status().message())};
      if (*next == nullptr) return {"-"};
      EXPECT_TRUE(last.ParseFromString((*next)->bytes));
      std::vector<std::string> told = {last.snapshot() ? "snapshot" : last.events().empty() ? "nothing" : "changes"};
      if (last.stale()) told.push_back("stale " + std::to_string(last.stale_for().seconds()));
      for (const auto& e : last.events()) {
        told.push_back(e.type() == v1::ConfigEvent::TYPE_PUT ? "+" + e.entry().key() + "=" + e.entry().value()
                                                             : "-" + e.entry().key());
      }
      return told;
    }
  };

  Stream Open(std::optional<Digest> resume = std::nullopt) {
    Stream stream;
    stream.sleeper = std::make_unique<Sleeper>(&thread_);
    std::optional<ResumeToken> token;
    if (resume.has_value()) token = ResumeToken{0, *resume};
    stream.subscription = hub_->Subscribe(target_, View{}, token, stream.sleeper.get());
    return stream;
  }

  static KvEntry Entry(std::string value, uint64_t modify) { return {"a", std::move(value), 0, 1, modify}; }

  static SharedState StateOf(std::vector<KvEntry> entries) {
    auto state = std::make_shared<State>();
    state->entries = std::move(entries);
    return state;
  }

  // What the store has: a = `value`, confirmed a minute ago.
  StoredState Stored(std::string value = "old", uint64_t index = 5) {
    return {StateOf({Entry(std::move(value), index)}), index, scheduler_.Now() - absl::Minutes(1)};
  }

  void AnswerLoad(std::optional<StoredState> stored) {
    ASSERT_EQ(store_.loads.size(), 1u);
    auto done = std::move(store_.loads[0].second);
    store_.loads.clear();
    done(std::move(stored));
    scheduler_.RunReady();
  }

  void Answer(std::vector<KvEntry> entries, uint64_t index) {
    ASSERT_TRUE(backend_.AnswerEntries(Method::kReadKey, std::move(entries), index));
    scheduler_.RunReady();
  }

  void Fail(absl::Status status) {
    ASSERT_TRUE(backend_.Fail(Method::kReadKey, std::move(status)));
    scheduler_.RunReady();
  }

  std::optional<absl::StatusOr<CachedState>> read_;
  void Read(CachedReadOptions options = {}) {
    read_.reset();
    hub_->Read(target_, options, [this](absl::StatusOr<CachedState> answer) { read_ = std::move(answer); });
    scheduler_.RunReady();
  }

  const Target target_{TargetKind::kKey, "a", "", ""};
  ManualScheduler scheduler_;
  ::meshgate::testing::SchedulerThread thread_{&scheduler_};
  FakeBackend backend_{&scheduler_};
  WatchReporter reporter_;
  FakeStore store_;
  std::unique_ptr<Hub> hub_;
};

// The point of the store: with Consul away from the start a stream carries the last known state, and for how long
// Consul has not been heard.
TEST_F(HubStoreTest, ServesWhatIsStoredWhileConsulIsAway) {
  Stream s = Open();
  AnswerLoad(Stored());
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  Fail(Away());
  EXPECT_GE(s.sleeper->wakes, 1);
  EXPECT_THAT(s.Read(), ElementsAre("snapshot", "stale 60", "+a=old"));
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  // Also to those who come later.
  scheduler_.Advance(absl::Seconds(10));
  EXPECT_THAT(Open().Read(), ElementsAre("snapshot", "stale 70", "+a=old"));
}

// The end of the outage without a change: one message, without events.
TEST_F(HubStoreTest, AnEqualAnswerEndsTheStaleness) {
  Stream s = Open();
  AnswerLoad(Stored());
  Fail(Away());
  s.Read();
  scheduler_.Advance(absl::Seconds(3));
  Answer({Entry("old", 5)}, 9);
  EXPECT_THAT(s.Read(), ElementsAre("nothing"));
  EXPECT_THAT(s.Read(), ElementsAre("-"));
}

// What changed while the gateway was down is told as changes.
TEST_F(HubStoreTest, ADifferentAnswerIsTheDifference) {
  Stream s = Open();
  AnswerLoad(Stored());
  Fail(Away());
  s.Read();
  scheduler_.Advance(absl::Seconds(3));
  Answer({Entry("new", 7)}, 7);
  EXPECT_THAT(s.Read(), ElementsAre("changes", "+a=new"));
}

// Consul lost its data while the gateway was down: readers must replace their state.
TEST_F(HubStoreTest, AnIndexThatWentBackIsASnapshot) {
  Stream s = Open();
  AnswerLoad(Stored("old", 500));
  Fail(Away());
  s.Read();
  scheduler_.Advance(absl::Seconds(3));
  Answer({Entry("new", 3)}, 3);
  EXPECT_THAT(s.Read(), ElementsAre("snapshot", "+a=new"));
}

// With Consul there, an ordinary restart must not look like an outage.
TEST_F(HubStoreTest, NobodySeesWhatIsStoredWhereConsulAnswersInTime) {
  Stream s = Open();
  AnswerLoad(Stored());
  scheduler_.Advance(absl::Milliseconds(900));
  EXPECT_EQ(s.sleeper->wakes, 0);
  Answer({Entry("new", 7)}, 7);
  EXPECT_THAT(s.Read(), ElementsAre("snapshot", "+a=new"));
  scheduler_.Advance(absl::Seconds(5));
  EXPECT_THAT(s.Read(), ElementsAre("-"));
}

// A Consul that accepts connections and says nothing is away, too.
TEST_F(HubStoreTest, LosesPatienceWithASilentConsul) {
  Stream s = Open();
  Read();
  AnswerLoad(Stored());
  scheduler_.Advance(absl::Milliseconds(999));
  EXPECT_FALSE(read_.has_value());
  scheduler_.Advance(absl::Milliseconds(1));
  EXPECT_THAT(s.Read(), ElementsAre("snapshot", "stale 61", "+a=old"));
  ASSERT_TRUE(read_.has_value() && read_->ok());
  EXPECT_TRUE((*read_)->stale);
  EXPECT_EQ((*read_)->age, absl::Seconds(61));
}

// The store is slower than the refusal of a connection: nobody may be told "nothing is known" in between.
TEST_F(HubStoreTest, HoldsAFailureBackUntilTheStoreHasAnswered) {
  Stream s = Open();
  Read();
  Fail(Away());
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  EXPECT_FALSE(read_.has_value());
  AnswerLoad(Stored());
  EXPECT_THAT(s.Read(), ElementsAre("snapshot", "stale 60", "+a=old"));
  ASSERT_TRUE(read_.has_value() && read_->ok());
}

// Nothing stored: as without a store.
TEST_F(HubStoreTest, TellsTheFailureWhereNothingIsStored) {
  Stream s = Open();
  Read();
  Fail(Away());
  AnswerLoad(std::nullopt);
  EXPECT_THAT(s.Read(), ElementsAre("nothing", "stale 0"));
  ASSERT_TRUE(read_.has_value());
  EXPECT_EQ(ReasonOf(read_->status()), "CONSUL_UNAVAILABLE");
}

// A disk that hangs costs a second, no more; and what it gives at last is used.
TEST_F(HubStoreTest, DoesNotWaitForAStoreThatHangs) {
  Stream s = Open();
  Read();
  Fail(Away());
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_THAT(s.Read(), ElementsAre("nothing", "stale 0"));
  ASSERT_TRUE(read_.has_value());
  EXPECT_EQ(ReasonOf(read_->status()), "CONSUL_UNAVAILABLE");
  AnswerLoad(Stored());
  EXPECT_THAT(s.Read(), ElementsAre("snapshot", "stale 60", "+a=old"));
}

// Too late: what Consul has said is never replaced by what was stored.
TEST_F(HubStoreTest, WhatConsulSaidWins) {
  Stream s = Open();
  Answer({Entry("new", 7)}, 7);
  EXPECT_THAT(s.Read(), ElementsAre("snapshot", "+a=new"));
  AnswerLoad(Stored());
  scheduler_.Advance(absl::Seconds(2));
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  Read();
  EXPECT_EQ((*read_)->state->entries[0].value, "new");
}

// max_age counts from what Consul last said, before the restart; also for those who waited for an answer.
TEST_F(HubStoreTest, MaxAgeRefusesWhatIsStoredTooLongAgo) {
  CachedReadOptions options;
  options.max_age = absl::Seconds(59);
  Read(options);
  AnswerLoad(Stored());
  Fail(Away());
  ASSERT_TRUE(read_.has_value());
  EXPECT_EQ(ReasonOf(read_->status()), "TOO_STALE");
  Read(options);
  EXPECT_EQ(ReasonOf(read_->status()), "TOO_STALE");
  options.max_age = absl::Minutes(2);
  Read(options);
  ASSERT_TRUE(read_->ok());
  EXPECT_EQ((*read_)->index, 5u);
}

// Read your own write: a stored state from before it is no answer, Consul is asked.
TEST_F(HubStoreTest, MinIndexIsNotAnsweredByWhatIsOlder) {
  CachedReadOptions options;
  options.min_index = 6;
  Read(options);
  AnswerLoad(Stored());
  Fail(Away());
  EXPECT_FALSE(read_.has_value());
  Fail(Away());
  ASSERT_TRUE(read_.has_value());
  EXPECT_EQ(ReasonOf(read_->status()), "CONSUL_UNAVAILABLE");
}

// Whatever Consul refuses over a restart is an outage, as it is without one, where there was a state; and only there.
TEST_F(HubStoreTest, RefusalsFallBackWhereThereWasAState) {
  Stream s = Open();
  AnswerLoad(Stored());
  Fail(MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied, "Permission denied"));
  EXPECT_THAT(s.Read(), ElementsAre("snapshot", "stale 60", "+a=old"));

  Stream other;
  other.sleeper = std::make_unique<Sleeper>(&thread_);
  other.subscription = hub_->Subscribe({TargetKind::kKey, "b", "dc9", ""}, View{}, std::nullopt, other.sleeper.get());
  Fail(MakeError(absl::StatusCode::kNotFound, reason::kDatacenterNotFound, "no such datacenter"));
  EXPECT_THAT(other.Read(), ElementsAre("-"));
  AnswerLoad(std::nullopt);
  EXPECT_THAT(other.Read(), ElementsAre("error: no such datacenter"));
}

// A reader that comes back after the restart with the state that is stored is recognised without being sent it again.
TEST_F(HubStoreTest, AReaderResumesFromWhatIsStored) {
  const StoredState stored = Stored();
  const Digest digest = DigestOf(TargetKind::kKey, *stored.state);
  Stream s = Open(digest);
  AnswerLoad(stored);
  Fail(Away());
  EXPECT_THAT(s.Read(), ElementsAre("nothing", "stale 60"));
  EXPECT_EQ(ResumeToken::Parse(s.last.resume_token())->digest, digest);
}

// And with Consul there it gets the difference, not a snapshot: a restart does not cost every reader the whole state.
TEST_F(HubStoreTest, AReaderGetsTheDifferenceOverARestart) {
  const StoredState stored = Stored();
  Stream back = Open(DigestOf(TargetKind::kKey, *stored.state));
  Stream fresh = Open();
  AnswerLoad(stored);
  Answer({Entry("new", 7)}, 7);
  EXPECT_THAT(back.Read(), ElementsAre("changes", "+a=new"));
  EXPECT_THAT(fresh.Read(), ElementsAre("snapshot", "+a=new"));
}

// An answer equal to what is stored still has to reach those who wait for the first one.
TEST_F(HubStoreTest, AnEqualFirstAnswerIsDelivered) {
  Stream s = Open();
  Read();
  AnswerLoad(Stored());
  Answer({Entry("old", 5)}, 5);
  EXPECT_GE(s.sleeper->wakes, 1);
  EXPECT_THAT(s.Read(), ElementsAre("snapshot", "+a=old"));
  ASSERT_TRUE(read_.has_value() && read_->ok());
  EXPECT_FALSE((*read_)->stale);
}

// What is stored must be what readers saw, and its time that of the answer that confirmed it; failures store nothing.
TEST_F(HubStoreTest, SavesWhatConsulConfirms) {
  Stream s = Open();
  Answer({Entry("1", 5)}, 5);
  ASSERT_EQ(store_.saves.size(), 1u);
  EXPECT_EQ(store_.saves[0].first, target_);
  EXPECT_EQ(store_.saves[0].second.state->entries[0].value, "1");
  EXPECT_EQ(store_.saves[0].second.index, 5u);
  EXPECT_EQ(store_.saves[0].second.confirmed, scheduler_.Now());
  // A return that brings nothing new confirms: the same state again, with the time.
  scheduler_.Advance(absl::Minutes(5));
  Answer({Entry("1", 5)}, 9);
  ASSERT_EQ(store_.saves.size(), 2u);
  EXPECT_EQ(store_.saves[1].second.state, store_.saves[0].second.state);
  EXPECT_EQ(store_.saves[1].second.index, 9u);
  EXPECT_EQ(store_.saves[1].second.confirmed, scheduler_.Now());
  // So does the end of a wait.
  scheduler_.Advance(absl::Minutes(5));
  Answer({Entry("1", 5)}, 9);
  EXPECT_EQ(store_.saves.size(), 3u);
  Fail(Away());
  scheduler_.Advance(absl::Seconds(3));
  Fail(Away());
  EXPECT_EQ(store_.saves.size(), 3u);
}

// Readiness: what is stored can be served.
TEST_F(HubStoreTest, HasAStateWhereTheStoreHasOne) {
  EXPECT_FALSE(hub_->HasState());
  store_.has_states = true;
  EXPECT_TRUE(hub_->HasState());
}

// A topic that is gone leaves no timer behind, and a late answer of the store finds nobody.
TEST_F(HubStoreTest, ShutdownWhileTheStoreIsAsked) {
  Stream s = Open();
  hub_->Shutdown();
  scheduler_.RunReady();
  EXPECT_EQ(scheduler_.pending_timers(), 0u);
  AnswerLoad(Stored());
  EXPECT_THAT(s.Read(), ElementsAre("-"));
}

}  // namespace
}  // namespace meshgate::consul
