#ifndef MESHGATE_TESTS_INTEGRATION_CONSUL_API_CALLS_H_
#define MESHGATE_TESTS_INTEGRATION_CONSUL_API_CALLS_H_

#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/server/http/raw_client.h"
#include "tests/testing/consul_agent.h"

namespace meshgate::testing {

// What came back for a request, to the last byte.
struct ApiAnswer {
  std::string bytes;

  // 0: nothing came.
  int status() const { return bytes.size() < 12 ? 0 : std::atoi(bytes.c_str() + 9); }
  std::string head() const { return bytes.substr(0, bytes.find("\r\n\r\n")); }
  std::string body() const {
    const size_t end = bytes.find("\r\n\r\n");
    return end == std::string::npos ? "" : bytes.substr(end + 4);
  }
  // Empty where it has none.
  std::string header(absl::string_view name) const {
    const std::string all = head();
    for (const absl::string_view line : absl::StrSplit(all, "\r\n")) {
      const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(": ", 1));
      if (absl::AsciiStrToLower(parts.first) == absl::AsciiStrToLower(name)) return std::string(parts.second);
    }
    return "";
  }
  uint64_t index() const { return std::strtoull(header("X-Consul-Index").c_str(), nullptr, 10); }
  bool Holds(const std::string& text) const { return bytes.find(text) != std::string::npos; }
};

// A request to Consul's API, by bytes, on a connection of its own that ends with it: as long as it is there somebody
// waits for its answer. `address` is "127.0.0.1:PORT".
class ApiCall {
 public:
  ApiCall(const std::string& address, const std::string& method, const std::string& target,
          const std::string& token = "", const std::string& body = "")
      : client_(address) {
    client_.Send(absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: ", address, "\r\n",
                              token.empty() ? "" : "X-Consul-Token: " + token + "\r\n", "Content-Length: ", body.size(),
                              "\r\nConnection: close\r\n\r\n", body));
  }

  // Until the other side has closed, or has said nothing for 30 s.
  ApiAnswer Wait() {
    // No answer has it.
    return {client_.ReceiveUntil(std::string("\0\0\0\0\0\0\0\0", 8))};
  }

 private:
  RawClient client_;
};

inline ApiAnswer CallApi(const std::string& address, const std::string& method, const std::string& target,
                         const std::string& token = "", const std::string& body = "") {
  return ApiCall(address, method, target, token, body).Wait();
}

inline std::string AddressOf(const ConsulAgent& agent) { return absl::StrCat("127.0.0.1:", agent.http_port()); }

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_INTEGRATION_CONSUL_API_CALLS_H_
