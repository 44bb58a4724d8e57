#include "tests/integration/consul_under_test.h"

#include <memory>
#include <string>
#include <utility>

#include "consul/base/thread_pool_scheduler.h"
#include "consul/http/consul_backend.h"
#include "consul/reporter.h"
#include "tests/testing/consul_agent.h"

namespace meshgate::consul {
namespace {

// Made by the first test, on the main thread, and never destroyed: it ends with the process.
testing::ConsulAgent& SharedAgent() {
  static auto* const agent = new testing::ConsulAgent();
  return *agent;
}

class ConsulUnderTest final : public BackendUnderTest {
 public:
  explicit ConsulUnderTest(const std::string& url) {
    http::ConsulBackendOptions options;
    options.address = url;
    auto backend = http::ConsulBackend::Create(options, &scheduler_, &reporter_);
    EXPECT_TRUE(backend.ok()) << backend.status();
    backend_ = *std::move(backend);
  }

  Backend& backend() override { return *backend_; }

 private:
  ThreadPoolScheduler scheduler_{2, "test"};
  BackendReporter reporter_;
  std::unique_ptr<Backend> backend_;
};

}  // namespace

BackendFactory HttpBackendFactory() {
  return {"Http", []() -> std::unique_ptr<BackendUnderTest> {
            if (!SharedAgent().ready()) return nullptr;
            return std::make_unique<ConsulUnderTest>(SharedAgent().url());
          }};
}

}  // namespace meshgate::consul
