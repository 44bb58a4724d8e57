#ifndef MESHGATE_TESTS_FAULT_CONSUL_CLIENT_H_
#define MESHGATE_TESTS_FAULT_CONSUL_CLIENT_H_

#include <curl/curl.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "tests/fault/history.h"

namespace meshgate::fault {

// Somebody who talks to a Consul agent without the gateway, over one connection that is kept. One thread at a time.
class ConsulClient {
 public:
  struct Answer {
    int code = 0;      // 0: there was none
    bool sent = true;  // false: there was no connection, so nothing can have been applied
    std::string body;

    bool ok() const { return code == 200; }
  };

  ConsulClient(std::string url, absl::Duration timeout);

  Answer Call(const std::string& method, const std::string& target, const std::string& body = "");

  // What is below a prefix, or of a service, as a quorum holds it; absent where it can't be had.
  std::optional<Holding> ReadPrefix(const std::string& prefix);
  std::optional<Holding> ReadService(const std::string& service);
  std::optional<Holding> Read(const Target& target);

 private:
  const std::string url_;
  const absl::Duration timeout_;
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy_;
};

// The name and the value under which an instance is known here.
std::string InstanceVersion(const Numbered& numbered);
std::optional<Numbered> ParseInstanceVersion(const std::string& version);
constexpr char kVersionMeta[] = "version";

}  // namespace meshgate::fault

#endif  // MESHGATE_TESTS_FAULT_CONSUL_CLIENT_H_
