// What a guarded stream is told, and what Consul is asked for it.
#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "meshgate/v1/registry_service.pb.h"
#include "tests/server/auth/auth_harness.h"

namespace meshgate::server::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

class GuardWatchTest : public AuthHarness {};

// Without the answer nothing may go out; with it, the state.
TEST_F(GuardWatchTest, NothingIsToldBeforeConsulHasSaidSo) {
  Allow("a", "k");
  auto& stream = Open("a", Key("k"));
  EXPECT_EQ(asked(), 0) << "asked before there was something to ask about";
  Publish(Method::kReadKey, {Entry("k", "v", 5)}, 5);
  EXPECT_THAT(stream.messages(), IsEmpty());
  EXPECT_EQ(Answer(), 1);
  EXPECT_THAT(HeldBy(stream).state, ElementsAre(Pair("k", "v")));
  EXPECT_NE(HeldBy(stream).resume_token, "");
}

// A caller's token is the one that is asked about, and nothing else.
TEST_F(GuardWatchTest, AsksWithTheCallersToken) {
  Open("secret", Key("k"));
  Publish(Method::kReadKey, {Entry("k", "v", 5)}, 5);
  for (const auto& call : backend_.calls()) {
    const bool question = call.method == Method::kAuthorize;
    EXPECT_EQ(call.read.token, question ? consul::CallToken("secret") : std::nullopt);
  }
  EXPECT_EQ(asked(), 1);
}

// A change costs each token one question, however many streams it wakes.
TEST_F(GuardWatchTest, OneQuestionForEachTokenOfAWake) {
  constexpr int kTokens = 7, kStreams = 20;
  for (int s = 0; s < kStreams; ++s) {
    for (int t = 0; t < kTokens; ++t) {
      Allow(absl::StrCat("t", t), "k");
      Open(absl::StrCat("t", t), Key("k"));
    }
  }
  Publish(Method::kReadKey, {Entry("k", "1", 5)}, 5);
  Answer();
  const int before = asked();
  for (uint64_t change = 1; change <= 3; ++change) {
    Publish(Method::kReadKey, {Entry("k", absl::StrCat("v", change), 5 + change)}, 5 + change);
    Answer();
    EXPECT_EQ(asked() - before, static_cast<int>(change) * kTokens);
    for (const auto& stream : streams_) EXPECT_EQ(HeldBy(*stream).state["k"], absl::StrCat("v", change));
    Advance(absl::Seconds(2));
  }
}

// What was asked before a change had come says nothing of it: the token may have been revoked in between.
TEST_F(GuardWatchTest, AQuestionFromBeforeAChangeDoesNotCountForIt) {
  Allow("a", "k");
  auto& stream = Open("a", Key("k"));
  Publish(Method::kReadKey, {Entry("k", "old", 5)}, 5);
  ASSERT_EQ(asked(), 1);
  // The question is under way, and is about to be answered with yes, when the token loses its permission; the value
  // that is written then comes before the answer.
  Publish(Method::kReadKey, {Entry("k", "new", 6)}, 6);
  backend_.AnswerAuthorize({true});
  Run();
  EXPECT_THAT(HeldBy(stream).state, ElementsAre(Pair("k", "old")));
  EXPECT_EQ(asked(), 2);
  Revoke("a", "k");
  Answer();
  EXPECT_THAT(HeldBy(stream).state, ElementsAre(Pair("k", "old")));
  ASSERT_TRUE(stream.end().has_value());
  EXPECT_EQ(stream.end()->code(), absl::StatusCode::kPermissionDenied);
}

// A stream that opens is asked about anew, though another one of the same caller was just let read the same message.
TEST_F(GuardWatchTest, AQuestionFromBeforeAStreamDoesNotCountForIt) {
  Allow("a", "k");
  Open("a", Key("k"));
  Publish(Method::kReadKey, {Entry("k", "v", 5)}, 5);
  Answer();
  unknown_.insert("a");
  auto& second = Open("a", Key("k"));
  EXPECT_EQ(Answer(), 1);
  EXPECT_THAT(second.messages(), IsEmpty());
  ASSERT_TRUE(second.end().has_value());
  EXPECT_EQ(second.end()->code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(*second.end()), "TOKEN_UNKNOWN");
}

// A caller that lost its permission learns it, though nothing changes.
TEST_F(GuardWatchTest, IdleStreamsLearnOfARevocation) {
  Allow("a", "k");
  Allow("b", "k");
  auto& revoked = Open("a", Key("k"));
  auto& denied = Open("b", Key("k"));
  Publish(Method::kReadKey, {Entry("k", "v", 5)}, 5);
  Answer();
  unknown_.insert("a");
  Revoke("b", "k");
  Advance(absl::Seconds(35));
  Answer();
  ASSERT_TRUE(revoked.end().has_value());
  EXPECT_EQ(revoked.end()->code(), absl::StatusCode::kUnauthenticated);
  ASSERT_TRUE(denied.end().has_value());
  EXPECT_EQ(denied.end()->code(), absl::StatusCode::kPermissionDenied);
}

// However many pairs idle, they don't ask in bursts.
TEST_F(GuardWatchTest, RechecksAreBoundedInRate) {
  constexpr int kTokens = 200;
  for (int t = 0; t < kTokens; ++t) {
    Allow(absl::StrCat("t", t), "k");
    Open(absl::StrCat("t", t), Key("k"));
  }
  Publish(Method::kReadKey, {Entry("k", "v", 5)}, 5);
  Answer();
  int before = asked();
  for (int second = 0; second < 60; ++second) {
    Advance(absl::Seconds(1));
    Answer();
    EXPECT_LE(asked() - before, 60) << second;
    before = asked();
  }
  EXPECT_GE(asked(), 2 * kTokens);
}

// Keys that a caller may not read are left out, and with them what would tell of them.
TEST_F(GuardWatchTest, HiddenKeysAreLeftOut) {
  Allow("a", "p/1");
  Allow("a", "p/3");
  auto& some = Open("a", Prefix("p/"));
  Publish(Method::kReadPrefix, {Entry("p/1", "one", 5), Entry("p/2", "two", 5)}, 5);
  Answer();
  EXPECT_THAT(HeldBy(some).state, ElementsAre(Pair("p/1", "one")));
  EXPECT_EQ(HeldBy(some).resume_token, "") << "its digest is of what is hidden, too";
  EXPECT_THAT(some.messages(), SizeIs(1));

  Publish(Method::kReadPrefix, {Entry("p/1", "one", 5), Entry("p/2", "TWO", 6)}, 6);
  Answer();
  EXPECT_THAT(some.messages(), SizeIs(1)) << "told of a change that it may not see";
  Publish(Method::kReadPrefix, {Entry("p/1", "one", 5), Entry("p/3", "three", 7)}, 7);
  Answer();
  EXPECT_THAT(HeldBy(some).state, ElementsAre(Pair("p/1", "one"), Pair("p/3", "three")));
  EXPECT_EQ(HeldBy(some).deletes, 0) << "told of the deletion of what it never saw";
  Publish(Method::kReadPrefix, {Entry("p/3", "three", 7)}, 8);
  Answer();
  EXPECT_THAT(HeldBy(some).state, ElementsAre(Pair("p/3", "three")));
  for (const std::string& bytes : some.taken()) {
    EXPECT_THAT(bytes, ::testing::Not(HasSubstr("two")));
    EXPECT_THAT(bytes, ::testing::Not(HasSubstr("TWO")));
    EXPECT_THAT(bytes, ::testing::Not(HasSubstr("p/2")));
  }
}

// Of a change of one key no other is asked about.
TEST_F(GuardWatchTest, AChangeAsksAboutWhatChanged) {
  std::vector<consul::KvEntry> entries;
  for (int i = 0; i < 100; ++i) {
    entries.push_back(Entry(absl::StrCat("p/", 100 + i), "v", 5));
    Allow("a", entries.back().key);
  }
  Open("a", Prefix("p/"));
  Publish(Method::kReadPrefix, entries, 5);
  Answer();
  entries[50] = Entry(entries[50].key, "w", 6);
  Publish(Method::kReadPrefix, entries, 6);
  for (const auto& call : backend_.pending()) {
    if (call.method != Method::kAuthorize) continue;
    ASSERT_EQ(call.permissions.size(), 1u);
    EXPECT_EQ(call.permissions[0].name, entries[50].key);
  }
  EXPECT_EQ(Answer(), 1);
}

// A prefix of which nothing may be read is no empty one.
TEST_F(GuardWatchTest, NothingVisibleIsDenied) {
  auto& full = Open("a", Prefix("p/"));
  auto& empty = Open("a", Prefix("q/"));
  Publish(Method::kReadPrefix, {Entry("p/1", "one", 5)}, 5);
  Publish(Method::kReadPrefix, {}, 5);
  Answer();
  for (const auto* stream : {&full, &empty}) {
    EXPECT_THAT(stream->messages(), IsEmpty());
    ASSERT_TRUE(stream->end().has_value());
    EXPECT_EQ(stream->end()->code(), absl::StatusCode::kPermissionDenied);
  }
  Allow("b", "q/");
  auto& allowed = Open("b", Prefix("q/"));
  Answer();
  EXPECT_FALSE(allowed.end().has_value());
  EXPECT_THAT(allowed.messages(), SizeIs(1));
}

class LostPermissionTest : public AuthHarness, public ::testing::WithParamInterface<std::string> {};

// What a reader holds and may not read any more must not look deleted: neither when it changes, nor when it goes, nor
// when nothing happens.
TEST_P(LostPermissionTest, IsNoDeletion) {
  for (const std::string key : {"p/1", "p/2"}) Allow("a", key);
  auto& stream = Open("a", Prefix("p/"));
  Publish(Method::kReadPrefix, {Entry("p/1", "one", 5), Entry("p/2", "two", 5)}, 5);
  Answer();
  ASSERT_THAT(HeldBy(stream).state, SizeIs(2));
  Revoke("a", "p/2");
  if (GetParam() == "changes") Publish(Method::kReadPrefix, {Entry("p/1", "one", 5), Entry("p/2", "TWO", 6)}, 6);
  if (GetParam() == "goes") Publish(Method::kReadPrefix, {Entry("p/1", "one", 5)}, 6);
  if (GetParam() == "idles") Advance(absl::Seconds(35));
  Answer();
  ASSERT_TRUE(stream.end().has_value());
  EXPECT_EQ(stream.end()->code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(stream.end()->message()), HasSubstr("lost"));
  EXPECT_EQ(HeldBy(stream).deletes, 0);
  EXPECT_THAT(HeldBy(stream).state, SizeIs(2));

  // It goes on with what is left.
  auto& again = Open("a", Prefix("p/"));
  Answer();
  EXPECT_FALSE(again.end().has_value());
  EXPECT_THAT(HeldBy(again).state, ElementsAre(Pair("p/1", "one")));
}

INSTANTIATE_TEST_SUITE_P(WhatHappens, LostPermissionTest, ::testing::Values("changes", "goes", "idles"),
                         [](const auto& info) { return info.param; });

// A stream that goes on from a state was shown all of it: whoever may not read a part any more must be told, though the
// difference says nothing of that part.
TEST_F(GuardWatchTest, AResumedStreamIsAskedAboutAllThatItHolds) {
  for (const std::string key : {"p/1", "p/2"}) Allow("a", key);
  auto& first = Open("a", Prefix("p/"));
  Publish(Method::kReadPrefix, {Entry("p/1", "one", 5), Entry("p/2", "two", 5)}, 5);
  Answer();
  const auto token = consul::ResumeToken::Parse(HeldBy(first).resume_token);
  ASSERT_TRUE(token.has_value());
  first.Close();

  auto& allowed = Open("a", Prefix("p/"), token);
  Answer();
  EXPECT_FALSE(allowed.end().has_value());
  ASSERT_THAT(allowed.messages(), SizeIs(1));
  EXPECT_THAT(HeldBy(allowed).state, IsEmpty()) << "told what it holds";
  allowed.Close();

  Revoke("a", "p/2");
  auto& partly = Open("a", Prefix("p/"), token);
  Answer();
  EXPECT_THAT(partly.messages(), IsEmpty());
  ASSERT_TRUE(partly.end().has_value());
  EXPECT_EQ(partly.end()->code(), absl::StatusCode::kPermissionDenied);
}

// Other streams of the caller hold what they were shown, whatever one that comes back says that it holds.
TEST_F(GuardWatchTest, WhatAResumedStreamHeldIsItsOwnAffair) {
  Allow("a", "p/1");
  auto& open = Open("a", Prefix("p/"));
  Publish(Method::kReadPrefix, {Entry("p/1", "one", 5), Entry("p/2", "two", 5)}, 5);
  Answer();
  auto& back = Open("a", Prefix("p/"), consul::ResumeToken{5, consul::Digest()});
  Answer();
  ASSERT_TRUE(back.end().has_value());
  EXPECT_EQ(back.end()->code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(back.messages(), IsEmpty());
  EXPECT_FALSE(open.end().has_value());
}

// Of a service's instances those on nodes that may be read are told, where the service itself may be.
TEST_F(GuardWatchTest, InstancesOnHiddenNodesAreLeftOut) {
  const consul::Target web{consul::TargetKind::kService, "web"};
  for (const std::string name : {"web", "n1"}) Allow("some", name);
  for (const std::string name : {"n1", "n2"}) Allow("nodes", name);
  Allow("service", "web");
  auto& some = Open("some", web);
  auto& nodes = Open("nodes", web);
  auto& service = Open("service", web);
  PublishService({On("n1", "seen"), On("n2", "hidden")}, 5);
  Answer();
  for (const auto* denied : {&nodes, &service}) {
    EXPECT_THAT(denied->messages(), IsEmpty());
    ASSERT_TRUE(denied->end().has_value());
    EXPECT_EQ(denied->end()->code(), absl::StatusCode::kPermissionDenied);
  }
  ASSERT_THAT(some.messages(), SizeIs(1));
  v1::WatchServiceResponse response;
  ASSERT_TRUE(response.ParseFromString(some.taken().front()));
  ASSERT_EQ(response.events_size(), 1);
  EXPECT_EQ(response.events(0).instance().instance().id(), "seen");
  EXPECT_EQ(response.resume_token(), "");

  Revoke("some", "n1");
  Advance(absl::Seconds(35));
  Answer();
  ASSERT_TRUE(some.end().has_value());
  EXPECT_EQ(some.end()->code(), absl::StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace meshgate::server::auth
