// Holds the probes of the embedded backend to the contract of every backend.
#include <memory>
#include <utility>

#include "consul/base/thread_pool_scheduler.h"
#include "consul/embedded/embedded_backend.h"
#include "consul/embedded/probers.h"
#include "gtest/gtest.h"
#include "tests/integration/backend_conformance.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::consul {
namespace {

class EmbeddedUnderTest final : public BackendUnderTest {
 public:
  EmbeddedUnderTest() {
    EmbeddedOptions options;
    options.data_dir = directory_.path() + "/data";
    options.scheduler = &scheduler_;
    options.prober = MakeProber(options.check_allow);
    auto opened = EmbeddedBackend::Open(std::move(options));
    EXPECT_TRUE(opened.ok()) << opened.status();
    backend_ = *std::move(opened);
  }

  Backend& backend() override { return *backend_; }

 private:
  testing::TempDir directory_;
  ThreadPoolScheduler scheduler_{2, "test"};
  std::unique_ptr<EmbeddedBackend> backend_;
};

INSTANTIATE_TEST_SUITE_P(Embedded, BackendProbeConformance,
                         ::testing::Values(BackendFactory{"Embedded",
                                                          [] { return std::make_unique<EmbeddedUnderTest>(); }}),
                         ConformanceName);

}  // namespace
}  // namespace meshgate::consul
