#include "server/http/consul/check_scan.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/validate.h"
#include "google/protobuf/struct.pb.h"
#include "server/http/api/json.h"
#include "server/http/consul/field_name.h"

namespace meshgate::server::consul_api {
namespace {

using consul::CheckDefinition;
using google::protobuf::Struct;
using google::protobuf::Value;

// Of a check, those that make it do nothing.
bool IsHarmless(const std::string& name) {
  static const auto* const kNames = new absl::flat_hash_set<std::string>{"aliasnode",
                                                                         "aliasservice",
                                                                         "body",
                                                                         "checkid",
                                                                         "definition",
                                                                         "disableredirects",
                                                                         "deregistercriticalserviceafter",
                                                                         "enterprisemeta",
                                                                         "failuresbeforecritical",
                                                                         "failuresbeforewarning",
                                                                         "grpcusetls",
                                                                         "h2pingusetls",
                                                                         "header",
                                                                         "id",
                                                                         "interval",
                                                                         "method",
                                                                         "name",
                                                                         "namespace",
                                                                         "node",
                                                                         "notes",
                                                                         "ns",
                                                                         "output",
                                                                         "outputmaxsize",
                                                                         "partition",
                                                                         "serviceid",
                                                                         "servicename",
                                                                         "servicetags",
                                                                         "status",
                                                                         "successbeforepassing",
                                                                         "timeout",
                                                                         "tlsservername",
                                                                         "tlsskipverify",
                                                                         "tcpusetls",
                                                                         "token",
                                                                         "ttl",
                                                                         "type"};
  return kNames->contains(name);
}

bool IsEmpty(const Value& value) {
  switch (value.kind_case()) {
    case Value::kStringValue:
      return value.string_value().empty();
    case Value::kListValue:
      return value.list_value().values().empty();
    case Value::kNullValue:
    case Value::KIND_NOT_SET:
      return true;
    default:
      return false;
  }
}

// Consul takes the last of two spellings of a name for some fields, and both for others.
absl::Status RefuseTwoSpellings(const std::string& prefix, const Struct& object) {
  absl::flat_hash_set<std::string> names;
  for (const auto& [name, value] : object.fields()) {
    if (!names.insert(FieldName(name)).second) {
      return InvalidField(prefix + name, "is there twice, in two spellings of its name");
    }
  }
  return absl::OkStatus();
}

class Scan {
 public:
  explicit Scan(const consul::CheckAllowList& allowed) : allowed_(allowed) {}

  // A service, with the services beside it. `address` is that of the service around it.
  absl::Status Service(const std::string& field, const Struct& service, std::string address) {
    if (absl::Status status = RefuseTwoSpellings(field, service); !status.ok()) return status;
    for (const auto& [name, value] : service.fields()) {
      if (FieldName(name) == "address" && !IsEmpty(value)) address = value.string_value();
    }
    for (const auto& [name, value] : service.fields()) {
      const std::string at = absl::StrCat(field, name);
      const std::string normalized = FieldName(name);
      absl::Status status;
      if (normalized == "check") {
        status = OneCheck(at, value, address);
      } else if (normalized == "checks") {
        status = Checks(at, value, address);
      } else if (normalized == "connect") {
        status = Connect(at, value, address);
      }
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status OneCheck(const std::string& field, const Value& value, const std::string& address) {
    if (IsEmpty(value)) return absl::OkStatus();
    if (!value.has_struct_value()) return InvalidField(field, "must be an object");
    return Check(field + ".", value.struct_value(), address);
  }

  absl::Status Check(const std::string& prefix, const Struct& check, const std::string& address) {
    if (absl::Status status = RefuseTwoSpellings(prefix, check); !status.ok()) return status;
    for (const auto& [name, value] : check.fields()) {
      const std::string normalized = FieldName(name);
      if (IsHarmless(normalized) || IsEmpty(value)) continue;
      const std::string field = prefix + name;
      CheckDefinition probe;
      if (normalized == "http") {
        probe.probe = consul::HttpProbe{value.string_value(), "", {}, false};
      } else if (normalized == "tcp" || normalized == "h2ping") {
        probe.probe = consul::TcpProbe{value.string_value()};
      } else if (normalized == "grpc") {
        probe.probe = consul::GrpcProbe{value.string_value(), false};
      } else {
        return InvalidField(
            field,
            "is not passed on to Consul: checks are http, tcp, grpc, h2ping, a ttl or an alias, and run "
            "no programs; give others to the agent itself",
            reason::kCheckNotAllowed);
      }
      if (!value.has_string_value()) return InvalidField(field, "must be a string");
      if (absl::Status status = Probe(field, std::move(probe), address); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Checks(const std::string& field, const Value& value, const std::string& address) {
    if (IsEmpty(value)) return absl::OkStatus();
    if (!value.has_list_value()) return InvalidField(field, "must be a list");
    int number = 0;
    for (const Value& one : value.list_value().values()) {
      const absl::Status status = OneCheck(absl::StrCat(field, "[", number++, "]"), one, address);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Connect(const std::string& field, const Value& value, const std::string& address) {
    if (absl::Status status = RefuseTwoSpellings(field + ".", value.struct_value()); !status.ok()) return status;
    for (const auto& [name, inner] : value.struct_value().fields()) {
      if (FieldName(name) != "sidecarservice" || !inner.has_struct_value()) continue;
      const absl::Status status = Service(absl::StrCat(field, ".", name, "."), inner.struct_value(), address);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Probe(const std::string& field, CheckDefinition probe, const std::string& address) {
    probe.interval = absl::Seconds(10);
    // A registration around it, for the rules of where a probe can lead at all.
    consul::Registration registration;
    registration.id = registration.service = "scanned";
    registration.checks = {probe};
    if (const absl::Status status = consul::ValidateRegistration(registration); !status.ok()) {
      return InvalidField(field, "is not an address that can be probed: an http or https URL, or host:port");
    }
    const std::optional<std::string> refusal = allowed_.Refusal(address, probe);
    return refusal.has_value() ? InvalidField(field, *refusal, reason::kCheckNotAllowed) : absl::OkStatus();
  }

  const consul::CheckAllowList& allowed_;
};

absl::StatusOr<Struct> Parse(const std::string& body) {
  Struct parsed;
  if (absl::Status status = api::FromJson(body, &parsed); !status.ok()) return status;
  return parsed;
}

}  // namespace

absl::Status ScanServiceChecks(const std::string& body, const consul::CheckAllowList& allowed) {
  const absl::StatusOr<Struct> parsed = Parse(body);
  if (!parsed.ok()) return parsed.status();
  return Scan(allowed).Service("", *parsed, "");
}

absl::Status ScanCheck(const std::string& body, const consul::CheckAllowList& allowed) {
  const absl::StatusOr<Struct> parsed = Parse(body);
  if (!parsed.ok()) return parsed.status();
  return Scan(allowed).Check("", *parsed, "");
}

}  // namespace meshgate::server::consul_api
