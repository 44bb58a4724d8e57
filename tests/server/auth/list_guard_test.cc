// A guard that goes by the gateway's own list, and the list's changes.
#include <gmock/gmock.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/watch/hub.h"
#include "meshgate/v1/config_service.pb.h"
#include "server/auth/allow_list_file.h"
#include "server/auth/guard.h"
#include "server/auth/list_authorizer.h"
#include "tests/server/auth/fake_directory.h"
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

class CountingChecks final : public metrics::AuthReporter {
 public:
  void OnCheck(Result) override { ++count_; }
  int count() const { return count_; }

 private:
  int count_ = 0;
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
    (*list)->SetListener([this](const AllowList& before, const AllowList& now) {
      guard_->RecheckAll([&](const Identity& identity) { return !SameRules(before, now, identity.name()); });
    });
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
  CountingChecks reporter_;
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

// Would break if whoever may register nothing had the agent asked with each call, and told from the answers which ids
// there are.
TEST_F(ListGuardTest, WhoMayRegisterNothingHasNoIdLookedUp) {
  directory_.services = {{"web-1", "web"}};
  for (const char* id : {"web-1", "new"}) {
    const absl::Status status = MayWrite("none", id, {});
    EXPECT_EQ(ReasonOf(status), reason::kPermissionDenied);
    EXPECT_THAT(std::string(status.message()), HasSubstr("register.services"));
    EXPECT_EQ(ReasonOf(MayWrite("stranger", id, {})), reason::kIdentityNotListed);
  }
  EXPECT_THAT(directory_.asked, IsEmpty());
}

// Would break if whoever may read one key learned from the list of a prefix of the same name whether there are others.
TEST_F(ListGuardTest, AKeyIsNotThePrefixOfItsName) {
  const consul::Target prefix{consul::TargetKind::kPrefix, "k"};
  const auto ending = [&](std::vector<consul::KvEntry> entries) {
    auto& stream = Open("a", prefix);
    Publish(Method::kReadPrefix, std::move(entries), 5);
    return stream.end().value_or(absl::OkStatus());
  };
  const absl::Status nothing = ending({});
  streams_.clear();
  scheduler_.Advance(absl::Minutes(1));
  Run();
  const absl::Status hidden = ending({Entry("k2", "v", 5)});
  EXPECT_EQ(nothing.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(nothing, hidden);
}

// Would break if callers were told to add themselves to the list where their new entry would take away what they have.
TEST_F(ListGuardTest, WhoIsRefusedIsToldByWhichEntry) {
  List("identities: {'spiffe://d/*': {}, spiffe://d/own: {}, '*': {}}");
  const auto told = [&](const char* who) { return std::string(guard_->MayWriteKey(Who(who), {"k", false}).message()); };
  EXPECT_THAT(told("spiffe://d/own"), HasSubstr("add it to write.keys of this identity in the file"));
  for (const auto& [who, entry] : {std::pair("spiffe://d/else", "\"spiffe://d/*\""), std::pair("name", "\"*\"")}) {
    EXPECT_THAT(told(who), HasSubstr(std::string("add it to write.keys of ") + entry + ", the entry that counts"));
    EXPECT_THAT(told(who), HasSubstr("an entry of its own would replace that one"));
  }
}

// Would break if each change of the list had everybody's streams looked at, or many at once.
TEST_F(ListGuardTest, ThoseWhoseRulesAreTheSameAreLeftAlone) {
  List("identities: {a: {read: {keys: [p/, k]}}, b: {read: {keys: [k]}}}");
  Open("a", {consul::TargetKind::kKey, "k"});
  Publish(Method::kReadKey, {Entry("k", "v", 5)}, 5);
  Open("b", {consul::TargetKind::kKey, "k"});
  const int before = reporter_.count();
  List("identities: {b: {read: {keys: [k]}}, a: {read: {keys: [k, p/]}}, c: {}}");
  EXPECT_EQ(reporter_.count(), before);
  List("identities: {a: {read: {keys: [k]}}, b: {read: {keys: [k]}}}");
  EXPECT_EQ(reporter_.count(), before + 1) << "the one stream of a";
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
