// What is remembered of Consul's answers, and for whom.
#include "server/auth/consul_authorizer.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server::auth {
namespace {

using Method = testing::FakeBackend::Method;

class ConsulAuthorizerTest : public ::testing::Test {
 protected:
  static ConsulAuthorizerOptions Small() {
    ConsulAuthorizerOptions options;
    options.max_remembered = 100;
    return options;
  }
  ~ConsulAuthorizerTest() override { backend_.Shutdown(); }

  absl::StatusOr<std::vector<bool>> Check(const std::string& token, int from, int count, const absl::Status& consul,
                                          const std::string& datacenter = "") {
    std::vector<Question> questions;
    for (int i = from; i < from + count; ++i) {
      questions.push_back({{consul::Permission::Kind::kReadKey, absl::StrCat(i)}, 0});
    }
    std::optional<absl::StatusOr<std::vector<bool>>> answer;
    authorizer_.Check(authorizer_.Identify({{"x-consul-token", token}}, ""), datacenter, std::move(questions),
                      Authorizer::Grace::kLastKnown, nullptr,
                      [&](absl::StatusOr<std::vector<bool>> allowed) { answer = std::move(allowed); });
    if (consul.ok()) {
      backend_.AnswerAuthorize(std::vector<bool>(static_cast<size_t>(count), true));
    } else {
      backend_.Fail(Method::kAuthorize, consul);
    }
    scheduler_.RunReady();
    return answer.value_or(absl::UnknownError("not answered"));
  }

  const absl::Status away_ = MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "away");
  const absl::Status no_such_ = MakeError(absl::StatusCode::kUnauthenticated, reason::kTokenUnknown, "no such token");
  testing::ManualScheduler scheduler_;
  testing::FakeBackend backend_{&scheduler_};
  metrics::AuthReporter reporter_;
  ConsulAuthorizer authorizer_{&backend_, &scheduler_, &reporter_, Small()};
};

// Whoever tries tokens at random must not take the grace from others.
TEST_F(ConsulAuthorizerTest, RandomTokensTakeNoRoom) {
  ASSERT_TRUE(Check("a", 0, 10, absl::OkStatus()).ok());
  for (int i = 0; i < 300; ++i) EXPECT_FALSE(Check(absl::StrCat("random", i), 0, 1, no_such_).ok());
  EXPECT_TRUE(Check("a", 0, 10, away_).ok());
}

// Nor whoever has a token and asks about more than is remembered.
TEST_F(ConsulAuthorizerTest, ATokenPaysForWhatItAsks) {
  ASSERT_TRUE(Check("a", 0, 10, absl::OkStatus()).ok());
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(Check("greedy", 10 * i, 10, absl::OkStatus()).ok());
  EXPECT_TRUE(Check("a", 0, 10, away_).ok());
  EXPECT_FALSE(Check("greedy", 0, 100, away_).ok());
}

// What was said before a token was unknown is void, and what is said after that counts again.
TEST_F(ConsulAuthorizerTest, WhatWasKnownOfATokenThatIsUnknownIsVoid) {
  ASSERT_TRUE(Check("a", 0, 2, absl::OkStatus()).ok());
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_FALSE(Check("a", 0, 1, no_such_).ok());
  scheduler_.Advance(absl::Seconds(1));
  EXPECT_FALSE(Check("a", 0, 1, away_).ok());
  ASSERT_TRUE(Check("a", 0, 1, absl::OkStatus()).ok());
  EXPECT_TRUE(Check("a", 0, 1, away_).ok());
  EXPECT_FALSE(Check("a", 0, 2, away_).ok()) << "the second one was said before";
  scheduler_.Advance(absl::Seconds(61));
  EXPECT_FALSE(Check("a", 0, 1, away_).ok());
}

}  // namespace
}  // namespace meshgate::server::auth
