// What the conformance suite leaves open: the clock of blocking queries, restarts, limits and failing disks.
#include "consul/embedded/embedded_backend.h"

#include <string>
#include <vector>

#include "consul/base/errors.h"
#include "tests/consul/embedded/backend_fixture.h"

namespace meshgate::consul {
namespace {

using EmbeddedBackendTest = BackendFixture;

// A wait that ended early would poll, one that never ended would leak; Consul adds up to a sixteenth.
TEST_F(EmbeddedBackendTest, WaitEndsInItsTime) {
  Open();
  const uint64_t index = Put("a", "1")->modify_index;
  auto watch = WatchKey("a", index, absl::Seconds(16));
  auto default_wait = WatchKey("a", index, absl::ZeroDuration());
  auto longest = WatchKey("a", index, absl::Hours(1));
  scheduler_.Advance(absl::Seconds(16) - absl::Milliseconds(1));
  EXPECT_FALSE(watch.ready());
  scheduler_.Advance(absl::Seconds(1) + absl::Milliseconds(2));
  ASSERT_TRUE(watch.ready());
  const Entries ended = Await(watch);
  EXPECT_EQ(ended->meta.index, index);
  EXPECT_GE(ended->meta.received, scheduler_.Now() - absl::Seconds(1) - absl::Milliseconds(2));
  scheduler_.Advance(absl::Minutes(4));
  EXPECT_FALSE(default_wait.ready());
  scheduler_.Advance(absl::Minutes(2));
  EXPECT_TRUE(default_wait.ready());
  EXPECT_FALSE(longest.ready());
  scheduler_.Advance(absl::Minutes(5));
  EXPECT_TRUE(longest.ready());
  EXPECT_EQ(scheduler_.pending_timers(), 0u);
}

// A watcher that holds an index of another store would be deaf for a whole wait, as it is with Consul.
TEST_F(EmbeddedBackendTest, IndexFromTheFutureIsAnsweredAtOnce) {
  Open();
  const uint64_t index = Put("a", "1")->modify_index;
  auto watch = WatchKey("a", index + 1);
  ASSERT_TRUE(watch.ready());
  EXPECT_EQ(Await(watch)->meta.index, index);
}

// Watchers of missing keys would spin with every write of others.
TEST_F(EmbeddedBackendTest, MissingKeyWakesOnlyForItself) {
  Open();
  ASSERT_TRUE(Put("other", "1").ok());
  const uint64_t index = *ReadKey("a")->meta.index;
  auto watch = WatchKey("a", index);
  ASSERT_TRUE(Put("other", "2").ok());
  scheduler_.RunReady();
  EXPECT_FALSE(watch.ready());
  EXPECT_FALSE(WatchKey("a", index).ready()) << "although the table's index has passed";
  ASSERT_TRUE(Put("a", "1").ok());
  EXPECT_EQ(Await(watch)->value.size(), 1u);
}

// Thousands of watchers must not cost timers or memory once they are answered, and only those concerned are.
TEST_F(EmbeddedBackendTest, ThousandsOfWatchers) {
  Open();
  std::vector<testing::Pending<Entries>> watches;
  const uint64_t index = *ReadKey("k0")->meta.index;
  for (int i = 0; i < 5000; ++i) watches.push_back(WatchKey("k" + std::to_string(i), index));
  EXPECT_EQ(scheduler_.pending_timers(), 5000u);
  ASSERT_TRUE(Put("k4999", "1").ok());
  EXPECT_TRUE(Await(watches[4999]).ok());
  EXPECT_EQ(scheduler_.pending_timers(), 4999u);
  EXPECT_FALSE(watches[4998].ready());
  Close();
  EXPECT_EQ(scheduler_.pending_timers(), 0u);
  for (int i = 0; i < 4999; ++i)
    EXPECT_EQ(watches[i].Get(absl::ZeroDuration())->status().code(), absl::StatusCode::kCancelled);
}

// A call's handle may outlive the backend; using it then must be harmless.
TEST_F(EmbeddedBackendTest, HandlesOutliveTheBackend) {
  Open();
  const uint64_t index = Put("a", "1")->modify_index;
  testing::Pending<Entries> read;
  ReadOptions options;
  options.index = index;
  CallHandle watch = backend_->ReadKey("a", options, read.Callback());
  testing::Pending<absl::Status> written;
  CallHandle write = backend_->DeleteKey("b", std::nullopt, {}, written.Callback());
  scheduler_.RunReady();
  Close();
  watch->Cancel();
  write->Cancel();
  EXPECT_EQ(read.calls(), 1);
  EXPECT_EQ(written.calls(), 1);
}

// Entries, indexes and instances must be those from before a restart, and a watcher's index still good.
TEST_F(EmbeddedBackendTest, RestartKeepsEverything) {
  Open();
  const KvEntry put = *Put("a", "1");
  ASSERT_TRUE(Register(Service("web", Ttl())).ok());
  ASSERT_TRUE(Heartbeat("web", Health::kPassing).ok());
  const Instance before = ReadService("web")->value.at(0);
  const uint64_t index = ServiceIndex("web");
  Reopen();
  const KvEntry entry = ReadKey("a")->value.at(0);
  EXPECT_EQ(entry.value, "1");
  EXPECT_EQ(entry.modify_index, put.modify_index);
  EXPECT_EQ(ReadService("web")->value.at(0), before);
  EXPECT_EQ(ServiceIndex("web"), index);
  EXPECT_FALSE(WatchKey("a", put.modify_index).ready());
  EXPECT_GT(Put("a", "2")->modify_index, index) << "an index is never given twice";
}

// What was written together must be there together after a restart, with the indexes that were answered.
TEST_F(EmbeddedBackendTest, RestartKeepsACommit) {
  Open();
  ASSERT_TRUE(Put("p/old", "1").ok());
  KvEntry a;
  a.key = "p/a";
  a.value = "1";
  KvEntry b = a;
  b.key = "p/b";
  testing::Pending<absl::StatusOr<std::vector<KvEntry>>> done;
  backend_->Commit({DeletePrefixOperation{"p/"}, PutOperation{a, 0}, PutOperation{b, 0}, DeleteKeyOperation{"p/b", {}},
                    PutOperation{b, 0}},
                   {}, done.Callback());
  const auto written = Await(done);
  ASSERT_TRUE(written.ok()) << written.status();
  ASSERT_EQ(written->size(), 3u);
  Reopen();
  EXPECT_TRUE(ReadKey("p/old")->value.empty());
  for (const char* key : {"p/a", "p/b"}) {
    const Entries read = ReadKey(key);
    ASSERT_EQ(read->value.size(), 1u) << key;
    EXPECT_EQ(read->value[0].modify_index, written->at(0).modify_index);
    EXPECT_EQ(read->value[0].create_index, written->at(0).create_index);
    EXPECT_EQ(read->meta.index, written->at(0).modify_index);
  }
}

// Instances without an address would be unreachable, and the node would have no name.
TEST_F(EmbeddedBackendTest, NodeIsTheOptions) {
  EmbeddedOptions options;
  options.node_name = "edge-7";
  options.node_address = "192.0.2.7";
  Open(std::move(options));
  ASSERT_TRUE(Register(Service("web", Ttl())).ok());
  const Instance instance = ReadService("web")->value.at(0);
  EXPECT_EQ(instance.node, "edge-7");
  EXPECT_EQ(instance.address, "192.0.2.7");
  EXPECT_EQ(instance.datacenter, "dc1");
}

// Heartbeats are most of the traffic: those that say nothing new must not reach the disk, nor wake anybody.
TEST_F(EmbeddedBackendTest, HeartbeatThatChangesNothingIsNoWrite) {
  Open();
  ASSERT_TRUE(Register(Service("web", Ttl())).ok());
  ASSERT_TRUE(Heartbeat("web", Health::kPassing).ok());
  const uint64_t index = ServiceIndex("web");
  testing::Pending<absl::Status> done;
  backend_->Heartbeat("web", Health::kPassing, "", {}, done.Callback());
  scheduler_.RunReady();
  EXPECT_TRUE(done.ready()) << "it waited for the writer";
  EXPECT_EQ(ServiceIndex("web"), index);
  EXPECT_EQ(ReasonOf(Heartbeat("none", Health::kPassing)), reason::kInstanceNotFound);
  EXPECT_EQ(Heartbeat("web", Health::kMaintenance).code(), absl::StatusCode::kInvalidArgument);
}

// A write that the disk has no room for must fail alone, leave memory as the disk is, and not stop later ones; whoever
// asks for the health must learn of it, and of its end.
TEST_F(EmbeddedBackendTest, FullDisk) {
  EmbeddedOptions options;
  options.max_bytes = 1 << 20;
  Open(std::move(options));
  const uint64_t index = Put("a", "1")->modify_index;
  auto watch = WatchKey("big", index);
  testing::Pending<absl::StatusOr<KvEntry>> big, small;
  KvEntry entry;
  entry.key = "big";
  entry.value.assign(2 << 20, 'x');
  backend_->PutKey(entry, std::nullopt, {}, big.Callback());
  entry.key = "small";
  entry.value = "s";
  backend_->PutKey(entry, std::nullopt, {}, small.Callback());
  const absl::Status failed = Await(big).status();
  EXPECT_EQ(failed.code(), absl::StatusCode::kUnavailable) << failed;
  EXPECT_EQ(ReasonOf(failed), reason::kStorage);
  EXPECT_TRUE(Await(small).ok());
  EXPECT_TRUE(ReadKey("big")->value.empty());
  EXPECT_FALSE(watch.ready());

  entry.key = "big";
  entry.value.assign(2 << 20, 'x');
  testing::Pending<absl::StatusOr<KvEntry>> alone;
  backend_->PutKey(entry, std::nullopt, {}, alone.Callback());
  EXPECT_EQ(ReasonOf(Await(alone).status()), reason::kStorage);
  testing::Pending<absl::StatusOr<BackendHealth>> health;
  backend_->CheckHealth(absl::Seconds(10), health.Callback());
  EXPECT_TRUE(Await(health).ok()) << "the disk was tried again, and takes what there is room for";
  Reopen();
  EXPECT_TRUE(ReadKey("big")->value.empty());
  EXPECT_EQ(ReadKey("small")->value.size(), 1u);
}

// A queue without a bound would take memory until the process is killed; the caller has to learn that it was refused.
TEST_F(EmbeddedBackendTest, QueueIsBounded) {
  EmbeddedOptions options;
  options.max_queued_bytes = 1000;
  Open(std::move(options));
  const absl::Status refused = Put("a", std::string(1001, 'x')).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(refused), reason::kConsulOverloaded);
  EXPECT_TRUE(RetryAfterOf(refused).has_value());
  EXPECT_TRUE(Put("a", "x").ok());
}

// A backend without what it needs must say so instead of failing later.
TEST_F(EmbeddedBackendTest, MissingOptions) {
  EmbeddedOptions options;
  EXPECT_EQ(EmbeddedBackend::Open(std::move(options)).status().code(), absl::StatusCode::kInvalidArgument);
  EmbeddedOptions no_prober;
  no_prober.scheduler = &scheduler_;
  EXPECT_EQ(EmbeddedBackend::Open(std::move(no_prober)).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace meshgate::consul
