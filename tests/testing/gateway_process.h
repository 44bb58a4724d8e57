#ifndef MESHGATE_TESTS_TESTING_GATEWAY_PROCESS_H_
#define MESHGATE_TESTS_TESTING_GATEWAY_PROCESS_H_

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/certificates.h"
#include "tests/testing/child_process.h"

namespace meshgate::testing {

// The real //server:meshgate as a child, on free ports of the loopback. Needs it in the test's `data`.
class GatewayProcess {
 public:
  // `flags` come after those that set the ports. Waits until it says that it listens; check listening(). The arguments
  // of `options`, if any, are a command that runs the gateway, such as {"nice"}.
  explicit GatewayProcess(std::vector<std::string> flags, ChildProcess::Options options = {});

  bool listening() const { return !grpc_address_.empty(); }
  const std::string& grpc_address() const { return grpc_address_; }
  const std::string& http_address() const { return http_address_; }
  ChildProcess& process() { return *process_; }

  // How it is called from here on, where it speaks TLS: whose certificates are taken, and what is shown.
  void CallByTls(Certificates certificates, bool http = true) {
    tls_ = std::move(certificates);
    http_tls_ = http;
  }

  // A channel with a connection of its own.
  std::shared_ptr<grpc::Channel> NewChannel() const;

  // GET over HTTP; nullopt where there is no answer. `code` gets the status.
  std::optional<std::string> Get(const std::string& path, int* code = nullptr) const;

  // The value of a metric as it stands in the exposition, with its labels, e.g. `meshgate_watch_streams{kind="key"}`.
  std::optional<double> Metric(const std::string& name_and_labels) const;

  // Asks until the metric has the value, at most 30 s. Returns whether it has.
  bool WaitForMetric(const std::string& name_and_labels, double value) const;

 private:
  std::unique_ptr<ChildProcess> process_;
  std::string grpc_address_;
  std::string http_address_;
  std::optional<Certificates> tls_;
  bool http_tls_ = false;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_GATEWAY_PROCESS_H_
