#include "server/service/convert.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "consul/validate.h"
#include "server/service/validate_request.h"

namespace meshgate::server {
namespace {

absl::StatusOr<consul::CheckDefinition> ParseCheck(std::string_view field, const v1::HealthCheck& check) {
  const auto path = [field](std::string_view name) { return absl::StrCat(ToAbsl(field), ".", ToAbsl(name)); };
  consul::CheckDefinition parsed;
  switch (check.probe_case()) {
    case v1::HealthCheck::kHttp: {
      const v1::HttpProbe& http = check.http();
      parsed.probe = consul::HttpProbe{
          http.url(), http.method(), {http.headers().begin(), http.headers().end()}, http.tls_skip_verify()};
      break;
    }
    case v1::HealthCheck::kTcp:
      parsed.probe = consul::TcpProbe{check.tcp().address()};
      break;
    case v1::HealthCheck::kGrpc:
      parsed.probe = consul::GrpcProbe{check.grpc().target(), check.grpc().use_tls()};
      break;
    case v1::HealthCheck::kTtl: {
      absl::StatusOr<absl::Duration> ttl = ParseDuration(path("ttl"), check.ttl());
      if (!ttl.ok()) return ttl.status();
      parsed.probe = consul::TtlProbe{*ttl};
      break;
    }
    case v1::HealthCheck::PROBE_NOT_SET:
      return InvalidField(path("probe"), "required: one of http, tcp, grpc and ttl");
  }
  parsed.name = check.name();

  const std::pair<std::string_view, std::pair<const google::protobuf::Duration*, absl::Duration*>> durations[] = {
      {"interval", {&check.interval(), &parsed.interval}},
      {"timeout", {&check.timeout(), &parsed.timeout}},
      {"deregister_critical_after", {&check.deregister_critical_after(), &parsed.deregister_critical_after}},
  };
  for (const auto& [name, conversion] : durations) {
    absl::StatusOr<absl::Duration> duration = ParseDuration(path(name), *conversion.first);
    if (!duration.ok()) return duration.status();
    *conversion.second = *duration;
  }

  absl::StatusOr<consul::Health> initial =
      ParseHealth(path("initial_status"), check.initial_status(), consul::Health::kCritical);
  if (!initial.ok()) return initial.status();
  parsed.initial_status = *initial;
  return parsed;
}

}  // namespace

void ToApi(const consul::KvEntry& entry, bool with_value, v1::ConfigEntry* out) {
  out->set_key(entry.key);
  if (with_value) out->set_value(entry.value);
  out->set_flags(entry.flags);
  out->set_create_index(entry.create_index);
  out->set_modify_index(entry.modify_index);
}

void ToApi(const consul::ServiceSummary& summary, v1::ListServicesResponse::Service* out) {
  out->set_name(summary.name);
  out->mutable_tags()->Assign(summary.tags.begin(), summary.tags.end());
}

void ToApi(absl::Duration duration, google::protobuf::Duration* out) {
  absl::Duration rest;
  out->set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

absl::StatusOr<consul::Health> ParseHealth(std::string_view field, v1::HealthStatus status,
                                           consul::Health unspecified) {
  switch (status) {
    case v1::HEALTH_STATUS_UNSPECIFIED:
      return unspecified;
    case v1::HEALTH_STATUS_PASSING:
      return consul::Health::kPassing;
    case v1::HEALTH_STATUS_WARNING:
      return consul::Health::kWarning;
    case v1::HEALTH_STATUS_CRITICAL:
      return consul::Health::kCritical;
    case v1::HEALTH_STATUS_MAINTENANCE:
      return InvalidField(field, "must be passing, warning or critical: maintenance is an operator's switch");
    default:
      return InvalidField(
          field, absl::StrCat("must be passing, warning or critical, is the unknown value ", static_cast<int>(status)));
  }
}

absl::StatusOr<consul::Registration> ParseRegistration(const v1::RegisterRequest& request) {
  if (!request.has_instance()) return InvalidField("instance", "required");
  const v1::ServiceInstance& instance = request.instance();
  // First, so that an id made of a bad name is not what the message is about.
  if (absl::Status s = consul::ValidateServiceName("instance.service", instance.service()); !s.ok()) return s;

  consul::Registration parsed;
  parsed.id = instance.id().empty() ? instance.service() : instance.id();
  parsed.service = instance.service();
  parsed.address = instance.address();
  parsed.port = instance.port();
  parsed.tags.assign(instance.tags().begin(), instance.tags().end());
  parsed.meta.insert(instance.meta().begin(), instance.meta().end());
  if (instance.has_weights()) {
    parsed.weight_passing = instance.weights().passing();
    parsed.weight_warning = instance.weights().warning();
  }
  if (request.checks_size() > kMaxChecks) {
    return InvalidField("checks",
                        absl::StrCat("must have at most ", kMaxChecks, " elements, has ", request.checks_size()));
  }
  parsed.checks.reserve(request.checks_size());
  for (int i = 0; i < request.checks_size(); ++i) {
    absl::StatusOr<consul::CheckDefinition> check = ParseCheck(absl::StrCat("checks[", i, "]"), request.checks(i));
    if (!check.ok()) return check.status();
    parsed.checks.push_back(*std::move(check));
  }
  if (absl::Status s = consul::ValidateRegistration(parsed); !s.ok()) return s;
  return parsed;
}

}  // namespace meshgate::server
