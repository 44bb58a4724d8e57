#include "consul/embedded/probers.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/time/clock.h"
#include "consul/base/ip_address.h"
#include "consul/embedded/curl_prober.h"
#include "consul/embedded/grpc_prober.h"
#include "consul/probe_host.h"

namespace meshgate::consul {
namespace {

class AnyProber final : public embedded::Prober {
 public:
  explicit AnyProber(CheckAllowList check_allow) : curl_(std::move(check_allow)) {}

  void Probe(const CheckDefinition& check, absl::Duration timeout, Callback done) override {
    const auto* grpc = std::get_if<GrpcProbe>(&check.probe);
    if (grpc == nullptr) return curl_.Probe(check, timeout, std::move(done));
    const std::optional<std::string_view> host = ProbeHost(check);
    if (!host.has_value() || IpAddress::Parse(*host).has_value()) return grpc_.Probe(check, timeout, std::move(done));
    // gRPC would connect to wherever the name leads.
    const absl::Time end = absl::Now() + timeout;
    curl_.Connect(grpc->target.substr(0, grpc->target.find('/')), timeout,
                  [this, check, end, done = std::move(done)](embedded::ProbeResult found) mutable {
                    if (found.health != Health::kPassing) return done(std::move(found));
                    grpc_.ProbeAt(found.output, check, std::max(end - absl::Now(), absl::Milliseconds(1)),
                                  std::move(done));
                  });
  }

  void Shutdown() override {
    // First, as its callbacks use the other.
    curl_.Shutdown();
    grpc_.Shutdown();
  }

 private:
  embedded::GrpcProber grpc_;
  embedded::CurlProber curl_;
};

}  // namespace

std::unique_ptr<embedded::Prober> MakeProber(CheckAllowList check_allow) {
  return std::make_unique<AnyProber>(std::move(check_allow));
}

}  // namespace meshgate::consul
