// Agents that do not know all that is registered.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "consul/base/mutex.h"
#include "consul/base/thread_pool_scheduler.h"
#include "consul/http/consul_backend.h"
#include "tests/testing/pending.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::consul::http {
namespace {

using testing::Pending;
using testing::TinyHttpServer;

constexpr char kTooOld[] = "Request decode error: json: unknown field \"DisableRedirects\"";

// Refuses registrations that have `field` in them, with 400 and `error`, and takes others.
class Agent {
 public:
  Agent(std::string field, std::string error)
      : field_(std::move(field)),
        error_(std::move(error)),
        server_([this](TinyHttpServer::Connection& connection) { Serve(connection); }) {}

  absl::Status Register(const Registration& registration) {
    ThreadPoolScheduler scheduler(1, "old");
    BackendReporter reporter;
    ConsulBackendOptions options;
    options.address = absl::StrCat("http://127.0.0.1:", server_.port());
    options.on_redirects_followed = [this](std::string_view id) { followed_.emplace_back(id); };
    auto backend = ConsulBackend::Create(options, &scheduler, &reporter);
    if (!backend.ok()) return backend.status();
    Pending<absl::Status> pending;
    (*backend)->Register(registration, {}, pending.Callback());
    const auto status = pending.Get(absl::Seconds(30));
    (*backend)->Shutdown();
    return status.value_or(absl::DeadlineExceededError("no answer"));
  }

  std::vector<std::string> registrations() {
    MutexLock lock(mu_);
    return registrations_;
  }
  // Of whose registration it was said that its checks follow redirects.
  const std::vector<std::string>& followed() const { return followed_; }

 private:
  void Serve(TinyHttpServer::Connection& connection) {
    const std::string request = connection.ReadRequest();
    int code = 200;
    std::string body = "\"127.0.0.1:8300\"";
    if (absl::StartsWith(request, "PUT /v1/agent/service/register")) {
      MutexLock lock(mu_);
      registrations_.push_back(request);
      code = absl::StrContains(request, field_) ? 400 : 200;
      body = code == 400 ? error_ : "";
    }
    connection.Write(absl::StrCat("HTTP/1.1 ", code, " Said\r\nConnection: close\r\nContent-Length: ", body.size(),
                                  "\r\n\r\n", body));
  }

  const std::string field_, error_;
  std::vector<std::string> followed_;
  Mutex mu_;
  std::vector<std::string> registrations_ ABSL_GUARDED_BY(mu_);
  TinyHttpServer server_;
};

Registration Web(const CheckDefinition& check) {
  Registration registration;
  registration.id = registration.service = "web";
  registration.address = "10.0.0.5";
  registration.checks = {check};
  return registration;
}

CheckDefinition HttpCheck() {
  CheckDefinition check;
  check.probe = HttpProbe{"http://10.0.0.5/", "", {}, false};
  check.interval = absl::Seconds(10);
  return check;
}

// Nothing with an HTTP check could be registered with an old agent; or nobody would learn that its checks go wherever
// instances send them.
TEST(OldAgentTest, IsNotToldOfRedirectsAndThatIsSaid) {
  Agent agent("DisableRedirects", kTooOld);
  EXPECT_EQ(agent.Register(Web(HttpCheck())), absl::OkStatus());
  const auto registrations = agent.registrations();
  ASSERT_EQ(registrations.size(), 2u);
  EXPECT_TRUE(absl::StrContains(registrations[0], "\"DisableRedirects\":true"));
  EXPECT_FALSE(absl::StrContains(registrations[1], "DisableRedirects"));
  EXPECT_TRUE(absl::StrContains(registrations[1], "\"HTTP\":\"http://10.0.0.5/\""));
  EXPECT_EQ(agent.followed(), std::vector<std::string>{"web"});
}

// One that knows of it would lose the protection for whatever else it refuses.
TEST(OldAgentTest, OtherRefusalsStand) {
  for (const char* error : {"Request decode error: json: unknown field \"Interval\"", "Invalid check: bad interval"}) {
    Agent agent("web", error);
    EXPECT_EQ(agent.Register(Web(HttpCheck())).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(agent.registrations().size(), 1u) << error;
    EXPECT_TRUE(agent.followed().empty());
  }
  CheckDefinition ttl;
  ttl.probe = TtlProbe{absl::Seconds(10)};
  Agent agent("web", kTooOld);
  EXPECT_EQ(agent.Register(Web(ttl)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(agent.registrations().size(), 1u) << "it has no HTTP check";
}

}  // namespace
}  // namespace meshgate::consul::http
