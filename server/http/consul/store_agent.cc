#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "consul/base/errors.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/time_util.h"
#include "server/http/api/json.h"
#include "server/http/consul/field_name.h"
#include "server/http/consul/store_handlers.h"
#include "server/http/consul/store_reply.h"

namespace meshgate::server::consul_api {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

absl::Status Unknown(const std::string& field) {
  return MakeError(absl::StatusCode::kUnimplemented, kNotServed,
                   absl::StrCat(field, ": is not served here: leave it out"));
}

// Takes the fields of an object one after the other; the first that does not fit is the error.
class Fields {
 public:
  Fields(std::string prefix, const Value& value) : prefix_(std::move(prefix)) {
    if (value.has_struct_value()) {
      object_ = &value.struct_value();
    } else if (!value.has_null_value()) {
      Fail("must be an object");
    }
  }

  template <typename Read>
  void Each(Read read) {
    if (object_ == nullptr) return;
    for (const auto& [name, value] : object_->fields()) {
      field_ = absl::StrCat(prefix_, name);
      // Nothing is as good as not said, as for Go.
      if (!value.has_null_value()) read(FieldName(name), value);
      if (!status_.ok()) return;
    }
  }

  const std::string& field() const { return field_; }
  const absl::Status& status() const { return status_; }
  void Take(const absl::Status& status) {
    if (status_.ok()) status_ = status;
  }
  void Fail(std::string_view what) { Take(InvalidField(field_.empty() ? "body" : field_, what)); }

  std::string Text(const Value& value) {
    if (!value.has_string_value()) Fail("must be a string");
    return value.string_value();
  }
  bool Flag(const Value& value) {
    if (!value.has_bool_value()) Fail("must be true or false");
    return value.bool_value();
  }
  int32_t Number(const Value& value) {
    const double number = value.number_value();
    // What is beyond the type must not be converted to it.
    const bool fits = number >= std::numeric_limits<int32_t>::min() && number <= std::numeric_limits<int32_t>::max();
    if (!value.has_number_value() || !fits || number != static_cast<int32_t>(number)) {
      Fail("must be a whole number");
      return 0;
    }
    return static_cast<int32_t>(number);
  }
  // "10s", or nanoseconds.
  google::protobuf::Duration Time(const Value& value) {
    absl::Duration time;
    if (value.has_number_value()) {
      time = absl::Nanoseconds(value.number_value());
    } else if (!absl::ParseDuration(value.string_value(), &time) || time == absl::InfiniteDuration()) {
      Fail("must be a time with its unit, such as 10s");
    }
    return google::protobuf::util::TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(time));
  }
  const google::protobuf::RepeatedPtrField<Value>& List(const Value& value) {
    if (!value.has_list_value()) Fail("must be a list");
    return value.list_value().values();
  }
  template <typename Map>
  void Pairs(const Value& value, Map* map) {
    if (!value.has_struct_value()) return Fail("must be an object");
    for (const auto& [name, one] : value.struct_value().fields()) (*map)[name] = Text(one);
  }

 private:
  const std::string prefix_;
  const Struct* object_ = nullptr;
  std::string field_;
  absl::Status status_;
};

v1::HealthStatus StatusOf(const std::string& text) {
  if (text == "passing") return v1::HEALTH_STATUS_PASSING;
  if (text == "warning") return v1::HEALTH_STATUS_WARNING;
  if (text == "critical") return v1::HEALTH_STATUS_CRITICAL;
  return v1::HEALTH_STATUS_UNSPECIFIED;
}

absl::Status ReadCheck(const std::string& field, const Value& value, v1::HealthCheck* check) {
  Fields fields(field + ".", value);
  std::optional<std::string> method;
  std::map<std::string, std::string> headers;
  bool skip_verify = false, grpc_tls = false;
  fields.Each([&](const std::string& name, const Value& one) {
    if (name == "http") {
      check->mutable_http()->set_url(fields.Text(one));
    } else if (name == "tcp") {
      check->mutable_tcp()->set_address(fields.Text(one));
    } else if (name == "grpc") {
      check->mutable_grpc()->set_target(fields.Text(one));
    } else if (name == "ttl") {
      *check->mutable_ttl() = fields.Time(one);
    } else if (name == "name") {
      check->set_name(fields.Text(one));
    } else if (name == "interval") {
      *check->mutable_interval() = fields.Time(one);
    } else if (name == "timeout") {
      *check->mutable_timeout() = fields.Time(one);
    } else if (name == "deregistercriticalserviceafter") {
      *check->mutable_deregister_critical_after() = fields.Time(one);
    } else if (name == "status") {
      const std::string status = fields.Text(one);
      check->set_initial_status(StatusOf(status));
      if (!status.empty() && check->initial_status() == v1::HEALTH_STATUS_UNSPECIFIED) {
        fields.Fail("must be passing, warning or critical");
      }
    } else if (name == "method") {
      method = fields.Text(one);
    } else if (name == "header") {
      if (!one.has_struct_value()) return fields.Fail("must be an object");
      for (const auto& [header, list] : one.struct_value().fields()) {
        if (list.list_value().values_size() != 1) return fields.Fail("must have one value for each name");
        headers[header] = fields.Text(list.list_value().values(0));
      }
    } else if (name == "tlsskipverify") {
      skip_verify = fields.Flag(one);
    } else if (name == "grpcusetls") {
      grpc_tls = fields.Flag(one);
    } else if (name == "checkid" || name == "id" || name == "notes") {
      fields.Text(one);
    } else {
      fields.Take(Unknown(fields.field()));
    }
  });
  if (check->has_http()) {
    if (method.has_value()) check->mutable_http()->set_method(*method);
    for (const auto& [name, header] : headers) (*check->mutable_http()->mutable_headers())[name] = header;
    check->mutable_http()->set_tls_skip_verify(skip_verify);
  }
  if (check->has_grpc()) check->mutable_grpc()->set_use_tls(grpc_tls);
  return fields.status();
}

absl::Status ReadWeights(const Value& value, v1::Weights* weights) {
  Fields fields("Weights.", value);
  fields.Each([&](const std::string& name, const Value& one) {
    if (name == "passing") weights->set_passing(fields.Number(one));
    if (name == "warning") weights->set_warning(fields.Number(one));
  });
  return fields.status();
}

absl::Status ReadService(const Value& value, v1::RegisterRequest* request) {
  v1::ServiceInstance* const instance = request->mutable_instance();
  Fields fields("", value);
  fields.Each([&](const std::string& name, const Value& one) {
    if (name == "name" || name == "service") {
      instance->set_service(fields.Text(one));
    } else if (name == "id") {
      instance->set_id(fields.Text(one));
    } else if (name == "address") {
      instance->set_address(fields.Text(one));
    } else if (name == "port") {
      const int32_t port = fields.Number(one);
      if (port < 0) return fields.Fail("must be from 0 to 65535");
      instance->set_port(static_cast<uint32_t>(port));
    } else if (name == "tags") {
      for (const Value& tag : fields.List(one)) instance->add_tags(fields.Text(tag));
    } else if (name == "meta") {
      fields.Pairs(one, instance->mutable_meta());
    } else if (name == "weights") {
      fields.Take(ReadWeights(one, instance->mutable_weights()));
    } else if (name == "check") {
      fields.Take(ReadCheck(fields.field(), one, request->add_checks()));
    } else if (name == "checks") {
      int number = 0;
      for (const Value& check : fields.List(one)) {
        fields.Take(ReadCheck(absl::StrCat(fields.field(), "[", number++, "]"), check, request->add_checks()));
      }
    } else if (name == "enabletagoverride") {
      if (fields.Flag(one)) fields.Take(Unknown(fields.field()));
    } else {
      fields.Take(Unknown(fields.field()));
    }
  });
  // Consul takes the service's name for an id that is not given.
  if (instance->id().empty()) instance->set_id(instance->service());
  return fields.status();
}

absl::StatusOr<Value> ParseBody(const std::string& body) {
  Value parsed;
  if (absl::Status status = api::FromJson(body, &parsed); !status.ok()) return status;
  return parsed;
}

// Consul says nothing where it has done what it was asked.
template <typename Response>
Reply<Response> ReplyNothing(const SharedRequest& request) {
  return ReplyWith<Response>(request, [](const absl::StatusOr<Response>& response) {
    if (!response.ok()) return ErrorAnswer(response.status());
    HttpResponse nothing;
    nothing.content_type.clear();
    return nothing;
  });
}

void Report(const SharedRequest& request, v1::HealthStatus status, const std::string& note) {
  // Each instance has one TTL check at most, which is named after it; the second and later ones have a number.
  absl::string_view id = request->http().variable("id");
  if (!absl::ConsumePrefix(&id, "service:")) {
    return request->Fail(MakeError(absl::StatusCode::kNotFound, reason::kInstanceNotFound,
                                   "there is no such check; an instance's is \"service:\" and its id"));
  }
  v1::HeartbeatRequest heartbeat;
  heartbeat.set_id(std::string(id));
  heartbeat.set_status(status);
  heartbeat.set_note(note);
  request->sources().registry->Heartbeat(heartbeat, request->caller(), ReplyNothing<v1::HeartbeatResponse>(request));
}

std::string NoteOf(const SharedRequest& request) { return request->parameters().value("note"); }

}  // namespace

void StoreRegister(const SharedRequest& request) {
  const absl::StatusOr<Value> body = ParseBody(request->http().body);
  if (!body.ok()) return request->Fail(body.status());
  v1::RegisterRequest registration;
  if (absl::Status read = ReadService(*body, &registration); !read.ok()) return request->Fail(read);
  request->sources().registry->Register(registration, request->caller(), ReplyNothing<v1::RegisterResponse>(request));
}

void StoreDeregister(const SharedRequest& request) {
  v1::DeregisterRequest deregister;
  deregister.set_id(request->http().variable("id"));
  request->sources().registry->Deregister(deregister, request->caller(), ReplyNothing<v1::DeregisterResponse>(request));
}

void StorePassCheck(const SharedRequest& request) { Report(request, v1::HEALTH_STATUS_PASSING, NoteOf(request)); }
void StoreWarnCheck(const SharedRequest& request) { Report(request, v1::HEALTH_STATUS_WARNING, NoteOf(request)); }
void StoreFailCheck(const SharedRequest& request) { Report(request, v1::HEALTH_STATUS_CRITICAL, NoteOf(request)); }

void StoreUpdateCheck(const SharedRequest& request) {
  const absl::StatusOr<Value> body = ParseBody(request->http().body);
  if (!body.ok()) return request->Fail(body.status());
  v1::HealthStatus status = v1::HEALTH_STATUS_UNSPECIFIED;
  std::string output;
  Fields fields("", *body);
  fields.Each([&](const std::string& name, const Value& one) {
    if (name == "status") status = StatusOf(fields.Text(one));
    if (name == "output") output = fields.Text(one);
  });
  if (!fields.status().ok()) return request->Fail(fields.status());
  if (status == v1::HEALTH_STATUS_UNSPECIFIED) {
    return request->Fail(InvalidField("Status", "must be passing, warning or critical"));
  }
  Report(request, status, output);
}

}  // namespace meshgate::server::consul_api
