// The outbox over a real hub: what a reader that does not take its messages costs, and what it gets in the end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/stream/outbox.h"
#include "tests/consul/watch/hub_fixture.h"
#include "tests/testing/manual_executor.h"

namespace meshgate::server {
namespace {

using consul::KvEntry;
using testing::ManualExecutor;
using testing::TakingStream;

class SlowReaderTest : public consul::HubTest {
 protected:
  // A reader of all keys; `room` as in TakingStream.
  std::unique_ptr<TakingStream> Open(int room) {
    auto stream = std::make_unique<TakingStream>(&executor_, &scheduler_, &reporter_, room);
    const consul::Target prefix{consul::TargetKind::kPrefix, "p/", "", ""};
    stream->outbox()->Start(hub_->Subscribe(prefix, consul::View{}, std::nullopt, stream->outbox().get()),
                            absl::ZeroDuration());
    scheduler_.RunReady();
    executor_.RunReady();
    return stream;
  }

  // The one message that a reader has taken, which has then gone out.
  static v1::WatchConfigResponse Read(TakingStream& stream) {
    v1::WatchConfigResponse response;
    EXPECT_EQ(stream.messages().size(), 1u);
    EXPECT_TRUE(!stream.messages().empty() && response.ParseFromString(stream.messages()[0]->bytes));
    stream.Forget();
    return response;
  }

  // One change of one of the keys.
  void Change() {
    ++index_;
    const std::string key = "p/" + std::to_string(index_ % kKeys);
    entries_[key] = Entry(key, std::to_string(index_), index_);
    Tell();
  }
  void Tell() {
    std::vector<KvEntry> entries;
    for (const auto& [key, entry] : entries_) entries.push_back(entry);
    ASSERT_TRUE(backend_.AnswerEntries(Method::kReadPrefix, std::move(entries), index_));
    scheduler_.RunReady();
    // The pace of queries.
    scheduler_.Advance(absl::Seconds(1));
    executor_.RunReady();
  }

  static constexpr uint64_t kKeys = 10;
  uint64_t index_ = 100;
  std::map<std::string, KvEntry> entries_;
  ManualExecutor executor_;
};

// Would break if changes queued up for a reader that has no room: 1,000 of them are one message with the latest state
// of each key, once.
TEST_F(SlowReaderTest, AThousandChangesAreOneMessage) {
  auto slow = Open(1);
  auto quick = Open(TakingStream::kPlenty);
  Tell();
  Read(*quick);
  constexpr int kChanges = 1000;
  for (int i = 0; i < kChanges; ++i) {
    Change();
    // The other reader of the target keeps up with every one of them.
    ASSERT_EQ(Read(*quick).index(), index_);
  }
  EXPECT_TRUE(Read(*slow).snapshot());

  slow->GiveRoom();
  const v1::WatchConfigResponse merged = Read(*slow);
  EXPECT_FALSE(merged.snapshot());
  EXPECT_EQ(merged.index(), index_);
  ASSERT_EQ(merged.events_size(), static_cast<int>(kKeys));
  for (const auto& event : merged.events()) EXPECT_EQ(event.entry().value(), entries_[event.entry().key()].value);
  slow->GiveRoom();
  EXPECT_TRUE(slow->messages().empty());
}

// Would break if readers that are told the same each held a copy of it, or if one that stalls kept older states alive.
TEST_F(SlowReaderTest, StalledReadersShareWhatTheyHold) {
  constexpr size_t kReaders = 50;
  std::vector<std::unique_ptr<TakingStream>> streams;
  for (size_t i = 0; i < kReaders; ++i) streams.push_back(Open(1));
  Tell();
  for (const auto& stream : streams) ASSERT_EQ(stream->messages(), streams[0]->messages());
  const std::weak_ptr<const consul::Message> first = streams[0]->messages()[0];
  for (int i = 0; i < 20; ++i) Change();
  for (const auto& stream : streams) {
    stream->Forget();
    stream->GiveRoom();
  }
  EXPECT_TRUE(first.expired());
  for (const auto& stream : streams) EXPECT_EQ(stream->messages(), streams[0]->messages());
  for (const auto& stream : streams) EXPECT_EQ(Read(*stream).index(), index_);
}

// Would break if a reader without any room had the hub encode messages for it: it is a mark, and the state it could get
// is dropped when the next one comes.
TEST_F(SlowReaderTest, AReaderWithoutRoomHoldsNothing) {
  auto stalled = Open(0);
  auto quick = Open(1);
  Tell();
  const std::weak_ptr<const consul::Message> first = quick->messages()[0];
  quick->Forget();
  quick->GiveRoom();
  for (int i = 0; i < 5; ++i) Change();
  EXPECT_TRUE(first.expired());
  EXPECT_TRUE(stalled->messages().empty());
  stalled->GiveRoom();
  EXPECT_TRUE(Read(*stalled).snapshot());
}

}  // namespace
}  // namespace meshgate::server
