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

namespace meshgate::server {
namespace {

using consul::KvEntry;
using consul::SharedMessage;

// Holds what is in flight until the test says that it has been written.
class StalledWriter : public StreamWriter {
 public:
  void StartWrite(SharedMessage message) override {
    ASSERT_EQ(in_flight, nullptr) << "two writes in flight";
    in_flight = std::move(message);
    ++writes;
  }
  void Finish(const absl::Status&) override { finished = true; }

  v1::WatchConfigResponse Done(Outbox* outbox) {
    v1::WatchConfigResponse response;
    EXPECT_TRUE(in_flight != nullptr && response.ParseFromString(in_flight->bytes));
    in_flight = nullptr;
    outbox->OnWriteDone(true);
    return response;
  }

  SharedMessage in_flight;
  int writes = 0;
  bool finished = false;
};

class SlowReaderTest : public consul::HubTest {
 protected:
  std::shared_ptr<Outbox> Open(StalledWriter* writer) {
    auto outbox = std::make_shared<Outbox>(writer, &scheduler_, &reporter_);
    const consul::Target prefix{consul::TargetKind::kPrefix, "p/", "", ""};
    outbox->Start(hub_->Subscribe(prefix, consul::View{}, std::nullopt, outbox), absl::ZeroDuration());
    scheduler_.RunReady();
    return outbox;
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
  }

  static constexpr uint64_t kKeys = 10;
  uint64_t index_ = 100;
  std::map<std::string, KvEntry> entries_;
};

// Would break if changes queued up behind a write that stalls: 1,000 of them are one message with the latest state of
// each key, once.
TEST_F(SlowReaderTest, AThousandChangesAreOneMessage) {
  StalledWriter slow, quick;
  auto slow_outbox = Open(&slow);
  auto quick_outbox = Open(&quick);
  Tell();
  quick.Done(quick_outbox.get());
  constexpr int kChanges = 1000;
  for (int i = 0; i < kChanges; ++i) {
    Change();
    // The other reader of the target keeps up with every one of them.
    ASSERT_NE(quick.in_flight, nullptr);
    quick.Done(quick_outbox.get());
  }
  EXPECT_EQ(quick.writes, 1 + kChanges);
  EXPECT_EQ(slow.writes, 1);
  EXPECT_TRUE(slow.Done(slow_outbox.get()).snapshot());

  EXPECT_EQ(slow.writes, 2);
  const v1::WatchConfigResponse merged = slow.Done(slow_outbox.get());
  EXPECT_FALSE(merged.snapshot());
  EXPECT_EQ(merged.index(), index_);
  ASSERT_EQ(merged.events_size(), static_cast<int>(kKeys));
  for (const auto& event : merged.events()) EXPECT_EQ(event.entry().value(), entries_[event.entry().key()].value);
  EXPECT_EQ(slow.in_flight, nullptr);
  slow_outbox->End(absl::OkStatus());
  quick_outbox->End(absl::OkStatus());
}

// Would break if readers that stall on the same state each held a copy of it, or if what one of them holds kept older
// states alive.
TEST_F(SlowReaderTest, StalledReadersShareWhatTheyHold) {
  constexpr size_t kReaders = 50;
  std::vector<StalledWriter> writers(kReaders);
  std::vector<std::shared_ptr<Outbox>> outboxes;
  for (auto& writer : writers) outboxes.push_back(Open(&writer));
  Tell();
  for (const auto& writer : writers) EXPECT_EQ(writer.in_flight, writers[0].in_flight);
  const std::weak_ptr<const consul::Message> first = writers[0].in_flight;
  for (int i = 0; i < 20; ++i) Change();
  for (size_t i = 0; i < kReaders; ++i) writers[i].Done(outboxes[i].get());
  EXPECT_TRUE(first.expired());
  for (const auto& writer : writers) EXPECT_EQ(writer.in_flight, writers[0].in_flight);
  for (size_t i = 0; i < kReaders; ++i) {
    writers[i].Done(outboxes[i].get());
    EXPECT_EQ(writers[i].in_flight, nullptr);
    outboxes[i]->End(absl::OkStatus());
  }
}

}  // namespace
}  // namespace meshgate::server
