// A guard that goes by the gateway's own list, and the list's changes.
#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/instance_directory.h"
#include "consul/watch/hub.h"
#include "meshgate/v1/config_service.pb.h"
#include "server/auth/allow_list_file.h"
#include "server/auth/guard.h"
#include "server/auth/list_authorizer.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/manual_executor.h"
#include "tests/testing/manual_scheduler.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::server::auth {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Method = testing::FakeBackend::Method;

// Answers at once, on the scheduler.
class FakeDirectory final : public consul::InstanceDirectory {
 public:
  explicit FakeDirectory(Scheduler* scheduler) : scheduler_(scheduler) {}
  consul::CallHandle FindService(const std::string& id, const consul::ReadOptions& options,
                                 consul::Backend::Callback<std::string> done) override {
    EXPECT_FALSE(options.token.has_value()) << "with another token than the gateway's own";
    asked.push_back(id);
    absl::StatusOr<std::string> answer = services[id];
    if (!error.ok()) answer = error;
    scheduler_->Post([answer, done = std::move(done)]() mutable { done(std::move(answer)); });
    return nullptr;
  }
  std::map<std::string, std::string> services;
  absl::Status error;
  std::vector<std::string> asked;

 private:
  Scheduler* const scheduler_;
};

class ListGuardTest : public ::testing::Test {
 protected:
  ListGuardTest() {
    Write("identities: {a: {read: {keys: [p/, k], services: [web]}, register: {services: [web]}}, none: {}}");
    auto list = AllowListFile::Open(path_, &scheduler_, &list_reporter_);
    EXPECT_TRUE(list.ok()) << list.status();
    guard_ = std::make_unique<Guard>(&hub_, &scheduler_,
                                     std::make_unique<ListAuthorizer>(*list, &directory_, &scheduler_, &reporter_),
                                     GuardOptions(), /*seed=*/1);
    (*list)->SetListener([this] { guard_->RecheckAll(); });
    list_ = *std::move(list);
  }
  ~ListGuardTest() override {
    streams_.clear();
    hub_.Shutdown();
    backend_.Shutdown();
    Run();
  }

  void Write(const std::string& text) { std::ofstream(path_) << text; }
  // As it is used two seconds later.
  void List(const std::string& text) {
    Write(text);
    scheduler_.Advance(absl::Seconds(2));
    Run();
  }
  void Run() {
    while (scheduler_.RunReady() + executor_.RunReady() > 0) {
    }
  }
  SharedIdentity Who(const std::string& name) { return guard_->Identify({}, name); }
  testing::TakingStream& Open(const std::string& name, const consul::Target& target) {
    streams_.push_back(std::make_unique<testing::TakingStream>(&executor_, &scheduler_, &watches_));
    testing::TakingStream& stream = *streams_.back();
    stream.outbox()->Start(guard_->Subscribe(Who(name), target, {}, std::nullopt, stream.outbox().get()),
                           absl::ZeroDuration());
    Run();
    return stream;
  }
  static consul::KvEntry Entry(const std::string& key, const std::string& value, uint64_t index) {
    consul::KvEntry entry;
    entry.key = key;
    entry.value = value;
    entry.create_index = 1;
    entry.modify_index = index;
    return entry;
  }
  void Publish(Method method, std::vector<consul::KvEntry> entries, uint64_t index) {
    if (backend_.pending(method) == 0) scheduler_.Advance(absl::Seconds(1));
    ASSERT_TRUE(backend_.AnswerEntries(method, std::move(entries), index));
    Run();
  }
  size_t Calls(Method method) const {
    size_t count = 0;
    for (const auto& call : backend_.calls()) count += call.method == method ? 1 : 0;
    return count;
  }
  static bool Carried(const testing::TakingStream& stream, const std::string& bytes) {
    for (const std::string& message : stream.taken()) {
      if (message.find(bytes) != std::string::npos) return true;
    }
    return false;
  }
  absl::Status MayWrite(const std::string& who, const std::string& id, std::vector<std::string> services) {
    std::optional<absl::Status> answer;
    guard_->MayWriteInstance(Who(who), id, std::move(services), absl::Seconds(5),
                             [&](absl::Status status) { answer = std::move(status); });
    Run();
    return answer.value_or(absl::UnknownError("not answered"));
  }

  testing::ManualScheduler scheduler_;
  testing::ManualExecutor executor_;
  testing::TempDir folder_;
  const std::string path_ = folder_.path() + "/list.yaml";
  testing::FakeBackend backend_{&scheduler_};
  consul::WatchReporter watches_;
  metrics::AuthReporter reporter_;
  metrics::AllowListReporter list_reporter_;
  FakeDirectory directory_{&scheduler_};
  consul::Hub hub_{&backend_, &scheduler_, &watches_, consul::HubOptions()};
  std::shared_ptr<AllowListFile> list_;
  std::unique_ptr<Guard> guard_;
  std::vector<std::unique_ptr<testing::TakingStream>> streams_;
};

// Would break if a caller that may read nothing of a target had the gateway read it, or somebody in no list anything.
TEST_F(ListGuardTest, StrangersStartNothing) {
  const std::pair<const char*, consul::Target> cases[] = {
      {"stranger", {consul::TargetKind::kKey, "k"}},   {"stranger", {consul::TargetKind::kPrefix, "p/"}},
      {"none", {consul::TargetKind::kPrefix, ""}},     {"a", {consul::TargetKind::kPrefix, "q/"}},
      {"a", {consul::TargetKind::kService, "other"}},  {"a", {consul::TargetKind::kKey, "k2"}},
      {"none", {consul::TargetKind::kService, "web"}},
  };
  for (const auto& [who, target] : cases) {
    auto& stream = Open(who, target);
    ASSERT_TRUE(stream.end().has_value()) << who << " " << target.name;
    EXPECT_EQ(stream.end()->code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(ReasonOf(*stream.end()),
              std::string(who) == "stranger" ? reason::kIdentityNotListed : reason::kPermissionDenied);
  }
  EXPECT_THAT(backend_.calls(), IsEmpty());
  // Of what it may see in part it is told.
  EXPECT_FALSE(Open("a", {consul::TargetKind::kPrefix, ""}).end().has_value());
  EXPECT_EQ(Calls(Method::kReadPrefix), 1u);
  EXPECT_EQ(Calls(Method::kAuthorize), 0u) << "Consul has no say here";
}

// Would break if what has come after the list was narrowed were judged by the list before.
TEST_F(ListGuardTest, AMessageIsJudgedByTheListOfItsTime) {
  auto& stream = Open("a", {consul::TargetKind::kKey, "k"});
  Publish(Method::kReadKey, {Entry("k", "before", 5)}, 5);
  EXPECT_TRUE(Carried(stream, "before"));
  // The change is under way to the stream, and has not been asked about, when the list changes: nobody has told the
  // guard yet.
  list_->SetListener(nullptr);
  List("identities: {a: {read: {keys: [other]}}}");
  Publish(Method::kReadKey, {Entry("k", "after", 6)}, 6);
  EXPECT_FALSE(Carried(stream, "after"));
  ASSERT_TRUE(stream.end().has_value());
  EXPECT_EQ(stream.end()->code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(stream.end()->message()), HasSubstr("\"a\" has no permission to read this key: add it to"));
}

// Would break if a stream that idles went on for as long as a look at all of its keys takes, a few at a time.
TEST_F(ListGuardTest, IdleStreamsEndWithTheReload) {
  std::vector<consul::KvEntry> entries;
  for (int i = 0; i < 500; ++i) entries.push_back(Entry(absl::StrCat("p/", 1000 + i), "v", 5));
  auto& whole = Open("a", {consul::TargetKind::kPrefix, "p/"});
  Publish(Method::kReadPrefix, entries, 5);
  auto& key = Open("a", {consul::TargetKind::kKey, "k"});
  Publish(Method::kReadKey, {Entry("k", "v", 5)}, 5);
  // All but the last one.
  List("identities: {a: {read: {keys: [k, 'p/10*', 'p/11*', 'p/12*', 'p/13*', 'p/140*']}}}");
  ASSERT_TRUE(whole.end().has_value());
  EXPECT_THAT(std::string(whole.end()->message()), HasSubstr("which is no deletion"));
  EXPECT_FALSE(key.end().has_value());
  List("identities: {b: {}}");
  ASSERT_TRUE(key.end().has_value());
  EXPECT_EQ(ReasonOf(*key.end()), reason::kIdentityNotListed);
}

// Would break if a hold went on after its caller lost the permission, or ended when another's did.
TEST_F(ListGuardTest, RegistrationsAreToldOfTheirEnd) {
  std::vector<std::string> told;
  const auto watch = [&](const std::string& name, std::vector<std::string> services) {
    return guard_->WhileMayWrite(Who(name), std::move(services), [&told, name](const absl::Status& status) {
      told.push_back(name + ReasonOf(status));
    });
  };
  List("identities: {a: {register: {services: [web]}}, b: {register: {services: [web, db]}}}");
  const auto a = watch("a", {"web"});
  const auto b = watch("b", {"web", "db"});
  auto gone = watch("a", {"web"});
  List("identities: {a: {register: {services: [web, x]}}, b: {register: {services: [web, db]}}}");
  EXPECT_THAT(told, IsEmpty());
  gone.reset();
  List("identities: {b: {register: {services: [web]}}}");
  EXPECT_THAT(told, ::testing::UnorderedElementsAre("aIDENTITY_NOT_LISTED", "bPERMISSION_DENIED"));
  List("identities: {c: {}}");
  EXPECT_THAT(told, SizeIs(2)) << "once is enough";
}

// Would break if an instance could be taken from another service by its id, or strangers had ids looked up.
TEST_F(ListGuardTest, AnInstanceIsItsServices) {
  directory_.services = {{"web-1", "web"}, {"db-1", "db"}};
  EXPECT_TRUE(MayWrite("a", "web-1", {}).ok());
  EXPECT_TRUE(MayWrite("a", "web-1", {"web"}).ok());
  EXPECT_EQ(MayWrite("a", "db-1", {}).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(MayWrite("a", "db-1", {"web"}).code(), absl::StatusCode::kPermissionDenied);
  directory_.asked.clear();
  EXPECT_EQ(ReasonOf(MayWrite("stranger", "web-1", {})), reason::kIdentityNotListed);
  EXPECT_EQ(MayWrite("a", "db-1", {"db"}).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(directory_.asked, IsEmpty());

  directory_.error = MakeError(absl::StatusCode::kNotFound, reason::kInstanceNotFound, "none");
  EXPECT_TRUE(MayWrite("a", "new", {"web"}).ok());
  EXPECT_EQ(ReasonOf(MayWrite("a", "new", {})), reason::kInstanceNotFound);
  // What Consul refuses to the gateway says nothing of the caller.
  directory_.error = MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied, "no");
  EXPECT_EQ(MayWrite("a", "web-1", {"web"}).code(), absl::StatusCode::kUnavailable);
}

// Would break if deleting all below a prefix took only a permission for some of it.
TEST_F(ListGuardTest, WritesOfConfiguration) {
  List("identities: {a: {write: {keys: [p/, k]}}}");
  EXPECT_TRUE(guard_->decides());
  const auto may = [&](const char* who, const char* name, bool prefix) {
    return guard_->MayWriteKey(Who(who), {name, prefix});
  };
  EXPECT_TRUE(may("a", "k", false).ok());
  EXPECT_TRUE(may("a", "p/1", false).ok());
  EXPECT_TRUE(may("a", "p/", true).ok());
  EXPECT_TRUE(may("a", "p/1", true).ok());
  for (const char* prefix : {"p", "k", ""}) {
    EXPECT_THAT(std::string(may("a", prefix, true).message()), HasSubstr("add it to write.keys of this identity"));
  }
  EXPECT_EQ(ReasonOf(may("a", "x", false)), reason::kPermissionDenied);
  EXPECT_EQ(ReasonOf(may("stranger", "k", false)), reason::kIdentityNotListed);
}

// Would break if a client without a name of its own were somebody.
TEST_F(ListGuardTest, WhoSaysNothingIsNobody) {
  EXPECT_EQ(guard_->Identify({{"x-consul-token", "t"}, {"authorization", "Bearer t"}}, ""), nullptr);
  EXPECT_EQ(guard_->Unidentified().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(guard_->Unidentified()), reason::kIdentityMissing);
  const SharedIdentity a = guard_->Identify({{"x-consul-token", "t"}}, "a");
  EXPECT_FALSE(a->token().has_value()) << "a token of the caller's would be used in place of the gateway's";
  EXPECT_EQ(a->id(), Who("a")->id());
  EXPECT_NE(a->id(), Who("b")->id());
}

}  // namespace
}  // namespace meshgate::server::auth
