#include "client/ctl/output.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meshgate::ctl {
namespace {

const char* StatusName(v1::HealthStatus status) {
  switch (status) {
    case v1::HEALTH_STATUS_PASSING:
      return "passing";
    case v1::HEALTH_STATUS_WARNING:
      return "warning";
    case v1::HEALTH_STATUS_CRITICAL:
      return "critical";
    case v1::HEALTH_STATUS_MAINTENANCE:
      return "maintenance";
    default:
      return "unknown";
  }
}

// Names come from whoever registered them: a newline would forge a record, an escape sequence steer a terminal. JSON is
// for reading them back.
std::string Escaped(absl::string_view text) { return absl::Utf8SafeCEscape(text); }

template <typename Tags>
std::string EscapedList(const Tags& tags) {
  return absl::StrJoin(tags, ",", [](std::string* out, const std::string& tag) { absl::StrAppend(out, Escaped(tag)); });
}

// An IPv6 address in brackets.
std::string AddressOf(const v1::ServiceInstance& instance) {
  const std::string host =
      absl::StrContains(instance.address(), ":") ? absl::StrCat("[", instance.address(), "]") : instance.address();
  return Escaped(instance.port() == 0 ? host : absl::StrCat(host, ":", instance.port()));
}

}  // namespace

void PrintJson(const google::protobuf::Message& message, std::ostream& out) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string json;
  // Fails for Any and well-known types with values out of their range alone: then what there is.
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) json = message.ShortDebugString();
  out << json << "\n";
}

void PrintEntry(const v1::ConfigEntry& entry, bool keys_only, std::ostream& out) {
  out << Escaped(entry.key());
  if (!keys_only) out << "\t" << entry.modify_index() << "\t" << Escaped(entry.value());
  out << "\n";
}

void PrintWritten(const v1::ConfigEntry& entry, std::ostream& out) {
  out << Escaped(entry.key()) << "\t" << entry.modify_index() << "\n";
}

void PrintInstance(const v1::DiscoveredInstance& instance, std::ostream& out) {
  out << Escaped(instance.instance().id()) << "\t" << Escaped(instance.node()) << "\t" << AddressOf(instance.instance())
      << "\t" << StatusName(instance.status()) << "\t" << EscapedList(instance.instance().tags()) << "\n";
}

void PrintEvent(const v1::ConfigEvent& event, std::ostream& out) {
  const bool deleted = event.type() == v1::ConfigEvent::TYPE_DELETE;
  out << (deleted ? "delete" : "put") << "\t";
  PrintEntry(event.entry(), deleted, out);
}

void PrintEvent(const v1::ServiceEvent& event, std::ostream& out) {
  if (event.type() == v1::ServiceEvent::TYPE_DELETE) {
    out << "delete\t" << Escaped(event.instance().instance().id()) << "\t" << Escaped(event.instance().node()) << "\n";
    return;
  }
  out << "put\t";
  PrintInstance(event.instance(), out);
}

void PrintHold(const v1::HoldRegistrationResponse& state, std::ostream& out) {
  out << Escaped(state.id()) << "\t" << (state.registered() ? "registered" : "waiting") << "\n";
}

void PrintService(const v1::ListServicesResponse::Service& service, std::ostream& out) {
  out << Escaped(service.name()) << "\t" << EscapedList(service.tags()) << "\n";
}

}  // namespace meshgate::ctl
