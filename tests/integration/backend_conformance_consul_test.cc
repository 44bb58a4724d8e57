#include "tests/integration/backend_conformance.h"
#include "tests/integration/consul_under_test.h"

namespace meshgate::consul {
namespace {

INSTANTIATE_TEST_SUITE_P(Consul, BackendConformance, ::testing::Values(HttpBackendFactory()), ConformanceName);

}  // namespace
}  // namespace meshgate::consul
