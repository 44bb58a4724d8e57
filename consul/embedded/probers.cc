#include "consul/embedded/probers.h"

#include <utility>

#include "consul/embedded/curl_prober.h"
#include "consul/embedded/grpc_prober.h"

namespace meshgate::consul {
namespace {

class AnyProber final : public embedded::Prober {
 public:
  explicit AnyProber(CheckAllowList check_allow) : curl_(std::move(check_allow)) {}

  void Probe(const CheckDefinition& check, absl::Duration timeout, Callback done) override {
    embedded::Prober& prober = std::holds_alternative<GrpcProbe>(check.probe) ? static_cast<embedded::Prober&>(grpc_)
                                                                              : static_cast<embedded::Prober&>(curl_);
    prober.Probe(check, timeout, std::move(done));
  }

  void Shutdown() override {
    curl_.Shutdown();
    grpc_.Shutdown();
  }

 private:
  embedded::CurlProber curl_;
  embedded::GrpcProber grpc_;
};

}  // namespace

std::unique_ptr<embedded::Prober> MakeProber(CheckAllowList check_allow) {
  return std::make_unique<AnyProber>(std::move(check_allow));
}

}  // namespace meshgate::consul
