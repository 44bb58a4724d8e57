// Consul's ACL tokens, by which a gateway with --auth=consul knows its callers.
//
//   options.token = meshgate::client::TokenFile("/run/secrets/consul-token");
#ifndef MESHGATE_CLIENT_TOKEN_H_
#define MESHGATE_CLIENT_TOKEN_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace grpc {
class ClientContext;
}

namespace meshgate::client {

// Asked before each call. Thread-safe.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  // Empty: no token. An error fails the call, and never holds a token.
  virtual absl::StatusOr<std::string> Token() = 0;
};

// Always the same. FAILED_PRECONDITION for each call where it can be no token.
std::shared_ptr<TokenSource> StaticToken(std::string token);

// What the file holds, without white space at its ends, read again when the file has changed. Once there has been a
// token it stays while the file cannot be read or holds none, so that it may be replaced in any way; before that, calls
// fail with FAILED_PRECONDITION that names the file.
std::shared_ptr<TokenSource> TokenFile(std::string path);

// OK, or FAILED_PRECONDITION: not 1 to 4,096 printable characters of ASCII without spaces. `source` begins the message.
absl::Status CheckToken(const std::string& token, const std::string& source);

// Whether what is sent to `endpoint` (ClientOptions::endpoint) certainly stays on this host: a socket, localhost or a
// loopback address.
bool StaysOnHost(const std::string& endpoint);

// Sends `token`, if it is not empty, with a call that has not been made yet.
void AttachToken(const std::string& token, grpc::ClientContext* context);

}  // namespace meshgate::client

#endif  // MESHGATE_CLIENT_TOKEN_H_
