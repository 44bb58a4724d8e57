#ifndef MESHGATE_TESTS_INTEGRATION_AUTH_CALLS_H_
#define MESHGATE_TESTS_INTEGRATION_AUTH_CALLS_H_

#include <string>

#include "tests/integration/auth_fixture.h"
#include "tests/integration/every_call.h"

namespace meshgate::testing {

// Every RPC by callers with tokens.
class AuthCalls : public EveryCall<AuthFixture> {
 protected:
  // May do everything that the calls do.
  static constexpr char kAllowed[] =
      R"(key_prefix "app/" { policy = "write" } service_prefix "web" { policy = "write" })"
      R"( node_prefix "" { policy = "read" })";
  // May do something else.
  static constexpr char kElse[] = R"(key_prefix "else/" { policy = "write" } service "else" { policy = "write" })";

  // Tokens 1 and 3 may do everything, 2 something else; the key has `value`, and there is an instance.
  void MakeCallers(const std::string& value) {
    MakePolicy("allowed", kAllowed);
    MakePolicy("else", kElse);
    MakeToken(Secret(1), "allowed");
    MakeToken(Secret(2), "else");
    MakeToken(Secret(3), "allowed");
    Put("app/k", value);
    RegisterAtConsul("web", "web-1");
  }
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_INTEGRATION_AUTH_CALLS_H_
