// Cases of the services that gRPC brings: health and reflection.
#ifndef MESHGATE_TESTS_CONFORMANCE_CPP_STANDARD_CASES_H_
#define MESHGATE_TESTS_CONFORMANCE_CPP_STANDARD_CASES_H_

#include <memory>

#include "grpcpp/channel.h"
#include "tests/conformance/script.pb.h"

namespace meshgate::conformance {

bool IsStandardCase(const v1::Case& c);
v1::Outcome RunStandardCase(const std::shared_ptr<grpc::Channel>& channel, const v1::Case& c);

}  // namespace meshgate::conformance

#endif  // MESHGATE_TESTS_CONFORMANCE_CPP_STANDARD_CASES_H_
