// The backend while its agent is killed, frozen, away and empty again.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "tests/integration/live_backend.h"
#include "tests/testing/consul_agent.h"

namespace meshgate::consul {
namespace {

using testing::ConsulAgent;

http::ConsulBackendOptions For(const ConsulAgent& agent) {
  http::ConsulBackendOptions options;
  options.address = agent.url();
  return options;
}

// The death of an agent would read as a deletion, or hang its watchers.
TEST(ConsulFailureTest, KilledAgent) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  LiveBackend backend(For(agent));
  ASSERT_TRUE(backend.Put("a", "1").ok());
  auto before = backend.ReadKey("a");
  ASSERT_TRUE(before.ok()) << before.status();
  std::vector<LiveBackend::PendingEntries> watches;
  for (int i = 0; i < 5; ++i) watches.push_back(backend.Watch("a", *before->meta.index));
  // Begun after them by the same thread, and answered: so they have been sent.
  ASSERT_TRUE(backend.Watch("a", *before->meta.index, absl::Milliseconds(200)).Wait(LiveBackend::kBound));
  for (const auto& watch : watches) EXPECT_FALSE(watch.ready()) << "it waits";
  agent.Kill();
  for (const auto& watch : watches) {
    auto answer = watch.Get(LiveBackend::kBound);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(OutcomeOf(answer->status()), "UNAVAILABLE CONSUL_UNAVAILABLE");
    EXPECT_TRUE(RetryAfterOf(answer->status()).has_value());
  }
  EXPECT_EQ(OutcomeOf(backend.ReadKey("a").status()), "UNAVAILABLE CONSUL_UNAVAILABLE");
  EXPECT_EQ(OutcomeOf(backend.Put("a", "2").status()), "UNAVAILABLE CONSUL_UNAVAILABLE")
      << "nothing was sent, so nothing can have been applied";
  EXPECT_GT(backend.reporter().requests(Endpoint::kKv, 0), 0);

  // It comes back empty: a lower index and no key, which the caller has to make sense of.
  agent.Restart();
  ASSERT_TRUE(agent.ready());
  ReadOptions patient;
  patient.patient = true;
  auto after = backend.ReadKey("a", patient);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_TRUE(after->value.empty());
  EXPECT_TRUE(after->meta.index.has_value());
}

// A caller would wait for ever for an agent that accepts and does not answer, or would not learn that its write may
// have been applied, which it then is.
TEST(ConsulFailureTest, FrozenAgent) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  LiveBackend backend(For(agent));
  ASSERT_TRUE(backend.Put("a", "1").ok());
  agent.Freeze();
  ReadOptions read;
  read.timeout = absl::Milliseconds(300);
  EXPECT_EQ(OutcomeOf(backend.ReadKey("a", read).status()), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED");
  read.index = 1;
  read.wait = absl::Milliseconds(200);
  EXPECT_EQ(OutcomeOf(backend.ReadKey("a", read).status()), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED");
  WriteOptions write;
  write.timeout = absl::Milliseconds(300);
  const absl::Status status = backend.Put("a", "2", write).status();
  EXPECT_EQ(OutcomeOf(status), "DEADLINE_EXCEEDED WRITE_OUTCOME_UNKNOWN");
  EXPECT_TRUE(absl::StrContains(status.message(), "may have been applied")) << status;
  agent.Thaw();
  auto after = backend.ReadKey("a");
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->value.size(), 1u);
}

// A write that an agent took with it to its death may have been applied.
TEST(ConsulFailureTest, WriteCutByAKill) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  LiveBackend backend(For(agent));
  ASSERT_TRUE(backend.Put("a", "1").ok());
  agent.Freeze();
  testing::Pending<absl::StatusOr<KvEntry>> pending;
  backend->PutKey(KvEntry{"a", "2"}, std::nullopt, {}, pending.Callback());
  testing::Pending<absl::StatusOr<std::vector<KvEntry>>> commit;
  backend->Commit({PutOperation{KvEntry{"b", "2"}, {}}, DeletePrefixOperation{"c/"}}, {}, commit.Callback());
  // Begun after them by the same thread, and sent: so they have been sent, too.
  ReadOptions read;
  read.timeout = absl::Milliseconds(300);
  const absl::Status sent = backend.ReadKey("a", read).status();
  ASSERT_TRUE(absl::StrContains(sent.message(), "Consul did not answer")) << sent;
  EXPECT_FALSE(pending.ready());
  agent.Kill();
  auto answer = pending.Get(LiveBackend::kBound);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(OutcomeOf(answer->status()), "UNAVAILABLE WRITE_OUTCOME_UNKNOWN");
  auto committed = commit.Get(LiveBackend::kBound);
  ASSERT_TRUE(committed.has_value());
  EXPECT_EQ(OutcomeOf(committed->status()), "UNAVAILABLE WRITE_OUTCOME_UNKNOWN");
}

// An instance that its agent has forgotten must hear so from its next heartbeat.
TEST(ConsulFailureTest, ForgottenInstance) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  LiveBackend backend(For(agent));
  Registration registration;
  registration.id = "web-1";
  registration.service = "web";
  registration.checks.resize(1);
  registration.checks[0].probe = TtlProbe{absl::Seconds(30)};
  ASSERT_TRUE(backend.Await([&](auto done) { backend->Register(registration, {}, std::move(done)); }).ok());
  const auto beat = [&] {
    return OutcomeOf(
        backend.Await([&](auto done) { backend->Heartbeat("web-1", Health::kPassing, "", {}, std::move(done)); }));
  };
  EXPECT_EQ(beat(), "OK");
  agent.Stop();
  agent.Restart();
  ASSERT_TRUE(agent.ready());
  EXPECT_EQ(beat(), "NOT_FOUND INSTANCE_NOT_FOUND");
}

// Instances that were registered by another tool have TTL checks of other names; each of them is reported.
TEST(ConsulFailureTest, HeartbeatForAnotherToolsInstance) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  LiveBackend backend(For(agent));
  ASSERT_EQ(agent
                .Call("PUT", "/v1/agent/service/register",
                      R"({"ID":"other","Name":"other","Checks":[{"TTL":"60s"},{"CheckID":"mine","TTL":"60s"}]})")
                .code,
            200);
  EXPECT_EQ(OutcomeOf(backend.Await(
                [&](auto done) { backend->Heartbeat("other", Health::kPassing, "all is well", {}, std::move(done)); })),
            "OK");
  const std::string checks = agent.Call("GET", "/v1/agent/checks").body;
  EXPECT_FALSE(absl::StrContains(checks, "critical")) << checks;
  EXPECT_TRUE(absl::StrContains(checks, "all is well")) << checks;
}

// An operator's maintenance mode must be seen as such.
TEST(ConsulFailureTest, MaintenanceIsTold) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  LiveBackend backend(For(agent));
  ASSERT_EQ(agent.Call("PUT", "/v1/agent/service/register", R"({"ID":"m-1","Name":"m"})").code, 200);
  ASSERT_EQ(agent.Call("PUT", "/v1/agent/service/maintenance/m-1?enable=true").code, 200);
  ReadOptions options;
  for (int tries = 0; tries < 100; ++tries) {
    testing::Pending<absl::StatusOr<Answer<std::vector<Instance>>>> pending;
    backend->ReadService("m", "", "", options, pending.Callback());
    auto answer = pending.Get(LiveBackend::kBound);
    ASSERT_TRUE(answer.has_value() && answer->ok());
    if (!(*answer)->value.empty() && (*answer)->value[0].health == Health::kMaintenance) return;
    options.index = (*answer)->meta.index.value_or(0);
    options.wait = absl::Seconds(5);
  }
  FAIL() << "the instance never showed as being in maintenance";
}

}  // namespace
}  // namespace meshgate::consul
