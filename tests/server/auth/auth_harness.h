#ifndef MESHGATE_TESTS_SERVER_AUTH_AUTH_HARNESS_H_
#define MESHGATE_TESTS_SERVER_AUTH_AUTH_HARNESS_H_

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "consul/base/errors.h"
#include "consul/watch/hub.h"
#include "meshgate/v1/config_service.pb.h"
#include "server/auth/consul_authorizer.h"
#include "server/auth/guard.h"
#include "tests/testing/fake_backend.h"
#include "tests/testing/manual_executor.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server::auth {

// Counts what was reported.
class CountingReporter final : public metrics::AuthReporter {
 public:
  void OnCheck(Result result) override { ++counts_[result]; }
  int count(Result result) const {
    const auto found = counts_.find(result);
    return found == counts_.end() ? 0 : found->second;
  }

 private:
  std::map<Result, int> counts_;
};

// A guard on a real hub, and a Consul that the test plays: states by Publish(), permissions by Allow() and Answer().
class AuthHarness : public ::testing::Test {
 protected:
  using Method = testing::FakeBackend::Method;
  using Result = metrics::AuthReporter::Result;

  ~AuthHarness() override {
    streams_.clear();
    hub_.Shutdown();
    backend_.Shutdown();
    scheduler_.RunReady();
  }

  static consul::Target Key(const std::string& name) { return {consul::TargetKind::kKey, name}; }
  static consul::Target Prefix(const std::string& name) { return {consul::TargetKind::kPrefix, name}; }
  static consul::KvEntry Entry(const std::string& key, const std::string& value, uint64_t index) {
    consul::KvEntry entry;
    entry.key = key;
    entry.value = value;
    entry.create_index = 1;
    entry.modify_index = index;
    return entry;
  }

  // A stream of the caller with this token.
  testing::TakingStream& Open(const std::string& token, const consul::Target& target,
                              std::optional<consul::ResumeToken> resume = std::nullopt, const consul::View& view = {},
                              absl::Duration progress = absl::ZeroDuration()) {
    if (known_before_ && unknown_.count(token) == 0) Admit(token, target);
    streams_.push_back(std::make_unique<testing::TakingStream>(&executor_, &scheduler_, &watch_reporter_));
    testing::TakingStream& stream = *streams_.back();
    stream.outbox()->Start(
        guard_.Subscribe(guard_.Identify({{"x-consul-token", token}}, ""), target, view, resume, stream.outbox().get()),
        progress);
    Run();
    return stream;
  }

  // As another stream shortly before would have had it: what is asked from now on is about messages.
  void Admit(const std::string& token, const consul::Target& target) {
    if (backend_.pending(Method::kAuthorize) > 0) return;
    guard_.Admit(guard_.Identify({{"x-consul-token", token}}, ""), target, [](const absl::Status&) {});
    if (backend_.AnswerAuthorize({true})) ++admitted_;
    Run();
  }

  // Answers the oldest query of the hub's.
  void Publish(Method method, std::vector<consul::KvEntry> entries, uint64_t index) {
    // The hub asks at a rate.
    if (backend_.pending(method) == 0) Advance(absl::Seconds(1));
    ASSERT_TRUE(backend_.AnswerEntries(method, std::move(entries), index));
    Run();
  }

  static consul::Instance On(const std::string& node, const std::string& id, uint64_t index = 5) {
    consul::Instance one;
    one.node = node;
    one.id = id;
    one.service = "web";
    one.create_index = one.modify_index = index;
    return one;
  }
  void PublishService(std::vector<consul::Instance> instances, uint64_t index) {
    if (backend_.pending(Method::kReadService) == 0) Advance(absl::Seconds(1));
    ASSERT_TRUE(backend_.AnswerService(std::move(instances), index));
    Run();
  }

  // What is ready, on the scheduler and the streams' thread.
  void Run() {
    while (scheduler_.RunReady() + executor_.RunReady() > 0) {
    }
  }
  void Advance(absl::Duration by) {
    scheduler_.Advance(by);
    Run();
  }

  void Allow(const std::string& token, const std::string& name) { allowed_.insert({token, name}); }
  void Revoke(const std::string& token, const std::string& name) { allowed_.erase({token, name}); }

  // Answers all questions there are, as it is now; returns how many there were.
  int Answer() {
    int answered = 0;
    while (backend_.pending(Method::kAuthorize) > 0) {
      testing::FakeBackend::Arguments asked;
      for (const auto& call : backend_.pending()) {
        if (call.method != Method::kAuthorize) continue;
        asked = call;
        break;
      }
      if (unknown_.count(*asked.read.token) > 0) {
        backend_.Fail(Method::kAuthorize,
                      MakeError(absl::StatusCode::kUnauthenticated, reason::kTokenUnknown, "no such token"));
      } else {
        std::vector<bool> answer;
        for (const auto& permission : asked.permissions) {
          answer.push_back(allowed_.count({*asked.read.token, permission.name}) > 0);
        }
        backend_.AnswerAuthorize(std::move(answer));
      }
      ++answered;
      Run();
    }
    return answered;
  }
  int FailAll() {
    int failed = 0;
    while (backend_.Fail(Method::kAuthorize,
                         MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "away"))) {
      ++failed;
      Run();
    }
    return failed;
  }

  int asked() const {
    int count = -admitted_;
    for (const auto& call : backend_.calls()) count += call.method == Method::kAuthorize ? 1 : 0;
    return count;
  }

  // The state that a stream's messages lead to, and whether any of them deletes.
  struct Held {
    std::map<std::string, std::string> state;
    int deletes = 0;
    std::string resume_token;
  };
  static Held HeldBy(const testing::TakingStream& stream) {
    Held held;
    for (const std::string& bytes : stream.taken()) {
      v1::WatchConfigResponse response;
      EXPECT_TRUE(response.ParseFromString(bytes));
      if (response.snapshot()) held.state.clear();
      for (const auto& event : response.events()) {
        if (event.type() == v1::ConfigEvent::TYPE_PUT) {
          held.state[event.entry().key()] = event.entry().value();
        } else {
          ++held.deletes;
          held.state.erase(event.entry().key());
        }
      }
      held.resume_token = response.resume_token();
    }
    return held;
  }

  testing::ManualScheduler scheduler_;
  testing::ManualExecutor executor_;
  testing::FakeBackend backend_{&scheduler_};
  consul::WatchReporter watch_reporter_;
  CountingReporter reporter_;
  consul::Hub hub_{&backend_, &scheduler_, &watch_reporter_, consul::HubOptions()};
  Guard guard_{&hub_, &scheduler_,
               std::make_unique<ConsulAuthorizer>(&backend_, &scheduler_, &reporter_, ConsulAuthorizerOptions()),
               GuardOptions(), /*seed=*/1};
  std::vector<std::unique_ptr<testing::TakingStream>> streams_;
  std::set<std::pair<std::string, std::string>> allowed_;
  std::set<std::string> unknown_;
  bool known_before_ = true;
  int admitted_ = 0;
};

}  // namespace meshgate::server::auth

#endif  // MESHGATE_TESTS_SERVER_AUTH_AUTH_HARNESS_H_
