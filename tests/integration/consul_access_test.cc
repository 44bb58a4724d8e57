// The backend and a Consul that asks who it is: tokens, certificates.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/integration/live_backend.h"
#include "tests/testing/consul_agent.h"

namespace meshgate::consul {
namespace {

using testing::ConsulAgent;

constexpr char kRoot[] = "11111111-2222-3333-4444-555555555555";

// A caller that may not read would be told that there is nothing, and one that may not write that it has written.
TEST(ConsulAccessTest, DefaultDeny) {
  ConsulAgent::Options options;
  options.hcl = absl::StrCat("acl { enabled = true default_policy = \"deny\" tokens { master = \"", kRoot, "\" } }");
  options.token = kRoot;
  ConsulAgent agent(options);
  ASSERT_TRUE(agent.ready());
  const auto with_token = [&](const std::string& token) {
    http::ConsulBackendOptions backend;
    backend.address = agent.url();
    backend.token = token;
    return backend;
  };
  Registration web;
  web.id = web.service = "web";
  const std::string value(400'000, 'x');

  LiveBackend root(with_token(kRoot));
  ASSERT_TRUE(root.Put("a", "1").ok());
  EXPECT_TRUE(root.ReadKey("a").ok());
  EXPECT_EQ(OutcomeOf(root.Await([&](auto done) { root->Register(web, {}, std::move(done)); })), "OK");

  struct Case {
    std::string token, want;
  };
  for (const Case& c : {Case{"", "PERMISSION_DENIED PERMISSION_DENIED"},
                        Case{"99999999-2222-3333-4444-555555555555", "UNAUTHENTICATED TOKEN_UNKNOWN"}}) {
    LiveBackend backend(with_token(c.token));
    EXPECT_EQ(OutcomeOf(backend.ReadKey("a").status()), c.want);
    EXPECT_EQ(OutcomeOf(backend.ReadKey("missing").status()), c.want);
    EXPECT_EQ(OutcomeOf(backend.Put("a", "2").status()), c.want);
    EXPECT_EQ(OutcomeOf(backend.Put("a", value).status()), c.want);
    EXPECT_EQ(OutcomeOf(backend.Await([&](auto done) { backend->DeleteKey("a", std::nullopt, {}, std::move(done)); })),
              c.want);
    EXPECT_EQ(OutcomeOf(backend.Await([&](auto done) { backend->DeletePrefix("a", {}, std::move(done)); })), c.want);
    testing::Pending<absl::StatusOr<std::vector<KvEntry>>> commit;
    backend->Commit({PutOperation{KvEntry{"b", "2"}, {}}, DeleteKeyOperation{"a", {}}}, {}, commit.Callback());
    EXPECT_EQ(OutcomeOf(commit.Get(LiveBackend::kBound)->status()), c.want);
    EXPECT_EQ(OutcomeOf(backend.Await([&](auto done) { backend->Register(web, {}, std::move(done)); })), c.want);
    EXPECT_EQ(OutcomeOf(backend.Await([&](auto done) { backend->Deregister("web", {}, std::move(done)); })), c.want);
  }
  auto kept = root.ReadKey("a");
  ASSERT_TRUE(kept.ok());
  ASSERT_EQ(kept->value.size(), 1u);
  EXPECT_EQ(kept->value[0].value, "1");
}

// A call made for somebody is made with that one's token alone: were the backend's own sent in its place, or where
// there is none, callers could do what the gateway may.
TEST(ConsulAccessTest, EachCallHasItsOwnToken) {
  ConsulAgent::Options options;
  options.hcl = absl::StrCat("acl { enabled = true default_policy = \"deny\" tokens { master = \"", kRoot, "\" } }");
  options.token = kRoot;
  ConsulAgent agent(options);
  ASSERT_TRUE(agent.ready());
  constexpr char kReader[] = "22222222-2222-3333-4444-555555555555";
  ASSERT_EQ(agent
                .Call("PUT", "/v1/acl/policy",
                      R"({"Name": "p", "Rules": "key_prefix \"app/\" { policy = \"read\" } key \"app/no\" { policy = )"
                      R"(\"deny\" } service \"web\" { policy = \"write\" } node \"n1\" { policy = \"read\" }"})",
                      kRoot)
                .code,
            200);
  ASSERT_EQ(agent
                .Call("PUT", "/v1/acl/token",
                      absl::StrCat(R"({"SecretID": ")", kReader, R"(", "Policies": [{"Name": "p"}]})"), kRoot)
                .code,
            200);
  http::ConsulBackendOptions with_root;
  with_root.address = agent.url();
  with_root.token = kRoot;
  LiveBackend backend(with_root);
  ASSERT_TRUE(backend.Put("app/a", "1").ok());
  ASSERT_TRUE(backend.Put("other", "1").ok());

  ReadOptions reader, nobody, stranger;
  reader.token = kReader;
  nobody.token = "";
  stranger.token = "99999999-2222-3333-4444-555555555555";
  EXPECT_EQ(OutcomeOf(backend.ReadKey("app/a", reader).status()), "OK");
  EXPECT_EQ(OutcomeOf(backend.ReadKey("other", reader).status()), "PERMISSION_DENIED PERMISSION_DENIED");
  EXPECT_EQ(OutcomeOf(backend.ReadKey("app/a", nobody).status()), "PERMISSION_DENIED PERMISSION_DENIED");
  EXPECT_EQ(OutcomeOf(backend.ReadKey("app/a", stranger).status()), "UNAUTHENTICATED TOKEN_UNKNOWN");
  WriteOptions by_reader;
  by_reader.token = kReader;
  EXPECT_EQ(OutcomeOf(backend.Put("app/a", "2", by_reader).status()), "PERMISSION_DENIED PERMISSION_DENIED");
  EXPECT_EQ(OutcomeOf(backend.ReadKey("other").status()), "OK");

  const auto authorize = [&](const std::vector<Permission>& permissions, const ReadOptions& options) {
    testing::Pending<absl::StatusOr<std::vector<bool>>> pending;
    backend->Authorize(permissions, options, pending.Callback());
    return pending.Get(LiveBackend::kBound).value_or(absl::UnknownError("no answer"));
  };
  using Kind = Permission::Kind;
  std::vector<Permission> all = {{Kind::kReadKey, "app/a"},      {Kind::kReadKey, "app/missing"},
                                 {Kind::kReadKey, "app/no"},     {Kind::kReadKey, "other"},
                                 {Kind::kReadKey, ""},           {Kind::kReadService, "web"},
                                 {Kind::kWriteService, "web"},   {Kind::kReadService, "other"},
                                 {Kind::kWriteService, "other"}, {Kind::kReadNode, "n1"},
                                 {Kind::kReadNode, "n2"}};
  const std::vector<bool> want = {true, true, false, false, false, true, true, false, false, true, false};
  auto got = authorize(all, reader);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got, want);
  got = authorize(all, {});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got, std::vector<bool>(all.size(), true));
  got = authorize(all, nobody);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got, std::vector<bool>(all.size(), false));
  EXPECT_EQ(OutcomeOf(authorize({all[0]}, stranger).status()), "UNAUTHENTICATED TOKEN_UNKNOWN");
  EXPECT_EQ(OutcomeOf(authorize({all[5]}, stranger).status()), "UNAUTHENTICATED TOKEN_UNKNOWN");
  EXPECT_TRUE(authorize({}, stranger).ok());

  // More than one question takes.
  std::vector<Permission> many;
  for (int i = 0; i < 150; ++i) many.push_back({Kind::kReadKey, absl::StrCat(i % 3 == 0 ? "no/" : "app/", i)});
  got = authorize(many, reader);
  ASSERT_TRUE(got.ok()) << got.status();
  for (int i = 0; i < 150; ++i) EXPECT_EQ((*got)[i], i % 3 != 0) << i;
}

// An agent that is no server keeps what a token may do for 30 s: were it believed, a token that was deleted would be
// let read what is written afterwards.
TEST(ConsulAccessTest, ADeletedTokenIsUnknownAtOnceToAClientAgentToo) {
  const std::string acl = absl::StrCat("acl { enabled = true default_policy = \"deny\" tokens { agent = \"", kRoot,
                                       "\" master = \"", kRoot, "\" } }");
  ConsulAgent::Options options;
  options.hcl = acl;
  options.token = kRoot;
  ConsulAgent server(options);
  ASSERT_TRUE(server.ready());
  options.hcl = absl::StrCat("server = false ", acl);
  options.join = {server.serf_port()};
  options.args = {absl::StrCat("-data-dir=", std::getenv("TEST_TMPDIR"), "/client-agent")};
  ConsulAgent client(options);
  ASSERT_TRUE(client.ready()) << client.Log();

  constexpr char kReader[] = "22222222-2222-3333-4444-555555555555";
  constexpr char kAccessor[] = "33333333-2222-3333-4444-555555555555";
  ASSERT_EQ(
      server
          .Call("PUT", "/v1/acl/policy",
                R"({"Name": "p", "Rules": "key \"k\" { policy = \"read\" } service \"web\" { policy = \"read\" }"})",
                kRoot)
          .code,
      200);
  ASSERT_EQ(server
                .Call("PUT", "/v1/acl/token",
                      absl::StrCat(R"({"SecretID": ")", kReader, R"(", "AccessorID": ")", kAccessor,
                                   R"(", "Policies": [{"Name": "p"}]})"),
                      kRoot)
                .code,
            200);
  http::ConsulBackendOptions through;
  through.address = client.url();
  LiveBackend backend(through);
  ReadOptions reader;
  reader.token = kReader;
  const auto outcome = [&](Permission::Kind kind, const std::string& name) {
    testing::Pending<absl::StatusOr<std::vector<bool>>> pending;
    backend->Authorize({{kind, name}}, reader, pending.Callback());
    const auto allowed = pending.Get(LiveBackend::kBound).value_or(absl::UnknownError("no answer"));
    if (!allowed.ok()) return OutcomeOf(allowed.status());
    return std::string(allowed->front() ? "allowed" : "denied");
  };
  EXPECT_EQ(outcome(Permission::Kind::kReadKey, "k"), "allowed");
  EXPECT_EQ(outcome(Permission::Kind::kReadService, "web"), "allowed");
  EXPECT_EQ(outcome(Permission::Kind::kReadNode, "n"), "denied");

  ASSERT_EQ(server.Call("DELETE", absl::StrCat("/v1/acl/token/", kAccessor), "", kRoot).code, 200);
  EXPECT_EQ(outcome(Permission::Kind::kReadKey, "k"), "UNAUTHENTICATED TOKEN_UNKNOWN");
  EXPECT_EQ(outcome(Permission::Kind::kReadService, "web"), "UNAUTHENTICATED TOKEN_UNKNOWN");
  EXPECT_EQ(outcome(Permission::Kind::kReadNode, "n"), "UNAUTHENTICATED TOKEN_UNKNOWN");
}

// Certificates made for one test by the agent's own tool.
class ConsulTlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        absl::StrCat(std::getenv("TEST_TMPDIR"), "/", ::testing::UnitTest::GetInstance()->current_test_info()->name());
    const std::string make =
        absl::StrCat("( mkdir -p ", folder_, "/other && cd ", folder_,
                     " && consul tls ca create && consul tls cert create -server -additional-ipaddress=127.0.0.1"
                     " && consul tls cert create -client && cd other && consul tls ca create ) >",
                     folder_, ".log 2>&1");
    ASSERT_EQ(std::system(make.c_str()), 0);
    https_port_ = testing::FreePorts(1)[0];
    options_.hcl = absl::StrCat("ports { https = ", https_port_, " } ca_file = \"", File("consul-agent-ca.pem"),
                                "\" cert_file = \"", File("dc1-server-consul-0.pem"), "\" key_file = \"",
                                File("dc1-server-consul-0-key.pem"), "\" verify_incoming_https = true");
  }

  std::string File(const std::string& name) const { return absl::StrCat(folder_, "/", name); }

  http::ConsulBackendOptions Trusted() const {
    http::ConsulBackendOptions options;
    options.address = absl::StrCat("https://127.0.0.1:", https_port_);
    options.ca_file = File("consul-agent-ca.pem");
    options.cert_file = File("dc1-client-consul-0.pem");
    options.key_file = File("dc1-client-consul-0-key.pem");
    return options;
  }

  std::string folder_;
  uint16_t https_port_ = 0;
  ConsulAgent::Options options_;
};

// Over TLS hundreds of watches share a few connections; if they did not, they would exhaust Consul's limit.
TEST_F(ConsulTlsTest, WatchesShareConnections) {
  ConsulAgent agent(options_);
  ASSERT_TRUE(agent.ready());
  LiveBackend backend(Trusted());
  ASSERT_TRUE(backend.Put("a", "1").ok());
  const uint64_t index = *backend.ReadKey("a")->meta.index;
  std::vector<LiveBackend::PendingEntries> watches;
  constexpr int kWatches = 1000;
  // One for every 200 watches, and one for the other calls.
  constexpr int kConnections = 6;
  for (int i = 0; i < kWatches; ++i) watches.push_back(backend.Watch("a", index));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(backend.Put(absl::StrCat("b", i), "x").ok());
  EXPECT_LE(agent.ClientConnections(https_port_), kConnections);
  ASSERT_TRUE(backend.Put("a", "2").ok());
  for (const auto& watch : watches) {
    auto answer = watch.Get(LiveBackend::kBound);
    ASSERT_TRUE(answer.has_value());
    ASSERT_TRUE(answer->ok()) << answer->status();
    EXPECT_EQ((*answer)->value.at(0).value, "2");
  }
  EXPECT_LE(backend.reporter().connections(), kConnections);
}

// Consul's limit shows as a handshake that is cut: not a fault of certificates, and no write was made.
TEST_F(ConsulTlsTest, ConsulsLimitIsResourceExhausted) {
  options_.hcl += " limits { http_max_conns_per_client = 2 }";
  ConsulAgent agent(options_);
  ASSERT_TRUE(agent.ready());
  LiveBackend first(Trusted());
  const absl::Time bound = absl::Now() + LiveBackend::kBound;
  // The connections that asked the agent whether it is ready count until it has noticed their end.
  absl::Status put = first.Put("a", "1").status();
  while (!put.ok() && absl::Now() < bound) put = first.Put("a", "1").status();
  ASSERT_TRUE(put.ok()) << put;
  const uint64_t index = *first.ReadKey("a")->meta.index;
  auto watch = first.Watch("a", index, absl::Seconds(10));
  while (agent.ClientConnections(https_port_) < 2 && absl::Now() < bound) absl::SleepFor(absl::Milliseconds(5));
  ASSERT_EQ(agent.ClientConnections(https_port_), 2);
  ASSERT_FALSE(watch.ready()) << "it waits, over a second connection";
  LiveBackend second(Trusted());
  EXPECT_EQ(OutcomeOf(second.ReadKey("a").status()), "RESOURCE_EXHAUSTED CONSUL_OVERLOADED");
  EXPECT_EQ(OutcomeOf(second.Put("a", "2").status()), "RESOURCE_EXHAUSTED CONSUL_OVERLOADED");
}

// Probes are made another way than calls: without our certificate in them, or its check, the agent would stay away for
// ever, or an impostor be taken for it.
TEST_F(ConsulTlsTest, ReturnsAfterAnOutage) {
  ConsulAgent agent(options_);
  ASSERT_TRUE(agent.ready());
  LiveBackend backend(Trusted());
  ASSERT_TRUE(backend.Put("a", "1").ok());
  agent.Kill();
  EXPECT_FALSE(backend.ReadKey("a").ok());
  ASSERT_TRUE(backend.reporter().WaitForBreaker(BackendReporter::Breaker::kOpen));
  agent.Restart();
  ASSERT_TRUE(agent.ready());
  ReadOptions patient;
  patient.patient = true;
  const auto read = backend.ReadKey("a", patient);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(backend.Put("a", "2").ok());
}

// A server that is not ours must not get our token, nor its answers be believed.
TEST_F(ConsulTlsTest, CertificatesAreChecked) {
  ConsulAgent agent(options_);
  ASSERT_TRUE(agent.ready());
  http::ConsulBackendOptions wrong_ca = Trusted();
  wrong_ca.ca_file = File("other/consul-agent-ca.pem");
  LiveBackend suspicious(wrong_ca);
  EXPECT_EQ(OutcomeOf(suspicious.ReadKey("a").status()), "UNAVAILABLE CONSUL_UNAVAILABLE");
  EXPECT_EQ(OutcomeOf(suspicious.Put("a", "1").status()), "UNAVAILABLE CONSUL_UNAVAILABLE");
  ASSERT_TRUE(suspicious.reporter().WaitForBreaker(BackendReporter::Breaker::kOpen));
  const absl::Status refused = suspicious.ReadKey("a").status();
  EXPECT_TRUE(absl::StrContains(refused.message(), "certificate")) << "every caller hears what is wrong: " << refused;

  http::ConsulBackendOptions no_certificate = Trusted();
  no_certificate.cert_file = no_certificate.key_file = "";
  LiveBackend anonymous(no_certificate);
  EXPECT_EQ(anonymous.ReadKey("a").status().code(), absl::StatusCode::kUnavailable);

  http::ConsulBackendOptions unchecked = Trusted();
  unchecked.ca_file = File("other/consul-agent-ca.pem");
  unchecked.verify_tls = false;
  LiveBackend trusting(unchecked);
  EXPECT_TRUE(trusting.ReadKey("a").ok());

  http::ConsulBackendOptions missing_file = Trusted();
  missing_file.ca_file = File("no-such-file.pem");
  LiveBackend misconfigured(missing_file);
  EXPECT_EQ(OutcomeOf(misconfigured.ReadKey("a").status()), "UNAVAILABLE CONSUL_UNAVAILABLE");
}

// A mistake in the options would show as an outage instead.
TEST(ConsulOptionsTest, BadOptionsAreRefused) {
  ThreadPoolScheduler scheduler(1, "test");
  BackendReporter reporter;
  const auto create = [&](const http::ConsulBackendOptions& options) {
    return http::ConsulBackend::Create(options, &scheduler, &reporter).status();
  };
  for (const char* address : {"", "http://", "ftp://x:1", "http://x:8500/path", "http://x:8500?dc=1", "http://u:p@x:1",
                              "http://x:99999", "http://a b"}) {
    http::ConsulBackendOptions options;
    options.address = address;
    EXPECT_EQ(create(options).code(), absl::StatusCode::kInvalidArgument) << address;
  }
  for (const char* address : {"127.0.0.1:8500", "http://[::1]:8500", "https://consul.example/", "localhost"}) {
    http::ConsulBackendOptions options;
    options.address = address;
    EXPECT_TRUE(create(options).ok()) << address << ": " << create(options);
  }
  http::ConsulBackendOptions token;
  token.token = "two\nlines";
  EXPECT_EQ(create(token).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(create(token).message().find("two"), absl::string_view::npos) << "a token is never shown";
  http::ConsulBackendOptions half;
  half.cert_file = "cert.pem";
  EXPECT_EQ(create(half).code(), absl::StatusCode::kInvalidArgument);
  http::ConsulBackendOptions none;
  none.max_connections = 2;
  EXPECT_EQ(create(none).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace meshgate::consul
