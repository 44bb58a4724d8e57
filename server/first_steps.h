#ifndef MESHGATE_SERVER_FIRST_STEPS_H_
#define MESHGATE_SERVER_FIRST_STEPS_H_

#include <string>
#include <vector>

namespace meshgate::server {

// What deploy/run.sh sets to the folder of the sources, and nobody else: the gateway then says what to try.
inline constexpr char kFirstStepsVariable[] = "MESHGATE_FIRST_STEPS";

// What has to be said with a call.
struct FirstStepsTls {
  bool grpc = false;
  // The gateway asks for a certificate.
  bool grpc_client = false;
  bool http = false;
};

// For somebody who has just started a gateway by hand: where it listens, and three commands to try from `folder`, which
// holds bin/meshgatectl. `grpc_addresses` are those that it listens on; the first one is used, by its loopback address
// where it is every address of the host.
std::string FirstSteps(const std::string& folder, const std::vector<std::string>& grpc_addresses,
                       const std::string& http_address, const FirstStepsTls& tls = {});

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_FIRST_STEPS_H_
