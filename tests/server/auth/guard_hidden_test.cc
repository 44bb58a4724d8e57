// What callers learn of what they may not see.
#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "meshgate/v1/registry_service.pb.h"
#include "server/service/reader.h"
#include "tests/server/auth/auth_harness.h"

namespace meshgate::server::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

class GuardHiddenTest : public AuthHarness {
 protected:
  GuardHiddenTest() { known_before_ = false; }
  static consul::Target Web(const std::string& filter = "") {
    consul::Target target{consul::TargetKind::kService, "web"};
    target.filter = filter;
    return target;
  }
  static v1::WatchServiceResponse Parse(const std::string& bytes) {
    v1::WatchServiceResponse response;
    EXPECT_TRUE(response.ParseFromString(bytes));
    return response;
  }
};

// A stream that goes on holds a state until it is shown another one: that Consul is away is none.
TEST_F(GuardHiddenTest, WhatAResumedStreamHoldsOutlastsAnUnknownState) {
  Allow("a", "p/");
  Allow("a", "p/1");
  auto& stream = Open("a", Prefix("p/"), consul::ResumeToken{5, consul::Digest()});
  Answer();
  ASSERT_TRUE(backend_.Fail(Method::kReadPrefix,
                            MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "away")));
  Run();
  Answer();
  ASSERT_THAT(stream.messages(), SizeIs(1)) << "that nothing is known yet";
  EXPECT_FALSE(stream.end().has_value());
  // What it held, of which it may not read a part any more.
  for (int second = 0; second < 5 && backend_.pending(Method::kReadPrefix) == 0; ++second) Advance(absl::Seconds(1));
  Publish(Method::kReadPrefix, {Entry("p/1", "one", 5), Entry("p/2", "two", 5)}, 5);
  Answer();
  EXPECT_THAT(stream.messages(), SizeIs(1)) << "a snapshot without p/2 looks like its deletion";
  ASSERT_TRUE(stream.end().has_value());
  EXPECT_EQ(stream.end()->code(), absl::StatusCode::kPermissionDenied);
}

// Nothing is hidden in a message that tells nothing: that Consul is away is for all whose token is known.
TEST_F(GuardHiddenTest, ThatNothingIsKnownIsNoSecret) {
  Allow("a", "p/1");
  auto& stream = Open("a", Prefix("p/"));
  Answer();
  ASSERT_TRUE(backend_.Fail(Method::kReadPrefix,
                            MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "away")));
  Run();
  Answer();
  EXPECT_THAT(stream.messages(), SizeIs(1));
  EXPECT_FALSE(stream.end().has_value());
}

// Who is up to date hears so, however much is hidden.
TEST_F(GuardHiddenTest, PartlyVisibleStreamsHearProgress) {
  Allow("a", "p/1");
  auto& stream = Open("a", Prefix("p/"), std::nullopt, {}, absl::Seconds(5));
  Answer();
  Publish(Method::kReadPrefix, {Entry("p/1", "one", 5), Entry("p/2", "two", 5)}, 5);
  Answer();
  ASSERT_THAT(stream.messages(), SizeIs(1));
  Advance(absl::Seconds(6));
  Answer();
  ASSERT_THAT(stream.messages(), SizeIs(2));
  EXPECT_EQ(HeldBy(stream).resume_token, "");
  EXPECT_THAT(HeldBy(stream).state, ElementsAre(Pair("p/1", "one")));
}

// Whether something hidden matches must not be told by how a narrowed watch is answered: filters would spell it out.
TEST_F(GuardHiddenTest, ANarrowedServiceSaysNothingOfHiddenInstances) {
  Allow("a", "web");
  consul::View tagged;
  tagged.tags = {"v1"};
  consul::Instance hidden = On("n1", "hidden");
  hidden.tags = {"v1"};
  // Of what hides on n1 the first filter finds something, the second nothing.
  const auto publish = [&] {
    Advance(absl::Seconds(1));
    for (const auto& call : backend_.pending()) {
      if (call.method != Method::kReadService) continue;
      std::vector<consul::Instance> found;
      if (call.filter != "nothing") found.push_back(hidden);
      PublishService(found, 5);
    }
  };
  std::vector<std::string> told;
  for (const bool matches : {true, false}) {
    const std::string filter = matches ? "something" : "nothing";
    auto& filtered = Open("a", Web(filter));
    Answer();
    publish();
    Answer();
    auto& resumed = Open("a", Web(filter), consul::ResumeToken{5, consul::Digest()});
    Answer();
    for (const auto* stream : {&filtered, &resumed}) {
      SCOPED_TRACE(absl::StrCat(filter, stream == &resumed ? ", resumed" : ""));
      EXPECT_FALSE(stream->end().has_value());
      ASSERT_THAT(stream->messages(), SizeIs(1));
      EXPECT_THAT(Parse(stream->taken()[0]).events(), IsEmpty());
      EXPECT_EQ(Parse(stream->taken()[0]).resume_token(), "");
      told.push_back(stream->taken()[0]);
    }
  }
  EXPECT_THAT(told, ::testing::Each(told[0]));

  auto& tags = Open("a", Web(), std::nullopt, tagged);
  Answer();
  publish();
  Answer();
  EXPECT_FALSE(tags.end().has_value());
  EXPECT_THAT(tags.messages(), SizeIs(1));
}

// Cached reads are no better informed.
TEST_F(GuardHiddenTest, AFilteredReadSaysNothingOfHiddenInstances) {
  Allow("a", "web");
  for (const bool matches : {true, false}) {
    auto state = std::make_shared<consul::State>();
    if (matches) state->instances.push_back(On("n1", "hidden"));
    std::optional<absl::StatusOr<consul::SharedState>> answer;
    guard_.Filter(guard_.Identify({{"x-consul-token", "a"}}, ""), Web("some filter"), {state, 5}, {},
                  [&](absl::StatusOr<consul::SharedState> filtered) { answer = std::move(filtered); });
    Run();
    Answer();
    ASSERT_TRUE(answer.has_value() && answer->ok());
    EXPECT_THAT((**answer)->instances, IsEmpty());
  }
}

// Of a list that is long a page asks about what it shows, and what is hidden is filled up.
TEST_F(GuardHiddenTest, APageAsksAboutItself) {
  auto state = std::make_shared<consul::State>();
  for (int i = 0; i < 10'000; ++i) state->entries.push_back(Entry(absl::StrCat("p/", 10'000 + i), "v", 5));
  for (int i = 5000; i < 10'000; ++i) Allow("a", absl::StrCat("p/", 10'000 + i));
  std::optional<absl::StatusOr<consul::SharedState>> answer;
  const auto page = [&](const std::string& after) {
    answer.reset();
    const size_t before = backend_.calls().size();
    guard_.Filter(guard_.Identify({{"x-consul-token", "a"}}, ""), Prefix("p/"), {state, 5}, {after, 1},
                  [&](absl::StatusOr<consul::SharedState> filtered) { answer = std::move(filtered); });
    EXPECT_EQ(backend_.calls().size(), before) << "looked through on the caller's thread";
    Run();
    Answer();
    size_t permissions = 0;
    const auto calls = backend_.calls();
    for (size_t i = before; i < calls.size(); ++i) permissions += calls[i].permissions.size();
    return permissions;
  };
  EXPECT_LE(page("p/18000"), 64u);
  ASSERT_TRUE(answer.has_value() && answer->ok());
  ASSERT_GE((**answer)->entries.size(), 2u) << "whether there is more is told by the next one";
  EXPECT_EQ((**answer)->entries[0].key, "p/18001");
  page("");
  ASSERT_TRUE(answer.has_value() && answer->ok());
  EXPECT_EQ((**answer)->entries.at(0).key, "p/15000");
  page("p/19999");
  ASSERT_TRUE(answer.has_value() && answer->ok());
  EXPECT_THAT((**answer)->entries, IsEmpty());
}

// The health of an instance changes without an index of its own: what is known from before says nothing of it.
TEST_F(GuardHiddenTest, TheGraceIsForTheStateThatWasShown) {
  Allow("a", "web");
  Allow("a", "n1");
  std::optional<absl::StatusOr<consul::SharedState>> answer;
  const auto read = [&](uint64_t index) {
    auto state = std::make_shared<consul::State>();
    state->instances.push_back(On("n1", "seen", 5));
    guard_.Filter(guard_.Identify({{"x-consul-token", "a"}}, ""), Web(), {state, index}, {},
                  [&](absl::StatusOr<consul::SharedState> filtered) { answer = std::move(filtered); });
    Run();
  };
  read(7);
  Answer();
  ASSERT_TRUE(answer->ok());
  read(7);
  FailAll();
  EXPECT_TRUE(answer->ok());
  read(8);
  FailAll();
  EXPECT_FALSE(answer->ok());
}

// Consul is asked for nothing on behalf of those who may not have it.
TEST_F(GuardHiddenTest, StrangersStartNothing) {
  unknown_.insert("stranger");
  Open("stranger", Key("k"));
  Open("stranger", Prefix("p/"));
  Open("denied", Key("k"));
  Open("denied", Web());
  Answer();
  Advance(absl::Seconds(2));
  for (const auto& call : backend_.calls()) EXPECT_EQ(call.method, Method::kAuthorize);
  for (const auto& stream : streams_) EXPECT_TRUE(stream->end().has_value());
}

// Nor to answer them from memory; and who may read is not told that it may not where it is the gateway that may not.
TEST_F(GuardHiddenTest, ReadsAreAskedAboutFirst) {
  Allow("a", "k");
  const auto read = [&](const std::string& token) {
    ReadPlan plan;
    plan.identity = guard_.Identify({{"x-consul-token", token}}, "");
    plan.timeout = absl::Seconds(10);
    auto status = std::make_shared<std::optional<absl::Status>>();
    Read({&backend_, &hub_, &guard_}, Key("k"), plan,
         [status](const absl::StatusOr<ReadResult>& result) { *status = result.status(); });
    Run();
    Answer();
    return status;
  };
  const auto denied = read("stranger");
  EXPECT_EQ(backend_.pending(Method::kReadKey), 0u);
  ASSERT_TRUE(denied->has_value());
  EXPECT_EQ((*denied)->code(), absl::StatusCode::kPermissionDenied);
  const auto allowed = read("a");
  ASSERT_TRUE(
      backend_.Fail(Method::kReadKey, MakeError(absl::StatusCode::kPermissionDenied, reason::kPermissionDenied, "no")));
  Run();
  ASSERT_TRUE(allowed->has_value());
  EXPECT_EQ((*allowed)->code(), absl::StatusCode::kUnavailable);
}

// What Consul answers with nothing is judged as what is cached: nothing of a service may be read, or nothing matches.
TEST_F(GuardHiddenTest, AnEmptyAnswerOfConsulsIsJudgedAsACachedOne) {
  Allow("a", "web");
  const auto confirm = [&](const std::string& filter) {
    auto status = std::make_shared<std::optional<absl::Status>>();
    guard_.ConfirmEmpty(guard_.Identify({{"x-consul-token", "a"}}, ""), Web(filter),
                        [status](absl::Status confirmed) { *status = std::move(confirmed); });
    Run();
    Answer();
    return status;
  };
  const auto hidden = confirm("");
  PublishService({On("n1", "hidden")}, 5);
  Answer();
  ASSERT_TRUE(hidden->has_value());
  EXPECT_EQ((*hidden)->code(), absl::StatusCode::kPermissionDenied);
  const auto filtered = confirm("something");
  ASSERT_TRUE(filtered->has_value());
  EXPECT_EQ(**filtered, absl::OkStatus());
}

// What Consul refuses to the gateway is no word on the caller.
TEST_F(GuardHiddenTest, TheGatewaysOwnTokenIsNotTheCallers) {
  for (const absl::StatusCode code : {absl::StatusCode::kPermissionDenied, absl::StatusCode::kUnauthenticated}) {
    const absl::Status given = ForCallers(MakeError(code, reason::kPermissionDenied, "no"));
    EXPECT_EQ(given.code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(ForCallers(absl::InvalidArgumentError("filter")).code(), absl::StatusCode::kInvalidArgument);
}

// A token may have been given a permission since somebody asked: who came later is asked about anew.
TEST_F(GuardHiddenTest, ADenialFromBeforeAStreamDoesNotEndIt) {
  Allow("a", "k");
  auto& early = Open("a", Key("k"));
  Answer();
  Publish(Method::kReadKey, {Entry("k", "v", 5)}, 5);
  ASSERT_GT(asked(), 0);
  // The question is under way when the next stream comes.
  auto& late = Open("a", Key("k"));
  ASSERT_TRUE(backend_.AnswerAuthorize({false}));
  Run();
  ASSERT_TRUE(early.end().has_value());
  EXPECT_FALSE(late.end().has_value());
  Answer();
  EXPECT_FALSE(late.end().has_value());
  EXPECT_THAT(HeldBy(late).state, ElementsAre(Pair("k", "v")));
}

}  // namespace
}  // namespace meshgate::server::auth
