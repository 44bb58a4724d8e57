#include "tests/conformance/cpp/standard_cases.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "grpcpp/client_context.h"
#include "tests/conformance/cpp/case_call.h"
#include "tests/conformance/cpp/outcome.h"

namespace meshgate::conformance {
namespace {

namespace health = ::grpc::health::v1;
namespace reflection = ::grpc::reflection::v1alpha;

void AddAnswer(const health::HealthCheckResponse& response, v1::Outcome* outcome) {
  outcome->add_answers(health::HealthCheckResponse::ServingStatus_Name(response.status()));
}

void AddAnswers(const reflection::ServerReflectionResponse& response, const std::string& symbol, v1::Outcome* outcome) {
  if (response.has_error_response()) {
    outcome->add_answers(absl::StrCat("error ", response.error_response().error_code()));
    return;
  }
  std::vector<std::string> names;
  for (const auto& service : response.list_services_response().service()) names.push_back(service.name());
  for (const auto& serialized : response.file_descriptor_response().file_descriptor_proto()) {
    google::protobuf::FileDescriptorProto file;
    if (!file.ParseFromString(serialized)) continue;
    for (const auto& service : file.service()) {
      if (absl::StrCat(file.package(), ".", service.name()) != symbol) continue;
      for (const auto& method : service.method()) names.push_back(method.name());
    }
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) outcome->add_answers(name);
}

grpc::Status Check(health::Health::Stub* stub, const v1::Case& c, grpc::ClientContext* context, v1::Outcome* outcome) {
  health::HealthCheckRequest request;
  request.set_service(c.health_service());
  health::HealthCheckResponse response;
  grpc::Status status = stub->Check(context, request, &response);
  if (status.ok()) AddAnswer(response, outcome);
  return status;
}

grpc::Status Watch(health::Health::Stub* stub, const v1::Case& c, grpc::ClientContext* context, v1::Outcome* outcome) {
  health::HealthCheckRequest request;
  request.set_service(c.health_service());
  const auto stream = stub->Watch(context, request);
  health::HealthCheckResponse response;
  if (stream->Read(&response)) AddAnswer(response, outcome);
  context->TryCancel();
  while (stream->Read(&response)) AddAnswer(response, outcome);
  return stream->Finish();
}

grpc::Status Reflect(reflection::ServerReflection::Stub* stub, const v1::Case& c, grpc::ClientContext* context,
                     v1::Outcome* outcome) {
  reflection::ServerReflectionRequest request;
  if (c.symbol().empty()) {
    request.set_list_services("*");
  } else {
    request.set_file_containing_symbol(c.symbol());
  }
  const auto stream = stub->ServerReflectionInfo(context);
  stream->Write(request);
  stream->WritesDone();
  reflection::ServerReflectionResponse response;
  while (stream->Read(&response)) AddAnswers(response, c.symbol(), outcome);
  return stream->Finish();
}

}  // namespace

bool IsStandardCase(const v1::Case& c) { return absl::StartsWith(c.method(), "Health/") || c.method() == "Reflection"; }

v1::Outcome RunStandardCase(const std::shared_ptr<grpc::Channel>& channel, const v1::Case& c) {
  v1::Outcome outcome;
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
  grpc::Status status;
  if (c.method() == "Reflection") {
    status = Reflect(reflection::ServerReflection::NewStub(channel).get(), c, &context, &outcome);
  } else {
    const auto stub = health::Health::NewStub(channel);
    status = (c.method() == "Health/Check" ? Check : Watch)(stub.get(), c, &context, &outcome);
  }
  TellEnd(c, status, context, &outcome);
  return outcome;
}

}  // namespace meshgate::conformance
