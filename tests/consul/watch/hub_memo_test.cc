// Readers that share a memo, as those of one thread do: it must save work, and never show.
#include <gmock/gmock.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/consul/watch/hub_fixture.h"

namespace meshgate::consul {
namespace {

using ::testing::ElementsAre;

class HubMemoTest : public HubTest {
 protected:
  SharedMessage Next(Stream& stream) {
    absl::StatusOr<SharedMessage> next = stream.subscription->Next(&memo_);
    EXPECT_TRUE(next.ok()) << next.status();
    return next.ok() ? *std::move(next) : nullptr;
  }
  // The values that a message puts; "-" where there is none.
  std::vector<std::string> Read(Stream& stream) { return Values(Next(stream)); }
  static std::vector<std::string> Values(const SharedMessage& message) {
    if (message == nullptr) return {"-"};
    v1::WatchConfigResponse response;
    EXPECT_TRUE(response.ParseFromString(message->bytes));
    std::vector<std::string> values;
    for (const auto& event : response.events()) values.push_back(event.entry().value());
    return values;
  }
  void Set(const std::string& value, uint64_t index) {
    Answer({Entry("a", value, index)}, index);
    // The pace of queries.
    scheduler_.Advance(absl::Seconds(1));
  }

  NextMemo memo_;
};

// Would break if readers at one place were not given one message, once each.
TEST_F(HubMemoTest, ReadersAtOnePlaceShareAMessage) {
  Stream first = Open(Key("a")), second = Open(Key("a"));
  Set("1", 10);
  const SharedMessage snapshot = Next(first);
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(Next(second), snapshot);
  EXPECT_EQ(Next(first), nullptr);
  EXPECT_EQ(Next(second), nullptr);
  Set("2", 11);
  const SharedMessage change = Next(first);
  EXPECT_THAT(Values(change), ElementsAre("2"));
  EXPECT_EQ(Next(second), change);
  EXPECT_EQ(Next(first), nullptr);
}

// Would break if a reader that is behind were told what one that is not is told, or the other way round.
TEST_F(HubMemoTest, ReadersAtOtherPlacesAreToldTheirOwn) {
  Stream quick = Open(Key("a")), slow = Open(Key("a"));
  Set("1", 10);
  EXPECT_THAT(Read(quick), ElementsAre("1"));
  Set("2", 11);
  EXPECT_THAT(Read(quick), ElementsAre("2"));
  EXPECT_THAT(Read(slow), ElementsAre("2")) << "a snapshot of what is now";
  EXPECT_THAT(Read(quick), ElementsAre("-"));
  EXPECT_THAT(Read(slow), ElementsAre("-"));
  Stream late = Open(Key("a"));
  EXPECT_THAT(Read(late), ElementsAre("2"));
  EXPECT_THAT(Read(late), ElementsAre("-"));
}

// Would break if the memo of a target were used for another, also for one that has come to lie where it was.
TEST_F(HubMemoTest, TargetsAreToldApart) {
  for (int i = 0; i < 20; ++i) {
    MakeHub({});
    Stream stream = Open(Key("a"));
    Set(std::to_string(i), 10);
    ASSERT_THAT(Read(stream), ElementsAre(std::to_string(i)));
    stream.subscription.reset();
    hub_->Shutdown();
    scheduler_.RunReady();
    while (backend_.Fail(Method::kReadKey, Away())) scheduler_.RunReady();
  }
}

// Would break if a reader were told that its state is good after it has become stale, or the reverse.
TEST_F(HubMemoTest, StalenessIsTold) {
  Stream first = Open(Key("a")), second = Open(Key("a"));
  Set("1", 10);
  Read(first);
  Read(second);
  for (int i = 0; i < 5; ++i) {
    Fail(Away());
    scheduler_.Advance(absl::Seconds(5));
  }
  for (Stream* stream : {&first, &second}) {
    const SharedMessage message = Next(*stream);
    ASSERT_NE(message, nullptr);
    v1::WatchConfigResponse response;
    ASSERT_TRUE(response.ParseFromString(message->bytes));
    EXPECT_TRUE(response.stale());
  }
  scheduler_.Advance(absl::Minutes(1));
  Set("2", 11);
  for (Stream* stream : {&first, &second}) EXPECT_THAT(Read(*stream), ElementsAre("2"));
}

// Would break if in any order of changes and reads a reader with a memo ended up with another state than one without.
TEST_F(HubMemoTest, NeverShows) {
  constexpr size_t kReaders = 6;
  std::vector<Stream> readers;
  std::vector<Stream> without;
  for (size_t i = 0; i < kReaders; ++i) {
    readers.push_back(Open(Key("a")));
    without.push_back(Open(Key("a")));
  }
  std::mt19937 random(1);
  for (uint64_t round = 1; round <= 500; ++round) {
    if (random() % 3 == 0) Set(std::to_string(round), 100 + round);
    const size_t i = random() % kReaders;
    const std::vector<std::string> with_memo = Read(readers[i]);
    const auto next = without[i].subscription->Next(nullptr);
    ASSERT_TRUE(next.ok());
    ASSERT_EQ(with_memo, Values(*next)) << round;
  }
}

}  // namespace
}  // namespace meshgate::consul
