// Each judge over a good history and over bad ones. A judge that lets a bad one pass would let a broken gateway pass.
#include "tests/fault/validators.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace meshgate::fault {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::Duration At(double seconds) { return absl::Seconds(seconds); }

Held Has(uint64_t version, uint64_t modify_index, uint64_t create_index = 1) {
  return {Numbered{version, 1}, "", create_index, modify_index};
}

// A record with one reader, made in the order in which things happen: a second passes with each.
class Story {
 public:
  explicit Story(Target target = {Kind::kPrefix, "a/"}) {
    record_.subscribers.push_back({"reader", target, {}, {}, false});
  }

  Story& Put(std::vector<std::string> names, uint64_t version, uint64_t modify_index = 0,
             Outcome outcome = Outcome::kAcknowledged) {
    Write write;
    write.names = std::move(names);
    write.value = {version, 1};
    write.modify_index = modify_index;
    return Add(write, outcome);
  }
  Story& Delete(std::string name, Outcome outcome = Outcome::kAcknowledged) {
    Write write;
    write.kind = Write::Kind::kDelete;
    write.names = {std::move(name)};
    return Add(write, outcome);
  }
  Story& Increment(std::string name, uint64_t version, int writer) {
    Write write;
    write.names = {std::move(name)};
    write.value = {version, writer};
    write.conditional = true;
    return Add(write, Outcome::kAcknowledged);
  }
  Story& Lose() {
    record_.losses.push_back({Next(), now_ + absl::Milliseconds(500)});
    return *this;
  }
  // Long enough for a loss to be over.
  Story& Wait() {
    now_ += kLossToldWithin + absl::Seconds(1);
    return *this;
  }

  Story& Snapshot(uint64_t index, std::vector<Event> events, bool stale = false) {
    return Tell(index, true, std::move(events), stale);
  }
  Story& Events(uint64_t index, std::vector<Event> events, bool stale = false) {
    return Tell(index, false, std::move(events), stale);
  }
  // The reader comes back with its token, to this gateway process.
  Story& ComesBackTo(int gateway) {
    ++stream_;
    gateway_ = gateway;
    resumed_ = true;
    return *this;
  }

  absl::Duration now() const { return now_; }
  const Record& record() const { return record_; }
  const std::vector<SubscriberLog>& readers() const { return record_.subscribers; }

 private:
  absl::Duration Next() { return now_ += absl::Seconds(1); }
  Story& Add(Write write, Outcome outcome) {
    write.outcome = outcome;
    write.begin = Next();
    if (outcome != Outcome::kUnknown) write.end = now_ + absl::Milliseconds(500);
    record_.writes.push_back(std::move(write));
    return *this;
  }
  Story& Tell(uint64_t index, bool snapshot, std::vector<Event> events, bool stale) {
    Response response{Next(), stream_, gateway_, resumed_, snapshot, stale, index, std::move(events)};
    SubscriberLog& log = record_.subscribers[0];
    Apply(response, log.holding);
    log.stale = stale;
    log.responses.push_back(std::move(response));
    return *this;
  }

  Record record_;
  absl::Duration now_;
  int stream_ = 1;
  int gateway_ = 0;
  bool resumed_ = false;
};

Event PutOf(std::string name, Held held) { return {true, std::move(name), std::move(held)}; }
Event DeleteOf(std::string name) { return {false, std::move(name), {}}; }

// A life with everything in it that is allowed. All judges have to be content with it, or they would cry wolf.
Story Good() {
  Story story;
  story.Put({"a/1"}, 1, 10).Snapshot(10, {PutOf("a/1", Has(1, 10))});
  story.Put({"a/1"}, 2, 0, Outcome::kUnknown).Put({"a/2"}, 1).Events(12, {PutOf("a/2", Has(1, 12))});
  // The open one was applied late.
  story.Events(13, {PutOf("a/1", Has(2, 13))});
  story.Delete("a/1").Events(14, {DeleteOf("a/1")});
  story.Events(14, {}, true).Events(14, {}, false);
  story.ComesBackTo(1).Events(14, {});
  story.Put({"a/x", "a/y"}, 1).Events(15, {PutOf("a/x", Has(1, 15)), PutOf("a/y", Has(1, 15))});
  story.Put({"a/3"}, 1, 0, Outcome::kRefused);
  story.Lose().Snapshot(3, {});
  story.Put({"a/2"}, 2, 4).Events(4, {PutOf("a/2", Has(2, 4, 4))});
  return story;
}

// Would be the end of all trust in the table: violations where there are none.
TEST(ValidatorsTest, AGoodHistoryIsGood) {
  const Story story = Good();
  const Record& record = story.record();
  EXPECT_THAT(CheckOrder(record), IsEmpty());
  EXPECT_THAT(CheckNoDuplicates(record), IsEmpty());
  EXPECT_THAT(CheckNothingInvented(record), IsEmpty());
  EXPECT_THAT(CheckTransactions(record), IsEmpty());
  EXPECT_THAT(CheckConditionalWrites(record), IsEmpty());
  const Holding truth = {{"a/2", Has(2, 4, 4)}};
  EXPECT_THAT(CheckAcknowledged(record, truth), IsEmpty());
  EXPECT_THAT(CheckConverged(story.readers(), {{{Kind::kPrefix, "a/"}, truth}}), IsEmpty());
  EXPECT_THAT(CheckStalePairs(record, {At(8.5), At(10.5)}), IsEmpty());
}

// A reader would be led back in time.
TEST(ValidatorsTest, OrderOfVersions) {
  Story story;
  story.Put({"a/1"}, 1, 10).Put({"a/1"}, 2, 11).Snapshot(11, {PutOf("a/1", Has(2, 11))});
  story.Events(11, {PutOf("a/1", Has(1, 10))});
  EXPECT_THAT(CheckOrder(story.record()), ElementsAre(HasSubstr("an older index")));
}

// An index says less than who was answered before whom began.
TEST(ValidatorsTest, OrderOfAcknowledgedWrites) {
  Story story;
  story.Put({"a/1"}, 1).Put({"a/1"}, 2).Snapshot(11, {PutOf("a/1", Has(2, 11))});
  story.Events(12, {PutOf("a/1", Has(1, 12))});
  EXPECT_THAT(CheckOrder(story.record()), ElementsAre(HasSubstr("over before the one held began")));
}

// The index of a response would mean nothing.
TEST(ValidatorsTest, OrderOfIndexes) {
  Story story;
  story.Put({"a/1"}, 1).Snapshot(11, {PutOf("a/1", Has(1, 11))}).Snapshot(9, {PutOf("a/1", Has(1, 11))});
  EXPECT_THAT(CheckOrder(story.record()), ElementsAre(HasSubstr("goes back from 11")));
}

// A state was told as that of an index, and lacked a change.
TEST(ValidatorsTest, OrderWithoutHoles) {
  Story story;
  story.Put({"a/1"}, 1).Put({"a/2"}, 1).Snapshot(20, {PutOf("a/1", Has(1, 11))});
  story.Events(20, {PutOf("a/2", Has(1, 12))});
  EXPECT_THAT(CheckOrder(story.record()), ElementsAre(HasSubstr("index 20 covered")));
}

// Even a loss of data takes readers back by a snapshot only, and not for ever.
TEST(ValidatorsTest, OrderAfterALoss) {
  Story restored;
  restored.Put({"a/1"}, 1).Put({"a/1"}, 2).Snapshot(11, {PutOf("a/1", Has(2, 11))});
  Story told = restored;
  told.Lose().Snapshot(10, {PutOf("a/1", Has(1, 10))});
  EXPECT_THAT(CheckOrder(told.record()), IsEmpty());
  Story by_event = restored;
  by_event.Lose().Events(10, {PutOf("a/1", Has(1, 10))});
  EXPECT_FALSE(CheckOrder(by_event.record()).empty());
  Story late = restored;
  late.Lose().Wait().Snapshot(10, {PutOf("a/1", Has(1, 10))});
  EXPECT_FALSE(CheckOrder(late.record()).empty());
}

// A gateway that started while Consul was away may know less than its reader; not so one that says it is current.
TEST(ValidatorsTest, OrderOnAnotherGateway) {
  Story story;
  story.Put({"a/1"}, 1).Put({"a/1"}, 2).Snapshot(11, {PutOf("a/1", Has(2, 11))}).ComesBackTo(1);
  Story stored = story;
  stored.Snapshot(10, {PutOf("a/1", Has(1, 10))}, true);
  EXPECT_THAT(CheckOrder(stored.record()), IsEmpty());
  Story same = story;
  same.Events(9, {}).Put({"a/1"}, 3).Events(12, {PutOf("a/1", Has(3, 12))});
  EXPECT_THAT(CheckOrder(same.record()), IsEmpty());
  Story covered = story;
  covered.Events(9, {}).Put({"a/1"}, 3).Events(10, {PutOf("a/1", Has(3, 10))});
  EXPECT_FALSE(CheckOrder(covered.record()).empty()) << "what the reader came with still counts";
  Story current = story;
  current.Snapshot(10, {PutOf("a/1", Has(1, 10))});
  EXPECT_FALSE(CheckOrder(current.record()).empty());
}

// Readers would do their work twice.
TEST(ValidatorsTest, Duplicates) {
  const Event put = PutOf("a/1", Has(1, 11));
  Story again;
  again.Put({"a/1"}, 1).Snapshot(11, {put}).Events(12, {put});
  EXPECT_THAT(CheckNoDuplicates(again.record()), ElementsAre(HasSubstr("told again"), HasSubstr("says nothing")));
  Story twice;
  twice.Put({"a/1"}, 1).Snapshot(9, {}).Events(11, {put, put});
  EXPECT_THAT(CheckNoDuplicates(twice.record()), ElementsAre(HasSubstr("twice in one response")));
  Story deleted;
  deleted.Snapshot(9, {}).Delete("a/1").Events(11, {DeleteOf("a/1")});
  EXPECT_THAT(CheckNoDuplicates(deleted.record()), ElementsAre(HasSubstr("does not hold"), HasSubstr("says nothing")));
  Story silent;
  silent.Snapshot(9, {}).Events(9, {});
  EXPECT_THAT(CheckNoDuplicates(silent.record()), ElementsAre(HasSubstr("says nothing")));
  Story resent;
  resent.Put({"a/1"}, 1).Snapshot(11, {put}).ComesBackTo(1).Snapshot(11, {put});
  EXPECT_THAT(CheckNoDuplicates(resent.record()), ElementsAre(HasSubstr("sent again what it holds")));
}

// A reader would act on something that is not so.
TEST(ValidatorsTest, InventedValues) {
  Story foreign;
  foreign.Snapshot(11, {PutOf("a/1", {std::nullopt, "", 1, 11})});
  EXPECT_THAT(CheckNothingInvented(foreign.record()), ElementsAre(HasSubstr("nobody wrote")));
  Story unwritten;
  unwritten.Snapshot(11, {PutOf("a/1", Has(1, 11))}).Put({"a/1"}, 1);
  EXPECT_THAT(CheckNothingInvented(unwritten.record()), ElementsAre(HasSubstr("nobody had written")));
  Story refused;
  refused.Put({"a/1"}, 1, 0, Outcome::kRefused).Snapshot(11, {PutOf("a/1", Has(1, 11))});
  EXPECT_THAT(CheckNothingInvented(refused.record()), ElementsAre(HasSubstr("refused to its writer")));
  Story other_index;
  other_index.Put({"a/1"}, 1, 10).Snapshot(11, {PutOf("a/1", Has(1, 11))});
  EXPECT_THAT(CheckNothingInvented(other_index.record()), ElementsAre(HasSubstr("another index")));
}

// Losing Consul is no deletion: not by an event, not by a snapshot that lacks something, stale or not.
TEST(ValidatorsTest, InventedDeletes) {
  Story story;
  story.Delete("a/1").Put({"a/1"}, 1).Snapshot(11, {PutOf("a/1", Has(1, 11))});
  for (const bool snapshot : {false, true}) {
    Story gone = story;
    if (snapshot) {
      gone.Snapshot(12, {});
    } else {
      gone.Events(12, {DeleteOf("a/1")});
    }
    EXPECT_THAT(CheckNothingInvented(gone.record()), ElementsAre(HasSubstr("nobody deleted it")));
  }
  Story refused = story;
  refused.Delete("a/1", Outcome::kRefused).Events(12, {DeleteOf("a/1")});
  EXPECT_FALSE(CheckNothingInvented(refused.record()).empty());
  Story open = story;
  open.Delete("a/1", Outcome::kUnknown).Events(12, {DeleteOf("a/1")});
  EXPECT_THAT(CheckNothingInvented(open.record()), IsEmpty());
  // One that was written after the loss is not lost.
  Story lost;
  lost.Lose().Put({"a/1"}, 1).Snapshot(11, {PutOf("a/1", Has(1, 11))}).Snapshot(12, {});
  EXPECT_FALSE(CheckNothingInvented(lost.record()).empty());
}

// Half a transaction would be seen, at its beginning or at its end.
TEST(ValidatorsTest, SplitTransactions) {
  Story begins;
  begins.Snapshot(9, {}).Put({"a/x", "a/y"}, 1).Events(10, {PutOf("a/x", Has(1, 10))});
  EXPECT_THAT(CheckTransactions(begins.record()), ElementsAre(HasSubstr("beside")));
  Story goes_on;
  goes_on.Put({"a/x", "a/y"}, 1)
      .Put({"a/x", "a/y"}, 2)
      .Snapshot(10, {PutOf("a/x", Has(1, 10)), PutOf("a/y", Has(1, 10))});
  goes_on.Events(11, {PutOf("a/x", Has(2, 11))});
  goes_on.Events(11, {PutOf("a/y", Has(2, 11))});
  EXPECT_THAT(CheckTransactions(goes_on.record()), ElementsAre(HasSubstr("beside")));
}

// Two writers would both believe that their read was still true.
TEST(ValidatorsTest, LostConditionalWrites) {
  Story story;
  story.Increment("a/1", 1, 1).Increment("a/1", 2, 2).Increment("a/1", 2, 1);
  EXPECT_THAT(CheckConditionalWrites(story.record()), ElementsAre(HasSubstr("replaced unseen")));
  Story lost;
  lost.Increment("a/1", 2, 2).Lose().Increment("a/1", 2, 1);
  EXPECT_THAT(CheckConditionalWrites(lost.record()), IsEmpty());
}

// A writer was told that its write was done.
TEST(ValidatorsTest, LostAcknowledgedWrites) {
  Story story;
  story.Put({"a/1"}, 1).Put({"a/1"}, 2);
  EXPECT_THAT(CheckAcknowledged(story.record(), {{"a/1", Has(2, 11)}}), IsEmpty());
  EXPECT_THAT(CheckAcknowledged(story.record(), {{"a/1", Has(1, 10)}}), ElementsAre(HasSubstr("write of version 2")));
  EXPECT_THAT(CheckAcknowledged(story.record(), {}), testing::SizeIs(2));
  Story deleted;
  deleted.Put({"a/1"}, 1).Delete("a/1");
  EXPECT_THAT(CheckAcknowledged(deleted.record(), {}), IsEmpty());
  EXPECT_THAT(CheckAcknowledged(deleted.record(), {{"a/1", Has(1, 10)}}), ElementsAre(HasSubstr("the delete")));
  Story open;
  open.Put({"a/1"}, 1, 0, Outcome::kUnknown).Put({"a/1"}, 2);
  EXPECT_THAT(CheckAcknowledged(open.record(), {{"a/1", Has(1, 12)}}), IsEmpty());
  Story lost;
  lost.Put({"a/1"}, 1).Lose();
  EXPECT_THAT(CheckAcknowledged(lost.record(), {}), IsEmpty());
}

// A reader would stay behind for ever: with something missing, too much, old, or told that it is stale.
TEST(ValidatorsTest, NotConverged) {
  const Target target = {Kind::kPrefix, "a/"};
  Story story;
  story.Snapshot(11, {PutOf("a/1", Has(1, 11)), PutOf("a/2", Has(1, 10))}, true);
  const Holding truth = {{"a/1", Has(2, 12)}, {"a/3", Has(1, 13)}};
  EXPECT_THAT(CheckConverged(story.readers(), {{target, truth}}),
              ElementsAre(HasSubstr("left stale"), HasSubstr("holds a/1"), HasSubstr("lacks a/3"),
                          HasSubstr("a/2 with version 1 of writer 1 (index 10), which does not exist")));
  EXPECT_FALSE(CheckConverged(story.readers(), {}).empty()) << "without a truth there is no verdict";
  EXPECT_FALSE(CheckConverged(Story().readers(), {{target, {}}}).empty()) << "nor without a response";
}

// Readers would hear of one outage twice, never, or not of its end.
TEST(ValidatorsTest, StalePairs) {
  Story story;
  story.Snapshot(9, {});
  const Outage outage{story.now() + absl::Milliseconds(1)};
  const Outage brief{outage.begin, outage.end, false};
  EXPECT_THAT(CheckStalePairs(story.record(), outage), ElementsAre(HasSubstr("0 times that it is stale")));
  EXPECT_THAT(CheckStalePairs(story.record(), brief), IsEmpty());
  story.Events(9, {}, true);
  EXPECT_THAT(CheckStalePairs(story.record(), outage), ElementsAre(HasSubstr("0 times that this is over")));
  story.Events(9, {}, false);
  EXPECT_THAT(CheckStalePairs(story.record(), outage), IsEmpty());
  Story flaps = story;
  flaps.Events(9, {}, true).Events(9, {}, false);
  EXPECT_THAT(CheckStalePairs(flaps.record(), outage), ElementsAre(HasSubstr("2 times that it is stale")));
  EXPECT_THAT(CheckStalePairs(flaps.record(), brief), ElementsAre(HasSubstr("2 times that it is stale")));
  Outage twice = brief;
  twice.times = 2;
  EXPECT_THAT(CheckStalePairs(flaps.record(), twice), IsEmpty());
  // Only whole streams count, and there has to be one.
  EXPECT_THAT(CheckStalePairs(story.record(), {At(0)}), ElementsAre(HasSubstr("nothing was judged")));
}

// Deliveries that are late or missing would pass.
TEST(ValidatorsTest, Delivered) {
  Story story;
  story.Put({"a/1"}, 1);
  const absl::Duration begin = story.now();
  EXPECT_THAT(CheckDelivered(story.record(), "a/1", {1, 1}, begin, At(1)), ElementsAre(HasSubstr("never told")));
  story.Snapshot(11, {PutOf("a/1", Has(1, 11))});
  EXPECT_THAT(CheckDelivered(story.record(), "a/1", {1, 1}, begin, At(1)), IsEmpty());
  EXPECT_THAT(CheckDelivered(story.record(), "a/1", {1, 1}, begin, At(0.9)), ElementsAre(HasSubstr("after 1s")));
  EXPECT_THAT(CheckDelivered(story.record(), "b/1", {1, 1}, begin, At(1)), IsEmpty()) << "nobody reads it";
}

// Corrupted, truncated or misplaced values would pass as written.
TEST(NumberedTest, OnlyWhatWasMadeIsRead) {
  const Numbered numbered{7, 3};
  for (const size_t size : {0, 10, 1000}) {
    const std::string value = ToValue("a/1", numbered, size);
    EXPECT_GE(value.size(), size);
    EXPECT_EQ(FromValue("a/1", value), numbered);
    EXPECT_EQ(FromValue("a/2", value), std::nullopt);
    // Where there is no padding its size may be any that is small.
    for (size_t i = 0; size == 1000 && i < value.size(); ++i) {
      std::string other = value;
      other[i] ^= 1;
      EXPECT_NE(FromValue("a/1", other), numbered) << other;
    }
    EXPECT_EQ(FromValue("a/1", value + "x"), std::nullopt);
    EXPECT_EQ(FromValue("a/1", value.substr(0, value.size() - 1)), std::nullopt);
  }
  EXPECT_EQ(FromValue("a/1", ""), std::nullopt);
}

}  // namespace
}  // namespace meshgate::fault
