#include <sys/resource.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tests/bench/load/http1_channel.h"
#include "tests/bench/peers/peer.h"
#include "tests/bench/peers/programs.h"
#include "tests/testing/consul_agent.h"

namespace meshgate::bench {
namespace {

using ::meshgate::testing::ConsulAgent;

ConsulAgent::Options WithoutLimits() {
  ConsulAgent::Options options;
  // It refuses to start with a limit beyond what its files allow, of which it wants some for itself.
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  options.hcl = absl::StrCat("limits { http_max_conns_per_client = ", files.rlim_max - 1000, " }");
  return options;
}

class Agent final : public ConsulPeer {
 public:
  Agent() : agent_(WithoutLimits()), address_(std::string(absl::StripPrefix(agent_.url(), "http://"))) {}

  bool ready() const { return agent_.ready(); }
  std::string url() const override { return agent_.url(); }
  std::vector<pid_t> pids() const override { return {agent_.pid()}; }

  absl::Status Register(int instances) override {
    for (int i = 0; i < instances; ++i) {
      const std::string body = absl::StrCat(
          R"({"ID":")", kService, "-", i, R"(","Name":")", kService, R"(","Address":"10.0.0.)", i + 1, R"(","Port":)",
          8000 + i, R"(,"Tags":["v1","primary"],"Meta":{"version":"1.2.3"},"Check":{"TTL":"1h","Status":"passing"}})");
      const auto answer = agent_.Call("PUT", "/v1/agent/service/register", body);
      if (answer.code != 200) return absl::InternalError("Consul does not register: " + answer.body);
    }
    return absl::OkStatus();
  }

  bool multiplexes() const override { return false; }

  std::string Request(Method method, std::string_view value) const override {
    switch (method) {
      case Method::kWatch:
        // The value as it is, which costs Consul the least.
        return absl::StrCat("/v1/kv/", kKey, "?raw");
      case Method::kRead:
        return Http("GET", absl::StrCat("/v1/kv/", kKey, "?stale"), "");
      case Method::kWrite:
        return Http("PUT", absl::StrCat("/v1/kv/", kKey), value);
      case Method::kDiscover:
        return Http("GET", absl::StrCat("/v1/health/service/", kService), "");
    }
    return "";
  }

  std::unique_ptr<Channel> Connect(Loop* loop, Method method, ChannelListener* listener) const override {
    const int fd = ConnectTo(address_);
    if (fd < 0) return nullptr;
    return std::make_unique<Http1Channel>(loop, fd, method == Method::kWatch, listener);
  }

 private:
  static std::string Http(const char* verb, const std::string& target, std::string_view body) {
    std::string request = absl::StrCat(verb, " ", target, " HTTP/1.1\r\nHost: bench\r\n");
    if (!body.empty()) absl::StrAppend(&request, "Content-Length: ", body.size(), "\r\n");
    request += "\r\n";
    return request.append(body);
  }

  ConsulAgent agent_;
  const std::string address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ConsulPeer>> MakeConsulPeer() {
  auto found = FindProgram("consul", "./tests/run.sh installs Debian 11's");
  if (!found.ok()) return found;
  auto agent = std::make_unique<Agent>();
  if (!agent->ready()) return absl::InternalError("Consul does not start");
  return agent;
}

absl::StatusOr<std::unique_ptr<Peer>> MakeConsul() { return MakeConsulPeer(); }

}  // namespace meshgate::bench
