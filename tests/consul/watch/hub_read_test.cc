#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/consul/watch/hub_fixture.h"

namespace meshgate::consul {
namespace {

using ::testing::ElementsAre;

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

// A caller that waits must not be dropped with its target, neither by the linger nor for others that come later.
TEST_F(HubTest, CallersThatWaitKeepTheirTarget) {
  HubOptions options;
  options.max_read_targets = 1;
  options.linger = absl::Seconds(1);
  MakeHub(options);
  CachedReadOptions patient;
  patient.timeout = absl::Minutes(10);
  int answered = 0;
  for (const char* key : {"a", "b", "c"}) {
    hub_->Read(Key(key), patient, [&](absl::StatusOr<CachedState> answer) {
      EXPECT_TRUE(answer.ok()) << answer.status();
      ++answered;
    });
  }
  scheduler_.Advance(absl::Seconds(30));
  EXPECT_EQ(backend_.pending().size(), 3u);
  for (int i = 0; i < 3; ++i) Answer({}, 5);
  EXPECT_EQ(answered, 3);
}

// A read with a quorum has the caller's deadline, and ends with the hub.
TEST_F(HubTest, FreshReadsEndInTimeToo) {
  Stream s = Open(Key("a"));
  Answer({Entry("a", "1", 5)}, 5);
  CachedReadOptions options;
  options.min_index = 9;
  options.timeout = absl::Seconds(1);
  Read(Key("a"), options);
  scheduler_.Advance(absl::Seconds(1));
  ASSERT_TRUE(read_.has_value());
  EXPECT_EQ(read_->status().code(), absl::StatusCode::kDeadlineExceeded);
  options.timeout = absl::Hours(1);
  Read(Key("a"), options);
  EXPECT_FALSE(read_.has_value());
  hub_->Shutdown();
  ASSERT_TRUE(read_.has_value());
  EXPECT_EQ(ReasonOf(read_->status()), "DRAINING");
}

// Keys that are read once each must not pile up queries: the least recently used one goes.
TEST_F(HubTest, BoundsTheTargetsKeptForReads) {
  HubOptions options;
  options.max_read_targets = 3;
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

// Readers that come back from an outage of their own find their targets watched, however many there were, and what
// callers read once does not push them out.
TEST_F(HubTest, ReadsPushOutNoTargetThatWasWatched) {
  HubOptions options;
  options.max_read_targets = 1;
  MakeHub(options);
  for (const char* key : {"a", "b", "c"}) {
    Stream s = Open(Key(key));
    Answer({}, 5);
  }
  EXPECT_EQ(reporter_.upstream, 3);
  for (const char* key : {"d", "e"}) {
    Read(Key(key));
    while (!read_.has_value()) Answer({}, 7);
  }
  EXPECT_EQ(reporter_.upstream, 4) << "three lingering, one read";
}

// While Consul is away what is known can't be had again: no other target takes its place.
TEST_F(HubTest, ReadsPushOutNothingThatIsLastKnown) {
  HubOptions options;
  options.max_read_targets = 1;
  MakeHub(options);
  Read(Key("a"));
  while (!read_.has_value()) Answer({Entry("a", "1", 5)}, 5);
  for (int i = 0; i < 3; ++i) {
    while (backend_.pending(Method::kReadKey) > 0) Fail(Away());
    scheduler_.Advance(absl::Seconds(1));
  }
  Read(Key("b"));
  while (!read_.has_value()) Fail(Away());
  EXPECT_FALSE(read_->ok());
  Read(Key("a"));
  ASSERT_TRUE(read_.has_value() && read_->ok());
  EXPECT_TRUE((*read_)->stale);
}

// Readiness depends on it: something can be served although Consul is away.
TEST_F(HubTest, KnowsWhetherItHasAState) {
  EXPECT_FALSE(hub_->HasState());
  Stream s = Open(Key("a"));
  EXPECT_FALSE(hub_->HasState());
  Answer({}, 5);
  EXPECT_TRUE(hub_->HasState());
}

}  // namespace
}  // namespace meshgate::consul
