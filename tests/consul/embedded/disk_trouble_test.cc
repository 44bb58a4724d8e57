// The embedded store while its file is locked by somebody else, and while it is full.
#include <sqlite3.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "consul/base/errors.h"
#include "consul/base/thread_pool_scheduler.h"
#include "consul/embedded/embedded_backend.h"
#include "gtest/gtest.h"
#include "tests/testing/no_prober.h"
#include "tests/testing/pending.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::consul {
namespace {

constexpr absl::Duration kBound = absl::Seconds(60);

class DiskTroubleTest : public ::testing::Test {
 protected:
  void Open(EmbeddedOptions options = {}) {
    options.data_dir = temp_.path() + "/data";
    options.scheduler = &scheduler_;
    options.prober = std::make_unique<testing::NoProber>();
    auto opened = EmbeddedBackend::Open(std::move(options));
    ASSERT_TRUE(opened.ok()) << opened.status();
    backend_ = *std::move(opened);
  }

  using PendingPut = testing::Pending<absl::StatusOr<KvEntry>>;
  PendingPut Put(const std::string& key, const std::string& value) {
    PendingPut done;
    KvEntry entry;
    entry.key = key;
    entry.value = value;
    WriteOptions patient;
    patient.timeout = absl::Hours(1);
    backend_->PutKey(entry, std::nullopt, patient, done.Callback());
    return done;
  }
  // Starts a deletion of a key.
  testing::Pending<absl::Status> Delete(const std::string& key) {
    testing::Pending<absl::Status> done;
    backend_->DeleteKey(key, std::nullopt, {}, done.Callback());
    return done;
  }
  static absl::Status StatusOf(const PendingPut& put) {
    auto answer = put.Get(kBound);
    return answer.has_value() ? answer->status() : absl::UnknownError("no answer");
  }

  testing::TempDir temp_;
  ThreadPoolScheduler scheduler_{2, "test"};
  std::unique_ptr<EmbeddedBackend> backend_;
};

// Another program's lock on the file, such as an administrator's forgotten transaction, must fail the writes that wait
// and no more: tried one by one, each would wait for the lock, for hours all together, and shutting down with them.
TEST_F(DiskTroubleTest, StuckLockFailsTheBatch) {
  Open();
  ASSERT_TRUE(StatusOf(Put("before", "1")).ok());
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open((temp_.path() + "/data/meshgate.db").c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(other);
  std::vector<PendingPut> puts;
  for (int i = 0; i < 500; ++i) puts.push_back(Put("key" + std::to_string(i), "1"));
  for (const PendingPut& put : puts) {
    const absl::Status status = StatusOf(put);
    ASSERT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_EQ(ReasonOf(status), reason::kStorage);
  }
  ASSERT_EQ(sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr), SQLITE_OK);
  EXPECT_TRUE(StatusOf(Put("after", "1")).ok()) << "as soon as the lock is gone";
  // Shutting down meanwhile takes no longer.
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  puts.clear();
  for (int i = 0; i < 500; ++i) puts.push_back(Put("more" + std::to_string(i), "1"));
  backend_->Shutdown();
  for (const PendingPut& put : puts) EXPECT_FALSE(StatusOf(put).ok());
  sqlite3_close(other);
}

// A store at its bound that refuses to delete, too, could never be used again.
TEST_F(DiskTroubleTest, DeletionsWorkAtTheBound) {
  EmbeddedOptions options;
  options.max_bytes = 512 << 10;
  Open(std::move(options));
  const auto key = [](int i) { return std::string(1000, 'k') + std::to_string(10000 + i); };
  int count = 0;
  absl::Status status;
  while ((status = StatusOf(Put(key(count), "v"))).ok() && count < 10000) ++count;
  ASSERT_EQ(ReasonOf(status), reason::kStorage) << status;
  ASSERT_GT(count, 50);
  for (int i = 0; i < count; ++i) {
    auto deleted = Delete(key(i)).Get(kBound);
    ASSERT_TRUE(deleted.has_value());
    ASSERT_TRUE(deleted->ok()) << i << " of " << count << ": " << *deleted;
  }
  EXPECT_TRUE(StatusOf(Put("after", "1")).ok());
  EXPECT_EQ(ReasonOf(StatusOf(Put("large", std::string(512 << 10, 'x')))), reason::kStorage) << "the bound still holds";
}

// Deletions must not fail for the sake of a write that they are committed with.
TEST_F(DiskTroubleTest, OneWriteTooManyFailsAlone) {
  EmbeddedOptions options;
  options.max_bytes = 512 << 10;
  Open(std::move(options));
  ASSERT_TRUE(StatusOf(Put("a", "1")).ok());
  std::vector<PendingPut> large, small;
  for (int i = 0; i < 20; ++i) {
    large.push_back(Put("large" + std::to_string(i), std::string(500 << 10, 'x')));
    small.push_back(Put("small" + std::to_string(i), "1"));
  }
  auto deleted = Delete("a").Get(kBound);
  ASSERT_TRUE(deleted.has_value());
  EXPECT_TRUE(deleted->ok()) << *deleted;
  for (const PendingPut& put : large) EXPECT_EQ(ReasonOf(StatusOf(put)), reason::kStorage);
  for (const PendingPut& put : small) EXPECT_TRUE(StatusOf(put).ok());
}

// Registrations, which may carry hundreds of kilobytes, would fill the memory while the disk stalls.
TEST_F(DiskTroubleTest, WhatWaitsIsCountedByWhatItCarries) {
  EmbeddedOptions options;
  options.max_queued_bytes = 100'000;
  Open(std::move(options));
  Registration registration;
  registration.id = registration.service = "web";
  registration.tags.assign(64, std::string(255, 't'));
  for (int i = 0; i < 64; ++i) registration.meta["k" + std::to_string(i)] = std::string(512, 'v');
  testing::Pending<absl::Status> fits;
  backend_->Register(registration, {}, fits.Callback());
  auto status = fits.Get(kBound);
  ASSERT_TRUE(status.has_value());
  EXPECT_TRUE(status->ok()) << *status;

  HttpProbe probe;
  for (int i = 0; i < 64; ++i) probe.headers["X-" + std::to_string(i)] = std::string(4096, 'v');
  registration.checks.resize(1);
  registration.checks[0].probe = probe;
  testing::Pending<absl::Status> too_large;
  backend_->Register(registration, {}, too_large.Callback());
  status = too_large.Get(kBound);
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->code(), absl::StatusCode::kResourceExhausted) << *status;
}

}  // namespace
}  // namespace meshgate::consul
