#include "server/auth/pair.h"

#include "meshgate/v1/config_service.pb.h"
#include "tests/server/auth/auth_harness.h"

namespace meshgate::server::auth {
namespace {

class PairTest : public AuthHarness {};

// A stream that is woken again and again while its question is under way must not fill the list of those that wait.
TEST_F(PairTest, AStreamWaitsOnce) {
  ConsulAuthorizer authorizer(&backend_, &scheduler_, &reporter_, ConsulAuthorizerOptions());
  testing::TakingStream transport(&executor_, &scheduler_, &watch_reporter_);
  Pair::Stream stream;
  stream.wakeup = std::make_shared<consul::Wakeup>(transport.outbox().get());
  stream.opened = Pair::Tick();
  const auto pair = std::make_shared<Pair>(&hub_, &authorizer, authorizer.Identify({{"x-consul-token", "a"}}, ""),
                                           Key("k"), consul::View());
  pair->Join(&stream);
  v1::WatchConfigResponse response;
  response.set_snapshot(true);
  auto message = std::make_shared<consul::Message>();
  message->bytes = response.SerializeAsString();
  const consul::SharedMessage shared = message;
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(pair->Decide(shared, stream).has_value());
  EXPECT_LE(stream.wakeup.use_count(), 2);
  Run();
  Allow("a", "k");
  Answer();
  // And while Consul does not tell.
  stream.established = true;
  stream.opened = Pair::Tick();
  EXPECT_FALSE(pair->Decide(shared, stream).has_value());
  Run();
  Advance(absl::Seconds(70));
  FailAll();
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(pair->Decide(shared, stream).has_value());
  EXPECT_LE(stream.wakeup.use_count(), 3);
  stream.wakeup->Forget();
  pair->Leave(&stream);
  Advance(absl::Seconds(2));
  FailAll();
}

// Answers when the test says so.
class SlowAuthorizer final : public Authorizer {
 public:
  using Authorizer::Authorizer;
  SharedIdentity Identify(const Metadata&, const std::string& name) const override {
    return Identity::OfName(name, Hash128{1, 1});
  }
  absl::Status Unidentified() const override { return absl::UnauthenticatedError(""); }
  void Check(const SharedIdentity&, const std::string&, std::vector<Question> questions, Grace,
             absl::AnyInvocable<void()> begun, Done done) override {
    if (begun) begun();
    asked.emplace_back(questions.size(), std::move(done));
  }
  std::optional<bool> LastKnown(const SharedIdentity&, const std::string&, const Question&) override { return true; }

  void Answer(bool allowed) {
    auto [size, done] = std::move(asked.front());
    asked.erase(asked.begin());
    done(std::vector<bool>(size, allowed));
  }
  std::vector<std::pair<size_t, Done>> asked;
};

// A look that is under way when the permissions change has seen them as they were: it must not stand for the one that
// the change asks for.
TEST_F(PairTest, AChangeDuringALookIsLookedAt) {
  SlowAuthorizer authorizer(&scheduler_, &reporter_);
  testing::TakingStream transport(&executor_, &scheduler_, &watch_reporter_);
  Pair::Stream stream;
  stream.wakeup = std::make_shared<consul::Wakeup>(transport.outbox().get());
  stream.opened = Pair::Tick();
  const auto pair = std::make_shared<Pair>(&hub_, &authorizer, authorizer.Identify({}, "a"), Key("k"), consul::View());
  pair->Join(&stream);
  pair->Recheck();
  ASSERT_EQ(authorizer.asked.size(), 1u);
  pair->RecheckAll();
  pair->RecheckAll();
  authorizer.Answer(true);
  ASSERT_EQ(authorizer.asked.size(), 1u) << "once more, and no oftener";
  authorizer.Answer(false);
  EXPECT_TRUE(authorizer.asked.empty());
  EXPECT_EQ(pair->ended().code(), absl::StatusCode::kPermissionDenied);
  stream.wakeup->Forget();
  pair->Leave(&stream);
}

// The same of a message that was asked about before the change, and is shown after it.
TEST_F(PairTest, WhatIsShownOnAnOldAnswerIsLookedAt) {
  SlowAuthorizer authorizer(&scheduler_, &reporter_);
  testing::TakingStream transport(&executor_, &scheduler_, &watch_reporter_);
  Pair::Stream stream;
  stream.wakeup = std::make_shared<consul::Wakeup>(transport.outbox().get());
  stream.opened = Pair::Tick();
  const auto pair = std::make_shared<Pair>(&hub_, &authorizer, authorizer.Identify({}, "a"), Key("k"), consul::View());
  pair->Join(&stream);
  v1::WatchConfigResponse response;
  response.set_snapshot(true);
  auto message = std::make_shared<consul::Message>();
  message->bytes = response.SerializeAsString();
  const consul::SharedMessage shared = message;
  EXPECT_FALSE(pair->Decide(shared, stream).has_value());
  Run();
  ASSERT_EQ(authorizer.asked.size(), 1u);
  pair->RecheckAll();
  ASSERT_EQ(authorizer.asked.size(), 2u);
  // Of that one first: it has seen nothing yet of what is about to be shown.
  std::swap(authorizer.asked[0], authorizer.asked[1]);
  authorizer.Answer(true);
  authorizer.Answer(true);
  ASSERT_EQ(authorizer.asked.size(), 1u);
  authorizer.Answer(false);
  EXPECT_EQ(pair->ended().code(), absl::StatusCode::kPermissionDenied);
  stream.wakeup->Forget();
  pair->Leave(&stream);
}

}  // namespace
}  // namespace meshgate::server::auth
