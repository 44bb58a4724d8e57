// What the tests of the budget share: a hub whose backend has few blocking queries, and keeps to Consul's rules.
#ifndef MESHGATE_TESTS_CONSUL_UPSTREAM_BUDGET_FIXTURE_H_
#define MESHGATE_TESTS_CONSUL_UPSTREAM_BUDGET_FIXTURE_H_

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "consul/reporter.h"
#include "consul/watch/hub.h"
#include "meshgate/v1/config_service.pb.h"
#include "tests/testing/fake_consul.h"
#include "tests/testing/manual_scheduler.h"
#include "tests/testing/scheduler_thread.h"

namespace meshgate::consul {

class GaugeReporter : public WatchReporter {
 public:
  void OnUpstreamWatches(TargetKind, int delta) override { upstream += delta; }
  void OnSharedTargets(int delta) override { shared += delta; }
  void OnPolled(int delta) override { polled += delta; }
  void OnReplan() override { ++replans; }

  int upstream = 0, shared = 0, polled = 0, replans = 0;
};

// A stream that takes what there is whenever it is woken, and remembers it.
class Reader : public Subscriber {
 public:
  explicit Reader(ReaderThread* thread) : thread_(thread) {}
  ReaderThread* thread() override { return thread_; }
  void Wake() override {
    while (subscription != nullptr) {
      auto next = subscription->Next();
      ASSERT_TRUE(next.ok()) << next.status();
      if (*next == nullptr) return;
      v1::WatchConfigResponse response;
      ASSERT_TRUE(response.ParseFromString((*next)->bytes));
      Take(response);
    }
  }

  std::unique_ptr<Subscription> subscription;
  std::map<std::string, std::string> state;
  int messages = 0, snapshots = 0, deletes = 0, stale = 0;
  bool is_stale = false;

 private:
  ReaderThread* const thread_;

  void Take(const v1::WatchConfigResponse& response) {
    ++messages;
    stale += response.stale() && !is_stale ? 1 : 0;
    is_stale = response.stale();
    if (response.snapshot()) {
      ++snapshots;
      state.clear();
    }
    for (const auto& event : response.events()) {
      std::string& held = state[event.entry().key()];
      if (event.type() == v1::ConfigEvent::TYPE_PUT) {
        // Where values are numbers they only grow.
        int before = 0, now = 0;
        if (absl::SimpleAtoi(held, &before) && absl::SimpleAtoi(event.entry().value(), &now)) {
          EXPECT_GT(now, before) << event.entry().key() << " went back, or was told twice";
        }
        held = event.entry().value();
      } else {
        ++deletes;
        state.erase(event.entry().key());
      }
    }
  }
};
using ReaderPtr = std::unique_ptr<Reader>;

class BudgetTest : public ::testing::Test {
 protected:
  // Half of it is what a plan uses, three quarters what queries of one target each may take.
  static constexpr int kLimit = 16;

  BudgetTest() {
    HubOptions options;
    options.wait = absl::Seconds(30);
    options.linger = absl::Seconds(1);
    hub_ = std::make_unique<Hub>(&consul_, &scheduler_, &reporter_, options);
  }
  ~BudgetTest() override {
    hub_->Shutdown();
    consul_.Shutdown();
    scheduler_.Advance(absl::Minutes(1));
    EXPECT_EQ(reporter_.upstream, 0);
    EXPECT_EQ(reporter_.shared, 0);
    EXPECT_EQ(reporter_.polled, 0);
  }

  static std::string Name(int i) { return absl::StrFormat("k/%03d", i); }

  ReaderPtr Open(TargetKind kind, const std::string& name) {
    auto reader = std::make_unique<Reader>(&thread_);
    reader->subscription = hub_->Subscribe({kind, name, "", ""}, View{}, std::nullopt, reader.get());
    reader->Wake();
    return reader;
  }
  ReaderPtr Open(const std::string& key) { return Open(TargetKind::kKey, key); }

  // `count` keys that exist, each with a reader, and time for a plan to be made and the one before to run out.
  std::vector<ReaderPtr> OpenMany(int count) {
    std::vector<ReaderPtr> readers;
    for (int i = 0; i < count; ++i) consul_.Put(Name(i), "1");
    for (int i = 0; i < count; ++i) readers.push_back(Open(Name(i)));
    scheduler_.Advance(absl::Seconds(5));
    return readers;
  }

  ::meshgate::testing::ManualScheduler scheduler_;
  ::meshgate::testing::SchedulerThread thread_{&scheduler_};
  ::meshgate::testing::FakeConsul consul_{&scheduler_, kLimit};
  GaugeReporter reporter_;
  std::unique_ptr<Hub> hub_;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_TESTS_CONSUL_UPSTREAM_BUDGET_FIXTURE_H_
