#include "consul/watch/hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "consul/base/errors.h"
#include "meshgate/v1/config_service.pb.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::consul {
namespace {

using ::meshgate::testing::FakeBackend;
using ::meshgate::testing::ManualScheduler;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Method = FakeBackend::Method;

class CountingReporter : public WatchReporter {
 public:
  void OnStreams(TargetKind, int delta) override { streams += delta; }
  void OnUpstreamWatches(TargetKind, int delta) override { upstream += delta; }
  void OnEvents(TargetKind, EventType type, int count) override { (type == EventType::kPut ? puts : deletes) += count; }
  void OnIndexReset() override { ++resets; }
  void OnSpuriousWakeup(TargetKind) override { ++spurious; }
  void OnCacheRequest(CacheResult result) override { cache.push_back(result); }

  int streams = 0, upstream = 0, puts = 0, deletes = 0, resets = 0, spurious = 0;
  std::vector<CacheResult> cache;
};

class CountingSubscriber : public Subscriber {
 public:
  void Wake() override { ++wakes; }
  int wakes = 0;
};

// A stream as a test sees it.
struct Stream {
  std::shared_ptr<CountingSubscriber> subscriber = std::make_shared<CountingSubscriber>();
  std::unique_ptr<Subscription> subscription;

  absl::StatusOr<SharedMessage> Next() { return subscription->Next(); }

  // "snapshot", "changes" or "nothing", then "stale", then the events. "-" where there is no message.
  std::vector<std::string> Read() {
    auto next = Next();
    if (!next.ok()) return {"error: " + std::string(next.status().message())};
    if (*next == nullptr) return {"-"};
    v1::WatchConfigResponse response;
    EXPECT_TRUE(response.ParseFromString((*next)->bytes));
    std::vector<std::string> told = {response.snapshot()         ? "snapshot"
                                     : response.events().empty() ? "nothing"
                                                                 : "changes"};
    if (response.stale()) told.emplace_back("stale");
    for (const auto& e : response.events()) {
      told.push_back(e.type() == v1::ConfigEvent::TYPE_PUT ? "+" + e.entry().key() + "=" + e.entry().value()
                                                           : "-" + e.entry().key());
    }
    return told;
  }
};

absl::Status Away() {
  return MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "connection refused");
}

class HubTest : public ::testing::Test {
 protected:
  HubTest() { MakeHub({}); }

  void MakeHub(HubOptions options) { hub_ = std::make_unique<Hub>(&backend_, &scheduler_, &reporter_, options); }

  static Target Key(std::string name) { return {TargetKind::kKey, std::move(name), "", ""}; }

  Stream Open(const Target& target) {
    Stream stream;
    stream.subscription = hub_->Subscribe(target, View{}, std::nullopt, stream.subscriber);
    return stream;
  }

  static KvEntry Entry(std::string key, std::string value, uint64_t modify) {
    return {std::move(key), std::move(value), 0, 1, modify};
  }

  void Answer(std::vector<KvEntry> entries, std::optional<uint64_t> index) {
    ASSERT_TRUE(backend_.AnswerEntries(Method::kReadKey, std::move(entries), index));
    scheduler_.RunReady();
  }

  void Fail(absl::Status status) {
    ASSERT_TRUE(backend_.Fail(Method::kReadKey, std::move(status)));
    scheduler_.RunReady();
  }

  // The index of the one query that waits for an answer.
  uint64_t AskedIndex() {
    const auto pending = backend_.pending();
    EXPECT_EQ(pending.size(), 1u);
    return pending.empty() ? ~uint64_t{0} : pending[0].read.index;
  }

  std::optional<absl::StatusOr<CachedState>> read_;
  void Read(const Target& target, CachedReadOptions options = {}) {
    read_.reset();
    hub_->Read(target, options, [this](absl::StatusOr<CachedState> answer) { read_ = std::move(answer); });
    scheduler_.RunReady();
  }

  ManualScheduler scheduler_;
  FakeBackend backend_{&scheduler_};
  CountingReporter reporter_;
  std::unique_ptr<Hub> hub_;
};

// The reason for meshgate: two hundred readers are one query.
TEST_F(HubTest, AsksOnceForAllReadersOfATarget) {
  std::vector<Stream> streams;
  for (int i = 0; i < 200; ++i) streams.push_back(Open(Key("a")));
  EXPECT_EQ(backend_.pending().size(), 1u);
  EXPECT_EQ(reporter_.upstream, 1);
  EXPECT_EQ(reporter_.streams, 200);
  Answer({Entry("a", "1", 5)}, 5);
  for (auto& s : streams) {
    EXPECT_GE(s.subscriber->wakes, 1);
    EXPECT_THAT(s.Read(), ElementsAre("snapshot", "+a=1"));
  }
  EXPECT_EQ(AskedIndex(), 5u);
  streams.clear();
  EXPECT_EQ(reporter_.streams, 0);
}

// A different datacenter, filter or kind is a different question.
TEST_F(HubTest, DifferentTargetsDontShare) {
  Stream a = Open(Key("a"));
  Stream b = Open({TargetKind::kKey, "a", "dc2", ""});
  Stream c = Open({TargetKind::kPrefix, "a", "", ""});
  EXPECT_EQ(backend_.pending().size(), 3u);
  EXPECT_EQ(reporter_.upstream, 3);
}

// A late reader gets the state at once, from memory.
TEST_F(HubTest, ALateReaderGetsTheStateWithoutAsking) {
  Stream first = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  Stream second = Open(Key("a"));
  scheduler_.RunReady();
  EXPECT_GE(second.subscriber->wakes, 1);
  EXPECT_THAT(second.Read(), ElementsAre("snapshot", "+a=1"));
  EXPECT_EQ(backend_.calls().size(), 2u);
}

// Changes, a deletion, and a return that brings nothing new.
TEST_F(HubTest, TellsChangesAndNothingElse) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  s.Read();
  Answer({Entry("a", "2", 6)}, 6);
  EXPECT_THAT(s.Read(), ElementsAre("changes", "+a=2"));
  s.subscriber->wakes = 0;
  Answer({Entry("a", "2", 6)}, 9);
  EXPECT_EQ(s.subscriber->wakes, 0);
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  EXPECT_EQ(reporter_.spurious, 1);
  scheduler_.Advance(absl::Seconds(1));
  Answer({}, 10);
  EXPECT_THAT(s.Read(), ElementsAre("changes", "-a"));
  EXPECT_EQ(reporter_.puts, 1);
  EXPECT_EQ(reporter_.deletes, 1);
}

// After a burst the loop waits for its pace: a target that returns at once each time must not spin.
TEST_F(HubTest, PacesReturnsThatBringNothing) {
  Stream s = Open(Key("a"));
  Answer({}, 5);
  // In ten seconds of an agent that answers every query at once with a higher index.
  uint64_t index = 6;
  const size_t before = backend_.calls().size();
  for (int i = 0; i < 1000; ++i) {
    if (backend_.pending(Method::kReadKey) > 0) Answer({}, index++);
    scheduler_.Advance(absl::Milliseconds(10));
  }
  EXPECT_LE(backend_.calls().size() - before, 15u);
  EXPECT_GE(backend_.calls().size() - before, 8u);
}

// One failed query is not an outage; the second in a row is, told once, as is its end.
TEST_F(HubTest, TellsAnOutageOnce) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  s.Read();
  Fail(Away());
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  for (int i = 0; i < 5; ++i) {
    scheduler_.Advance(absl::Seconds(3));
    EXPECT_EQ(AskedIndex(), 0u) << "after a failure the next read is plain";
    Fail(Away());
  }
  EXPECT_THAT(s.Read(), ElementsAre("nothing", "stale"));
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  scheduler_.Advance(absl::Seconds(3));
  Answer({Entry("a", "1", 5)}, 5);
  EXPECT_THAT(s.Read(), ElementsAre("nothing"));
  EXPECT_THAT(s.Read(), ElementsAre("-"));
}

// A store that came back empty: the reader's state is replaced, not deleted key by key.
TEST_F(HubTest, ALossOfDataIsASnapshot) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 500)}, 500);
  s.Read();
  Fail(Away());
  scheduler_.Advance(absl::Seconds(3));
  Answer({}, 1);
  EXPECT_THAT(s.Read(), ElementsAre("snapshot"));
  EXPECT_EQ(reporter_.resets, 1);
  EXPECT_EQ(AskedIndex(), 1u);
}

// A tombstone reaped: the index goes down, the data stay, and nobody hears of it.
TEST_F(HubTest, AnIndexThatGoesDownOverTheSameDataIsNoNews) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 90);
  s.Read();
  Answer({Entry("a", "1", 5)}, 40);
  EXPECT_EQ(AskedIndex(), 0u);
  Answer({Entry("a", "1", 5)}, 40);
  EXPECT_THAT(s.Read(), ElementsAre("-"));
}

// An agent that stops answers early with what it had; that answer must not count.
TEST_F(HubTest, DoesNotBelieveAnEarlyReturnWithTheSameIndex) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "new", 5)}, 5);
  s.Read();
  Answer({Entry("a", "old", 4)}, 5);
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  EXPECT_EQ(AskedIndex(), 0u);
}

// With nothing known and Consul away a stream says so and stays.
TEST_F(HubTest, AReaderOfAnUnreachableConsulIsToldAndKept) {
  Stream s = Open(Key("a"));
  Fail(Away());
  EXPECT_GE(s.subscriber->wakes, 1);
  EXPECT_THAT(s.Read(), ElementsAre("nothing", "stale"));
  scheduler_.Advance(absl::Seconds(3));
  Answer({Entry("a", "1", 5)}, 5);
  EXPECT_THAT(s.Read(), ElementsAre("snapshot", "+a=1"));
}

// Some errors don't mend by trying: the readers get them, and a later reader a new try.
TEST_F(HubTest, ATargetThatCannotBeWatchedEndsItsStreams) {
  Stream s = Open(Key("a"));
  Fail(MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidFilter, "filter: does not parse"));
  EXPECT_GE(s.subscriber->wakes, 1);
  EXPECT_THAT(s.Read(), ElementsAre("error: filter: does not parse"));
  EXPECT_EQ(backend_.pending().size(), 0u);
  EXPECT_EQ(reporter_.upstream, 0);
  Stream again = Open(Key("a"));
  EXPECT_EQ(backend_.pending().size(), 1u);
}

// Losing the permission while a state is known is an outage, not a deletion and not the end.
TEST_F(HubTest, ALostPermissionIsNotADeletion) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  s.Read();
  for (int i = 0; i < 2; ++i) {
    Fail(MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied, "Permission denied"));
    scheduler_.Advance(absl::Seconds(3));
  }
  EXPECT_THAT(s.Read(), ElementsAre("nothing", "stale"));
}

// Without the linger a reconnecting reader would cost a query, and each cancelled one a slot of Consul's.
TEST_F(HubTest, LingersAfterTheLastReader) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  s.subscription.reset();
  scheduler_.Advance(absl::Seconds(29));
  EXPECT_EQ(reporter_.upstream, 1);
  Stream back = Open(Key("a"));
  EXPECT_THAT(back.Read(), ElementsAre("snapshot", "+a=1"));
  // In use again: the old timer must not stop it.
  scheduler_.Advance(absl::Seconds(60));
  EXPECT_EQ(reporter_.upstream, 1);
  back.subscription.reset();
  scheduler_.Advance(absl::Seconds(29));
  EXPECT_EQ(reporter_.upstream, 1);
  scheduler_.Advance(absl::Seconds(2));
  EXPECT_EQ(reporter_.upstream, 0);
  EXPECT_EQ(backend_.pending().size(), 0u);
}

// Readers that come and go by the thousand must not leave a timer each.
TEST_F(HubTest, ComingAndGoingLeavesNoTimers) {
  Stream keep = Open(Key("b"));
  const size_t before = scheduler_.pending_timers();
  for (int i = 0; i < 1000; ++i) Open(Key("a"));
  EXPECT_LE(scheduler_.pending_timers(), before + 1);
}

// However many callers wait for a target that nobody watches, Consul is asked once.
TEST_F(HubTest, CachedReadsShareOneQuery) {
  int answered = 0;
  for (int i = 0; i < 50; ++i) {
    hub_->Read(Key("a"), {}, [&](absl::StatusOr<CachedState> s) {
      ASSERT_TRUE(s.ok());
      EXPECT_EQ(s->state->entries[0].value, "1");
      EXPECT_EQ(s->index, 5u);
      ++answered;
    });
  }
  EXPECT_EQ(backend_.pending().size(), 1u);
  Answer({Entry("a", "1", 5)}, 5);
  EXPECT_EQ(answered, 50);
  Read(Key("a"));
  ASSERT_TRUE(read_.has_value() && read_->ok());
  EXPECT_EQ(reporter_.cache.back(), WatchReporter::CacheResult::kHit);
}

// A caller must not hang on a Consul that does not answer, nor on one that is known to be away.
TEST_F(HubTest, ACachedReadFailsInTime) {
  CachedReadOptions options;
  options.timeout = absl::Seconds(2);
  Read(Key("a"), options);
  EXPECT_FALSE(read_.has_value());
  scheduler_.Advance(absl::Seconds(2));
  ASSERT_TRUE(read_.has_value());
  EXPECT_EQ(read_->status().code(), absl::StatusCode::kDeadlineExceeded);

  Fail(Away());
  Read(Key("a"), options);
  ASSERT_TRUE(read_.has_value());
  EXPECT_EQ(ReasonOf(read_->status()), "CONSUL_UNAVAILABLE");
}

// While Consul is away the last state is served with its age, unless that is too old for the caller.
TEST_F(HubTest, ServesTheLastKnownStateWithinMaxAge) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  Fail(Away());
  scheduler_.Advance(absl::Seconds(3));
  Fail(Away());
  scheduler_.Advance(absl::Seconds(3));
  Read(Key("a"));
  ASSERT_TRUE(read_.has_value() && read_->ok());
  EXPECT_TRUE((*read_)->stale);
  EXPECT_EQ((*read_)->age, absl::Seconds(6));
  CachedReadOptions options;
  options.max_age = absl::Seconds(5);
  Read(Key("a"), options);
  EXPECT_EQ(ReasonOf(read_->status()), "TOO_STALE");
  options.max_age = absl::Seconds(10);
  Read(Key("a"), options);
  EXPECT_TRUE(read_->ok());
}

// Read your own write: an index above the cached one is answered with a quorum, and not by a read from before.
TEST_F(HubTest, MinIndexAsksWithAQuorum) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  CachedReadOptions options;
  options.min_index = 9;
  std::vector<std::string> values;
  auto keep = [&](absl::StatusOr<CachedState> answer) {
    ASSERT_TRUE(answer.ok());
    EXPECT_TRUE(answer->from_consul);
    values.push_back(answer->state->entries[0].value);
  };
  hub_->Read(Key("a"), options, keep);
  auto pending = backend_.pending();
  ASSERT_EQ(pending.size(), 2u);
  EXPECT_EQ(pending[1].read.mode, ReadMode::kConsistent);
  EXPECT_EQ(pending[1].read.index, 0u);
  // Two more, while it is under way: they share the one after it.
  hub_->Read(Key("a"), options, keep);
  hub_->Read(Key("a"), options, keep);
  EXPECT_EQ(backend_.pending().size(), 2u);
  // The oldest pending call is the watch.
  Answer({Entry("a", "2", 6)}, 6);
  Answer({Entry("a", "3", 9)}, 9);
  EXPECT_THAT(values, ElementsAre("3"));
  Answer({Entry("a", "4", 10)}, 10);
  Answer({Entry("a", "5", 11)}, 11);
  EXPECT_EQ(values.size(), 3u);
}

// The first state may be older than what a caller has written: it is not an answer for that caller.
TEST_F(HubTest, MinIndexHoldsForTheFirstStateToo) {
  CachedReadOptions options;
  options.min_index = 9;
  Read(Key("a"), options);
  Answer({Entry("a", "1", 5)}, 5);
  EXPECT_FALSE(read_.has_value());
  // The watch went on; the read with a quorum was asked for before that.
  std::vector<ReadMode> modes;
  for (const auto& call : backend_.pending()) modes.push_back(call.read.mode);
  EXPECT_THAT(modes, ::testing::UnorderedElementsAre(ReadMode::kDefault, ReadMode::kConsistent));
  Answer({Entry("a", "2", 9)}, 9);
  if (!read_.has_value()) Answer({Entry("a", "2", 9)}, 9);
  ASSERT_TRUE(read_.has_value() && read_->ok());
  EXPECT_EQ((*read_)->state->entries[0].value, "2");
}

// A state that nobody reads is still worth keeping while Consul can't be asked for it.
TEST_F(HubTest, KeepsTheLastKnownStateThroughAnOutage) {
  Read(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  for (int i = 0; i < 100; ++i) {
    if (backend_.pending(Method::kReadKey) > 0) Fail(Away());
    scheduler_.Advance(absl::Seconds(1));
  }
  Read(Key("a"));
  ASSERT_TRUE(read_.has_value() && read_->ok());
  EXPECT_TRUE((*read_)->stale);
  // Back again: dropped like any other.
  if (backend_.pending(Method::kReadKey) == 0) scheduler_.Advance(absl::Seconds(3));
  Answer({Entry("a", "1", 5)}, 5);
  scheduler_.Advance(absl::Seconds(61));
  EXPECT_EQ(reporter_.upstream, 0);
}

// Keys that are read once each must not pile up queries: the least recently used one goes.
TEST_F(HubTest, BoundsTheTargetsKeptForReads) {
  HubOptions options;
  options.max_idle_targets = 3;
  MakeHub(options);
  for (const char* key : {"a", "b", "c"}) {
    Read(Key(key));
    for (const auto& call : backend_.pending()) {
      if (call.read.index == 0)
        Answer({}, 5);
      else
        Answer({}, call.read.index + 1);
    }
  }
  EXPECT_EQ(reporter_.upstream, 3);
  Read(Key("a"));  // used again
  Read(Key("d"));
  EXPECT_EQ(reporter_.upstream, 4);
  // d has its state, is unused, and b is the one to go.
  while (!read_.has_value()) Answer({}, 7);
  EXPECT_EQ(reporter_.upstream, 3);
  const size_t calls = backend_.calls().size();
  Read(Key("a"));
  EXPECT_TRUE(read_.has_value()) << "a was dropped though it was used last";
  Read(Key("c"));
  EXPECT_TRUE(read_.has_value());
  scheduler_.RunReady();
  EXPECT_EQ(backend_.calls().size(), calls);
}

// Readiness depends on it: something can be served although Consul is away.
TEST_F(HubTest, KnowsWhetherItHasAState) {
  EXPECT_FALSE(hub_->HasState());
  Stream s = Open(Key("a"));
  EXPECT_FALSE(hub_->HasState());
  Answer({}, 5);
  EXPECT_TRUE(hub_->HasState());
}

// A drain must not leave callers waiting, queries open, or subscriptions that crash.
TEST_F(HubTest, ShutdownEndsEverything) {
  Stream s = Open(Key("a"));
  Read(Key("b"));
  EXPECT_FALSE(read_.has_value());
  hub_->Shutdown();
  scheduler_.RunReady();
  ASSERT_TRUE(read_.has_value());
  EXPECT_EQ(ReasonOf(read_->status()), "DRAINING");
  EXPECT_EQ(reporter_.upstream, 0);
  EXPECT_EQ(backend_.pending().size(), 0u);
  EXPECT_THAT(s.Read(), ElementsAre("-"));
  Stream late = Open(Key("c"));
  EXPECT_THAT(late.Read(), ElementsAre("-"));
  EXPECT_EQ(backend_.pending().size(), 0u);
  Read(Key("a"));
  EXPECT_EQ(ReasonOf(read_->status()), "DRAINING");
}

}  // namespace
}  // namespace meshgate::consul
