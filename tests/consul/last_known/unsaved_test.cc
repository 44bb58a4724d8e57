#include "consul/last_known/unsaved.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace meshgate::consul::last_known {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1000);

Target Key(std::string name) { return {TargetKind::kKey, std::move(name), "", ""}; }

StoredState New(uint64_t index, absl::Time confirmed = kNow) {
  return {std::make_shared<const State>(), index, confirmed};
}

// However many versions a slow disk lets come together, one waits: memory must not grow with the rate of changes.
TEST(UnsavedTest, HoldsTheLatestVersionOnly) {
  Unsaved unsaved(100);
  std::vector<std::weak_ptr<const State>> versions;
  for (uint64_t i = 1; i <= 1000; ++i) {
    StoredState stored = New(i);
    versions.push_back(stored.state);
    EXPECT_EQ(unsaved.Save(Key("a"), stored), Unsaved::Kind::kState);
  }
  for (size_t i = 0; i + 1 < versions.size(); ++i) EXPECT_TRUE(versions[i].expired());
  const auto items = unsaved.States();
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(items[0].stored.index, 1000u);
}

// A confirmation of what waits to be written goes with it; of what is written, alone.
TEST(UnsavedTest, TellsConfirmationsFromStates) {
  Unsaved unsaved(100);
  StoredState stored = New(5);
  unsaved.Save(Key("a"), stored);
  stored.confirmed += absl::Seconds(10);
  EXPECT_EQ(unsaved.Save(Key("a"), stored), Unsaved::Kind::kState);
  EXPECT_TRUE(unsaved.TakeConfirmations().empty());
  unsaved.OnWritten(unsaved.States().at(0));
  EXPECT_FALSE(unsaved.has_states());
  stored.confirmed += absl::Seconds(10);
  EXPECT_EQ(unsaved.Save(Key("a"), stored), Unsaved::Kind::kConfirmation);
  const auto confirmations = unsaved.TakeConfirmations();
  ASSERT_EQ(confirmations.size(), 1u);
  EXPECT_EQ(confirmations[0].stored.confirmed, kNow + absl::Seconds(20));
  EXPECT_TRUE(unsaved.TakeConfirmations().empty());
}

// A state that was replaced while it was being written still has to be written.
TEST(UnsavedTest, AWriteDoesNotCoverWhatCameMeanwhile) {
  Unsaved unsaved(100);
  unsaved.Save(Key("a"), New(1));
  const auto items = unsaved.States();
  const StoredState second = New(2);
  unsaved.Save(Key("a"), second);
  unsaved.OnWritten(items[0]);
  EXPECT_TRUE(unsaved.has_states());
  EXPECT_EQ(unsaved.States().at(0).stored.index, 2u);
}

// Most important: what is on disk must not be called confirmed because something newer, which is not there, was.
TEST(UnsavedTest, AStateThatCouldNotBeWrittenIsNotConfirmed) {
  Unsaved unsaved(100);
  const StoredState first = New(1);
  unsaved.Save(Key("a"), first);
  unsaved.OnWritten(unsaved.States().at(0));
  const StoredState second = New(2);
  unsaved.Save(Key("a"), second);
  unsaved.OnFailed(unsaved.States().at(0));
  unsaved.Save(Key("a"), {second.state, 2, kNow + absl::Seconds(30)});
  EXPECT_TRUE(unsaved.TakeConfirmations().empty());
  EXPECT_TRUE(unsaved.has_states());
}

// A disk that fails for days must not keep alive what the hub has let go.
TEST(UnsavedTest, RefersToWhatFailedWithoutHoldingIt) {
  Unsaved unsaved(100);
  std::weak_ptr<const State> gone;
  {
    const StoredState stored = New(1);
    gone = stored.state;
    unsaved.Save(Key("a"), stored);
  }
  EXPECT_FALSE(gone.expired());
  unsaved.OnFailed(unsaved.States().at(0));
  EXPECT_TRUE(gone.expired());
  unsaved.Prune();
  EXPECT_FALSE(unsaved.has_states());
  EXPECT_EQ(unsaved.size(), 0u);
}

// While a disk hangs nothing is taken off: both what is held and what is referred to have a bound.
TEST(UnsavedTest, IsBoundedWithoutAWriter) {
  Unsaved unsaved(10);
  std::vector<std::weak_ptr<const State>> states;
  for (int i = 0; i < 20000; ++i) {
    StoredState stored = New(1);
    states.push_back(stored.state);
    unsaved.Save(Key(std::to_string(i)), stored);
  }
  int held = 0;
  for (const auto& state : states) held += state.expired() ? 0 : 1;
  EXPECT_EQ(held, 10);
  EXPECT_LE(unsaved.size(), 1024u);
}

// After the file had to be begun anew everything that the hub has belongs into it, but not what is too large for it.
TEST(UnsavedTest, WritesEverythingAgainIntoANewFile) {
  Unsaved unsaved(100);
  const StoredState a = New(1), b = New(2), large = New(3);
  unsaved.Save(Key("a"), a);
  unsaved.OnWritten(unsaved.States().at(0));
  unsaved.SetLoaded(Key("b"), b);
  unsaved.Save(Key("large"), large);
  unsaved.OnRefused(unsaved.States().at(0));
  EXPECT_FALSE(unsaved.has_states());
  unsaved.OnAllLost();
  EXPECT_EQ(unsaved.States().size(), 2u);
  // A new version of it may fit.
  const StoredState smaller = New(4);
  unsaved.Save(Key("large"), smaller);
  EXPECT_EQ(unsaved.States().size(), 3u);
}

}  // namespace
}  // namespace meshgate::consul::last_known
