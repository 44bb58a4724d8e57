#ifndef MESHGATE_TESTS_INTEGRATION_CONSUL_UNDER_TEST_H_
#define MESHGATE_TESTS_INTEGRATION_CONSUL_UNDER_TEST_H_

#include "tests/integration/backend_conformance.h"

namespace meshgate::consul {

// The backend over HTTP, with one real agent behind it that all tests of the process share.
BackendFactory HttpBackendFactory();

}  // namespace meshgate::consul

#endif  // MESHGATE_TESTS_INTEGRATION_CONSUL_UNDER_TEST_H_
