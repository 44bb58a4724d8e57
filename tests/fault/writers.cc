#include "tests/fault/writers.h"

#include <chrono>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/rpc/status.pb.h"

namespace meshgate::fault {
namespace {

std::string ServiceOf(const std::string& id) { return id.substr(0, id.rfind('-')); }

Write Put(std::vector<std::string> names, const Numbered& value) {
  Write write;
  write.names = std::move(names);
  write.value = value;
  return write;
}

Write Delete(std::vector<std::string> names) {
  Write write;
  write.kind = Write::Kind::kDelete;
  write.names = std::move(names);
  return write;
}

std::string Operation(const std::string& verb, const std::string& key, const std::string& value) {
  return absl::StrCat(R"({"KV":{"Verb":")", verb, R"(","Key":")", key, R"(","Value":")", absl::Base64Escape(value),
                      R"("}})");
}

// What the gateway's answer says of a write. An error that it gives itself names its reason, and is a promise that
// nothing was applied unless the reason is that this is not known; any other (the gateway died) promises nothing.
Outcome OutcomeOf(const grpc::Status& status) {
  if (status.ok()) return Outcome::kAcknowledged;
  google::rpc::Status rpc;
  if (!rpc.ParseFromString(status.error_details())) return Outcome::kUnknown;
  for (const auto& detail : rpc.details()) {
    google::rpc::ErrorInfo info;
    if (!detail.UnpackTo(&info)) continue;
    const bool open = info.reason() == "WRITE_OUTCOME_UNKNOWN" ||
                      status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
                      status.error_code() == grpc::StatusCode::INTERNAL;
    return open ? Outcome::kUnknown : Outcome::kRefused;
  }
  return Outcome::kUnknown;
}

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kWriteTimeout));
}

}  // namespace

Outcome AgentWriter::Note(Write write, const std::string& method, const std::string& target, const std::string& body) {
  const size_t number = history_->Begun(std::move(write));
  const ConsulClient::Answer answer = consul_.Call(method, target, body);
  Outcome outcome = Outcome::kUnknown;
  if (answer.ok()) {
    outcome = Outcome::kAcknowledged;
  } else if (!answer.sent || (answer.code >= 400 && answer.code < 500)) {
    outcome = Outcome::kRefused;
  }
  history_->Ended(number, outcome);
  return outcome;
}

Outcome AgentWriter::Put(const std::string& key, size_t size, Numbered* value) {
  const Numbered next = versions_.Next(key);
  if (value != nullptr) *value = next;
  return Note(fault::Put({key}, next), "PUT", absl::StrCat("/v1/kv/", key), ToValue(key, next, size));
}

Outcome AgentWriter::Delete(const std::string& key) {
  return Note(fault::Delete({key}), "DELETE", absl::StrCat("/v1/kv/", key), "");
}

Outcome AgentWriter::PutAll(const std::vector<std::string>& keys) {
  const Numbered value = versions_.Next(keys.front());
  std::vector<std::string> operations;
  for (const std::string& key : keys) operations.push_back(Operation("set", key, ToValue(key, value)));
  return Note(fault::Put(keys, value), "PUT", "/v1/txn", absl::StrCat("[", absl::StrJoin(operations, ","), "]"));
}

Outcome AgentWriter::DeleteAll(const std::vector<std::string>& keys) {
  std::vector<std::string> operations;
  for (const std::string& key : keys) operations.push_back(Operation("delete", key, ""));
  return Note(fault::Delete(keys), "PUT", "/v1/txn", absl::StrCat("[", absl::StrJoin(operations, ","), "]"));
}

Outcome AgentWriter::Register(const std::string& id, bool passing) {
  const Numbered value = versions_.Next(id);
  return Note(fault::Put({id}, value), "PUT", "/v1/agent/service/register",
              absl::StrCat(R"({"ID":")", id, R"(","Name":")", ServiceOf(id), R"(","Meta":{")", kVersionMeta, R"(":")",
                           InstanceVersion(value), R"("},"Check":{"TTL":"3600s","Status":")",
                           passing ? "passing" : "critical", R"("}})"));
}

Outcome AgentWriter::Deregister(const std::string& id) {
  return Note(fault::Delete({id}), "PUT", absl::StrCat("/v1/agent/service/deregister/", id), "");
}

void AgentWriter::SetHealth(const std::string& id, bool passing) {
  consul_.Call("PUT", absl::StrCat("/v1/agent/check/", passing ? "pass" : "fail", "/service:", id));
}

GatewayWriter::GatewayWriter(History* history, int writer, const std::string& address)
    : history_(history),
      versions_(writer),
      channel_([&] {
        grpc::ChannelArguments arguments;
        arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
        arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
        arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
        arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
        arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
        return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
      }()),
      config_(v1::ConfigService::NewStub(channel_)),
      registry_(v1::RegistryService::NewStub(channel_)) {}

Outcome GatewayWriter::Send(const std::string& key, const Numbered& value, size_t size,
                            std::optional<uint64_t> if_modify_index) {
  Write write = fault::Put({key}, value);
  write.conditional = if_modify_index.has_value();
  const size_t number = history_->Begun(std::move(write));
  grpc::ClientContext context;
  SetDeadline(context);
  v1::PutConfigRequest request;
  request.set_key(key);
  request.set_value(ToValue(key, value, size));
  if (if_modify_index.has_value()) request.set_if_modify_index(*if_modify_index);
  v1::PutConfigResponse response;
  const Outcome outcome = OutcomeOf(config_->PutConfig(&context, request, &response));
  history_->Ended(number, outcome, response.entry().modify_index());
  return outcome;
}

Outcome GatewayWriter::Put(const std::string& key, size_t size) {
  return Send(key, versions_.Next(key), size, std::nullopt);
}

Outcome GatewayWriter::Increment(const std::string& key) {
  v1::GetConfigRequest request;
  request.set_key(key);
  request.mutable_options()->set_consistency(v1::CONSISTENCY_DEFAULT);
  v1::GetConfigResponse response;
  grpc::ClientContext context;
  SetDeadline(context);
  const grpc::Status status = config_->GetConfig(&context, request, &response);
  if (!status.ok() && status.error_code() != grpc::StatusCode::NOT_FOUND) return Outcome::kRefused;
  const auto held = FromValue(key, response.entry().value());
  const Numbered value = versions_.After(key, held.has_value() ? held->version : 0);
  return Send(key, value, 0, response.entry().modify_index());
}

Outcome GatewayWriter::Delete(const std::string& key) {
  const size_t number = history_->Begun(fault::Delete({key}));
  grpc::ClientContext context;
  SetDeadline(context);
  v1::DeleteConfigRequest request;
  request.set_key(key);
  v1::DeleteConfigResponse response;
  const Outcome outcome = OutcomeOf(config_->DeleteConfig(&context, request, &response));
  history_->Ended(number, outcome);
  return outcome;
}

Outcome GatewayWriter::Register(const std::string& id, bool passing) {
  const Numbered value = versions_.Next(id);
  const size_t number = history_->Begun(fault::Put({id}, value));
  grpc::ClientContext context;
  SetDeadline(context);
  v1::RegisterRequest request;
  v1::ServiceInstance& instance = *request.mutable_instance();
  instance.set_id(id);
  instance.set_service(ServiceOf(id));
  (*instance.mutable_meta())[kVersionMeta] = InstanceVersion(value);
  v1::HealthCheck& check = *request.add_checks();
  check.mutable_ttl()->set_seconds(3600);
  check.set_initial_status(passing ? v1::HEALTH_STATUS_PASSING : v1::HEALTH_STATUS_CRITICAL);
  v1::RegisterResponse response;
  const Outcome outcome = OutcomeOf(registry_->Register(&context, request, &response));
  history_->Ended(number, outcome);
  return outcome;
}

Outcome GatewayWriter::Deregister(const std::string& id) {
  const size_t number = history_->Begun(fault::Delete({id}));
  grpc::ClientContext context;
  SetDeadline(context);
  v1::DeregisterRequest request;
  request.set_id(id);
  v1::DeregisterResponse response;
  const Outcome outcome = OutcomeOf(registry_->Deregister(&context, request, &response));
  history_->Ended(number, outcome);
  return outcome;
}

}  // namespace meshgate::fault
