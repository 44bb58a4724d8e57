// From what gRPC tells of a finished call to what an outcome says of it.
#ifndef MESHGATE_TESTS_CONFORMANCE_CPP_OUTCOME_H_
#define MESHGATE_TESTS_CONFORMANCE_CPP_OUTCOME_H_

#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"
#include "tests/conformance/conformance.pb.h"
#include "tests/conformance/script.pb.h"

namespace meshgate::conformance {

void TellEnd(const v1::Case& c, const grpc::Status& status, const grpc::ClientContext& context, v1::Outcome* outcome);

void TellReport(const v1::Case& c, const v1::Report& report, v1::Outcome* outcome);

}  // namespace meshgate::conformance

#endif  // MESHGATE_TESTS_CONFORMANCE_CPP_OUTCOME_H_
