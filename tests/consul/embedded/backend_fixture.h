// An embedded backend whose clock, tasks and probes the test drives.
#ifndef MESHGATE_TESTS_CONSUL_EMBEDDED_BACKEND_FIXTURE_H_
#define MESHGATE_TESTS_CONSUL_EMBEDDED_BACKEND_FIXTURE_H_

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "consul/embedded/embedded_backend.h"
#include "gtest/gtest.h"
#include "tests/consul/embedded/scripted_prober.h"
#include "tests/testing/manual_scheduler.h"
#include "tests/testing/pending.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::consul {

class BackendFixture : public ::testing::Test {
 protected:
  using Entries = absl::StatusOr<Answer<std::vector<KvEntry>>>;
  using Instances = absl::StatusOr<Answer<std::vector<Instance>>>;

  ~BackendFixture() override { Close(); }

  void Open(EmbeddedOptions options = {}) {
    options.data_dir = temp_.path() + "/data";
    options.scheduler = &scheduler_;
    auto prober = std::make_unique<embedded::ScriptedProber>();
    prober_ = prober.get();
    options.prober = std::move(prober);
    auto opened = EmbeddedBackend::Open(std::move(options));
    ASSERT_TRUE(opened.ok()) << opened.status();
    backend_ = *std::move(opened);
  }

  // Shuts down, which waits for tasks, and so needs somebody to run them meanwhile.
  void Close() {
    if (backend_ == nullptr) return;
    std::atomic<bool> closed{false};
    std::thread closer([&] {
      backend_ = nullptr;
      closed = true;
    });
    while (!closed) {
      scheduler_.RunReady();
      std::this_thread::yield();
    }
    closer.join();
  }
  void Reopen() {
    Close();
    Open();
  }

  // Runs tasks until the condition holds. The writer is a thread of its own, so they may take a moment to come.
  template <typename Condition>
  bool RunUntil(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      if (scheduler_.RunReady() == 0) std::this_thread::yield();
    }
    return true;
  }

  template <typename T>
  T Await(const testing::Pending<T>& pending) {
    EXPECT_TRUE(RunUntil([&] { return pending.ready(); })) << "no answer";
    return *pending.Get(absl::Seconds(1));
  }

  absl::StatusOr<KvEntry> Put(const std::string& key, const std::string& value, WriteOptions options = {}) {
    testing::Pending<absl::StatusOr<KvEntry>> done;
    KvEntry entry;
    entry.key = key;
    entry.value = value;
    backend_->PutKey(entry, std::nullopt, options, done.Callback());
    return Await(done);
  }
  Entries ReadKey(const std::string& key) { return Await(WatchKey(key, 0)); }
  testing::Pending<Entries> WatchKey(const std::string& key, uint64_t index, absl::Duration wait = absl::Minutes(1)) {
    testing::Pending<Entries> done;
    ReadOptions options;
    options.index = index;
    options.wait = wait;
    backend_->ReadKey(key, options, done.Callback());
    scheduler_.RunReady();
    return done;
  }
  absl::Status Register(const Registration& registration) {
    testing::Pending<absl::Status> done;
    backend_->Register(registration, {}, done.Callback());
    return Await(done);
  }
  absl::Status Deregister(const std::string& id) {
    testing::Pending<absl::Status> done;
    backend_->Deregister(id, {}, done.Callback());
    return Await(done);
  }
  absl::Status Heartbeat(const std::string& id, Health health) {
    testing::Pending<absl::Status> done;
    backend_->Heartbeat(id, health, "note", {}, done.Callback());
    return Await(done);
  }
  Instances ReadService(const std::string& service) {
    testing::Pending<Instances> done;
    backend_->ReadService(service, "", "", {}, done.Callback());
    return Await(done);
  }
  // The service has this one instance's health, sooner or later.
  bool HasHealth(const std::string& service, Health health) {
    return RunUntil([&] {
      const Instances answer = ReadService(service);
      return answer.ok() && answer->value.size() == 1 && answer->value[0].health == health;
    });
  }
  uint64_t ServiceIndex(const std::string& service) { return ReadService(service)->meta.index.value_or(0); }

  static Registration Service(const std::string& id, CheckDefinition check) {
    Registration r;
    r.id = r.service = id;
    r.checks = {std::move(check)};
    return r;
  }
  static CheckDefinition Ttl(absl::Duration ttl = absl::Seconds(10)) {
    CheckDefinition check;
    check.probe = TtlProbe{ttl};
    return check;
  }
  static CheckDefinition Tcp() {
    CheckDefinition check;
    check.probe = TcpProbe{"127.0.0.1:1"};
    check.interval = absl::Seconds(10);
    return check;
  }

  testing::TempDir temp_;
  testing::ManualScheduler scheduler_;
  std::unique_ptr<EmbeddedBackend> backend_;
  embedded::ScriptedProber* prober_ = nullptr;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_TESTS_CONSUL_EMBEDDED_BACKEND_FIXTURE_H_
