// What is on disk: surviving, refusing, failing.
#include "consul/embedded/store.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "consul/base/errors.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::consul::embedded {
namespace {

class StoreTest : public ::testing::Test {
 protected:
  std::string dir() const { return temp_.path() + "/data"; }
  std::string file() const { return dir() + "/meshgate.db"; }

  // Opens the store and loads the state.
  void Open(uint64_t max_bytes = 0) {
    auto store = Store::Open(dir(), max_bytes);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    auto state = store_->Load();
    ASSERT_TRUE(state.ok()) << state.status();
    state_ = *std::move(state);
  }
  void Reopen() {
    store_ = nullptr;
    Open();
  }

  template <typename Writes>
  absl::Status Commit(Writes writes) {
    Transaction transaction(&state_);
    writes(transaction);
    absl::Status status = store_->Commit(transaction.mutations(), transaction.index());
    if (!status.ok()) return status;
    for (const Mutation& mutation : transaction.mutations()) Apply(mutation, state_);
    return status;
  }

  absl::Status Put(const std::string& key, const std::string& value, uint64_t flags = 0) {
    return Commit([&](Transaction& t) {
      KvEntry entry;
      entry.key = key;
      entry.value = value;
      entry.flags = flags;
      EXPECT_TRUE(t.Put(std::move(entry), std::nullopt).ok());
    });
  }

  // Runs SQL on the closed store's file.
  void Tamper(const char* sql) {
    store_ = nullptr;
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(file().c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    sqlite3_close(db);
  }

  testing::TempDir temp_;
  std::unique_ptr<Store> store_;
  State state_;
};

Registration EveryField() {
  Registration r;
  r.id = "web-1";
  r.service = "web";
  r.address = "10.0.0.7";
  r.port = 8080;
  r.tags = {"b", "a"};
  r.meta = {{"version", "2"}, {"empty", ""}};
  r.weight_passing = 7;
  r.weight_warning = 0;
  CheckDefinition http;
  http.probe = HttpProbe{"https://h/x", "HEAD", {{"X", "y"}}, true};
  http.name = "http";
  http.interval = absl::Milliseconds(1500);
  http.timeout = absl::Seconds(3);
  http.deregister_critical_after = absl::Minutes(2);
  http.initial_status = Health::kWarning;
  CheckDefinition tcp;
  tcp.probe = TcpProbe{"h:1"};
  CheckDefinition grpc;
  grpc.probe = GrpcProbe{"h:1/s", true};
  CheckDefinition ttl;
  ttl.probe = TtlProbe{absl::Seconds(9) + absl::Nanoseconds(1)};
  ttl.initial_status = Health::kPassing;
  r.checks = {http, tcp, grpc, ttl};
  return r;
}

// What was acknowledged must be there after a restart, byte for byte, with its indexes.
TEST_F(StoreTest, EntriesSurvive) {
  Open();
  const std::string bytes("\0\xFF\x01", 3);
  ASSERT_TRUE(Put("a", bytes, ~uint64_t{0}).ok());
  ASSERT_TRUE(Put("empty", "").ok());
  ASSERT_TRUE(Put("b", "1").ok());
  ASSERT_TRUE(Put("b", "2").ok());
  ASSERT_TRUE(Commit([](Transaction& t) { EXPECT_TRUE(t.Delete("empty", std::nullopt).ok()); }).ok());
  ASSERT_TRUE(Put("empty", "").ok());
  const State before = state_;
  Reopen();
  EXPECT_EQ(state_.index, before.index);
  ASSERT_EQ(state_.kv.FindBelow("").size(), 3u);
  for (const SharedEntry& entry : before.kv.FindBelow("")) {
    ASSERT_NE(state_.kv.Find(entry->key), nullptr);
    EXPECT_EQ(*state_.kv.Find(entry->key), *entry);
  }
}

// Every field of a registration and the status of its checks must come back, or instances would change by a restart.
TEST_F(StoreTest, RegistrationsSurvive) {
  Open();
  ASSERT_TRUE(Commit([](Transaction& t) { t.Register(std::make_shared<const Registration>(EveryField())); }).ok());
  ASSERT_TRUE(Commit([](Transaction& t) { EXPECT_TRUE(t.Heartbeat("web-1", Health::kCritical, "down").ok()); }).ok());
  const SharedRecord before = state_.catalog.Find("web-1");
  Reopen();
  const SharedRecord after = state_.catalog.Find("web-1");
  ASSERT_NE(after, nullptr);
  EXPECT_TRUE(SameInstance(*after->registration, EveryField()));
  EXPECT_TRUE(SameChecks(*after->registration, EveryField()));
  EXPECT_EQ(after->create_index, before->create_index);
  EXPECT_EQ(after->modify_index, before->modify_index);
  ASSERT_EQ(after->checks.size(), 4u);
  EXPECT_EQ(after->checks[0].health, Health::kWarning);
  EXPECT_EQ(after->checks[3].health, Health::kCritical);
  EXPECT_EQ(after->checks[3].output, "down");
}

// An index that goes back by a restart makes every watcher start over, or miss a change.
TEST_F(StoreTest, IndexesSurvive) {
  Open();
  ASSERT_TRUE(Put("p/a", "1").ok());
  ASSERT_TRUE(Put("p/b", "1").ok());
  ASSERT_TRUE(Commit([](Transaction& t) { t.Register(std::make_shared<const Registration>(EveryField())); }).ok());
  ASSERT_TRUE(Commit([](Transaction& t) { EXPECT_TRUE(t.Heartbeat("web-1", Health::kWarning, "").ok()); }).ok());
  ASSERT_TRUE(Commit([](Transaction& t) { EXPECT_TRUE(t.Delete("p/b", std::nullopt).ok()); }).ok());
  const uint64_t live = state_.catalog.ServiceIndex("web");
  const uint64_t prefix = state_.kv.PrefixIndex("p/");
  Reopen();
  EXPECT_EQ(state_.catalog.ServiceIndex("web"), live);
  EXPECT_EQ(state_.kv.PrefixIndex("p/"), prefix);
  EXPECT_TRUE(state_.kv.KeyChangedSince("p/b", prefix - 1));
  EXPECT_GE(state_.catalog.summaries_index(), 1u);

  ASSERT_TRUE(Commit([](Transaction& t) { EXPECT_TRUE(t.Deregister("web-1").ok()); }).ok());
  const uint64_t gone = state_.index;
  Reopen();
  EXPECT_EQ(state_.index, gone);
  EXPECT_EQ(state_.catalog.ServiceIndex("web"), gone);
  EXPECT_TRUE(state_.catalog.ServiceChangedSince("web", gone - 1));
  EXPECT_FALSE(state_.catalog.ServiceChangedSince("web", gone));
}

// Forgotten tombstones must stay forgotten on disk, with the floor they leave, and live services must keep theirs.
TEST_F(StoreTest, ReapingSurvives) {
  Open();
  ASSERT_TRUE(Commit([](Transaction& t) { t.Register(std::make_shared<const Registration>(EveryField())); }).ok());
  const uint64_t web = state_.catalog.ServiceIndex("web");
  for (int i = 0; i < 8; ++i) {
    const std::string name = "x" + std::to_string(i);
    ASSERT_TRUE(Put(name, "v").ok());
    ASSERT_TRUE(Commit([&](Transaction& t) {
                  EXPECT_TRUE(t.Delete(name, std::nullopt).ok());
                  Registration r = EveryField();
                  r.id = r.service = name;
                  t.Register(std::make_shared<const Registration>(r));
                  EXPECT_TRUE(t.Deregister(name).ok());
                }).ok());
  }
  ASSERT_TRUE(Commit([](Transaction& t) { t.BoundTombstones(4); }).ok());
  const State before = state_;
  ASSERT_EQ(before.kv.tombstones().size(), 2u);
  Reopen();
  EXPECT_EQ(state_.kv.tombstones().size(), 2u);
  EXPECT_EQ(state_.kv.tombstones().floor(), before.kv.tombstones().floor());
  EXPECT_EQ(state_.catalog.tombstones().size(), 2u);
  EXPECT_EQ(state_.catalog.tombstones().floor(), before.catalog.tombstones().floor());
  EXPECT_EQ(state_.catalog.ServiceIndex("web"), web);
}

// Two processes that write one database would each answer from a state the other has changed.
TEST_F(StoreTest, SecondOpenerIsRefused) {
  Open();
  auto second = Store::Open(dir(), 0);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(second.status().message().find("in use by another process"), std::string::npos) << second.status();
  EXPECT_NE(second.status().message().find(dir()), std::string::npos);
  EXPECT_TRUE(Put("a", "1").ok()) << "the first one is not disturbed";
  Reopen();
  EXPECT_NE(state_.kv.Find("a"), nullptr);
}

// Configuration may hold secrets: nobody else may read the files.
TEST_F(StoreTest, FilesArePrivate) {
  Open();
  ASSERT_TRUE(Put("a", "1").ok());
  struct stat info;
  ASSERT_EQ(stat(dir().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  for (const char* name : {"/meshgate.db", "/meshgate.db-wal", "/meshgate.lock"}) {
    ASSERT_EQ(stat((dir() + name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << name;
  }
}

// A later version's data must not be read as this one's.
TEST_F(StoreTest, NewerSchemaIsRefused) {
  Open();
  Tamper("PRAGMA user_version = 2");
  auto opened = Store::Open(dir(), 0);
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(opened.status().message().find("newer version"), std::string::npos) << opened.status();
}

// Another program's database must not be written to.
TEST_F(StoreTest, ForeignDatabaseIsRefused) {
  Open();
  Tamper("PRAGMA application_id = 7");
  auto opened = Store::Open(dir(), 0);
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(opened.status().message().find("another program"), std::string::npos) << opened.status();
}

// A damaged file must stop the start with a message, and never come up as an empty store.
TEST_F(StoreTest, DamagedFileIsRefused) {
  Open();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(Put("key" + std::to_string(i), std::string(500, 'v')).ok());
  store_ = nullptr;
  {
    std::fstream out(file(), std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(3 * 4096);
    out << std::string(8192, '\x5A');
  }
  auto opened = Store::Open(dir(), 0);
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kDataLoss) << opened.status();
  EXPECT_NE(opened.status().message().find("is damaged"), std::string::npos) << opened.status();
  std::ofstream(file(), std::ios::trunc | std::ios::binary) << "this is not a database, but long enough to be one\n"
                                                            << std::string(4096, 'x');
  EXPECT_EQ(Store::Open(dir(), 0).status().code(), absl::StatusCode::kDataLoss);
}

// Rows that make no sense must stop the start too.
TEST_F(StoreTest, SenselessRowsAreRefused) {
  Open();
  ASSERT_TRUE(Commit([](Transaction& t) { t.Register(std::make_shared<const Registration>(EveryField())); }).ok());
  Tamper("DELETE FROM check_status WHERE position = 3");
  {
    auto opened = Store::Open(dir(), 0);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ((*opened)->Load().status().code(), absl::StatusCode::kDataLoss);
  }
  Tamper("UPDATE instance SET registration = x'ff'");
  auto opened = Store::Open(dir(), 0);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->Load().status().code(), absl::StatusCode::kDataLoss);
}

// A path that can't be used must say so, not crash.
TEST_F(StoreTest, UnusableDirectory) {
  std::ofstream(temp_.path() + "/file") << "x";
  auto opened = Store::Open(temp_.path() + "/file", 0);
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kUnavailable) << opened.status();
  EXPECT_EQ(Store::Open("", 0).status().code(), absl::StatusCode::kInvalidArgument);
}

// A full disk fails the write, all of it, and what is there stays usable.
TEST_F(StoreTest, FullDiskChangesNothing) {
  Open(/*max_bytes=*/256 << 10);
  ASSERT_TRUE(Put("a", "1").ok());
  const absl::Status full = Commit([](Transaction& t) {
    KvEntry small;
    small.key = "small";
    EXPECT_TRUE(t.Put(std::move(small), std::nullopt).ok());
    KvEntry large;
    large.key = "large";
    large.value.assign(400 << 10, 'x');
    EXPECT_TRUE(t.Put(std::move(large), std::nullopt).ok());
  });
  EXPECT_EQ(full.code(), absl::StatusCode::kUnavailable) << full;
  EXPECT_EQ(ReasonOf(full), reason::kStorage);
  EXPECT_TRUE(Put("b", "2").ok());
  Reopen();
  EXPECT_EQ(state_.kv.FindBelow("").size(), 2u);
}

}  // namespace
}  // namespace meshgate::consul::embedded
