#include "consul/embedded/registration_codec.h"

#include <utility>

#include "meshgate/v1/registry_service.pb.h"

namespace meshgate::consul::embedded {
namespace {

void Encode(absl::Duration duration, google::protobuf::Duration* out) {
  const timespec ts = absl::ToTimespec(duration);
  out->set_seconds(ts.tv_sec);
  out->set_nanos(static_cast<int32_t>(ts.tv_nsec));
}

absl::Duration Decode(const google::protobuf::Duration& in) {
  return absl::Seconds(in.seconds()) + absl::Nanoseconds(in.nanos());
}

v1::HealthStatus Encode(Health health) {
  switch (health) {
    case Health::kPassing:
      return v1::HEALTH_STATUS_PASSING;
    case Health::kWarning:
      return v1::HEALTH_STATUS_WARNING;
    case Health::kCritical:
      return v1::HEALTH_STATUS_CRITICAL;
    case Health::kMaintenance:
      return v1::HEALTH_STATUS_MAINTENANCE;
  }
  return v1::HEALTH_STATUS_CRITICAL;
}

Health Decode(v1::HealthStatus status) {
  switch (status) {
    case v1::HEALTH_STATUS_PASSING:
      return Health::kPassing;
    case v1::HEALTH_STATUS_WARNING:
      return Health::kWarning;
    case v1::HEALTH_STATUS_MAINTENANCE:
      return Health::kMaintenance;
    default:
      return Health::kCritical;
  }
}

struct EncodeProbe {
  v1::HealthCheck* out;
  void operator()(const HttpProbe& probe) const {
    v1::HttpProbe* http = out->mutable_http();
    http->set_url(probe.url);
    http->set_method(probe.method);
    for (const auto& [name, value] : probe.headers) (*http->mutable_headers())[name] = value;
    http->set_tls_skip_verify(probe.tls_skip_verify);
  }
  void operator()(const TcpProbe& probe) const { out->mutable_tcp()->set_address(probe.address); }
  void operator()(const GrpcProbe& probe) const {
    out->mutable_grpc()->set_target(probe.target);
    out->mutable_grpc()->set_use_tls(probe.use_tls);
  }
  void operator()(const TtlProbe& probe) const { Encode(probe.ttl, out->mutable_ttl()); }
};

// Whether there is a probe of a kind that is known.
bool DecodeProbe(const v1::HealthCheck& in, CheckDefinition& check) {
  switch (in.probe_case()) {
    case v1::HealthCheck::kHttp:
      check.probe = HttpProbe{in.http().url(),
                              in.http().method(),
                              {in.http().headers().begin(), in.http().headers().end()},
                              in.http().tls_skip_verify()};
      return true;
    case v1::HealthCheck::kTcp:
      check.probe = TcpProbe{in.tcp().address()};
      return true;
    case v1::HealthCheck::kGrpc:
      check.probe = GrpcProbe{in.grpc().target(), in.grpc().use_tls()};
      return true;
    case v1::HealthCheck::kTtl:
      check.probe = TtlProbe{Decode(in.ttl())};
      return true;
    case v1::HealthCheck::PROBE_NOT_SET:
      return false;
  }
  return false;
}

}  // namespace

std::string EncodeRegistration(const Registration& registration) {
  v1::RegisterRequest message;
  v1::ServiceInstance* instance = message.mutable_instance();
  instance->set_id(registration.id);
  instance->set_service(registration.service);
  instance->set_address(registration.address);
  instance->set_port(registration.port);
  for (const std::string& tag : registration.tags) instance->add_tags(tag);
  for (const auto& [key, value] : registration.meta) (*instance->mutable_meta())[key] = value;
  instance->mutable_weights()->set_passing(registration.weight_passing);
  instance->mutable_weights()->set_warning(registration.weight_warning);
  for (const CheckDefinition& check : registration.checks) {
    v1::HealthCheck* out = message.add_checks();
    std::visit(EncodeProbe{out}, check.probe);
    out->set_name(check.name);
    Encode(check.interval, out->mutable_interval());
    Encode(check.timeout, out->mutable_timeout());
    Encode(check.deregister_critical_after, out->mutable_deregister_critical_after());
    out->set_initial_status(Encode(check.initial_status));
  }
  return message.SerializeAsString();
}

std::optional<Registration> DecodeRegistration(const std::string& bytes) {
  v1::RegisterRequest message;
  if (!message.ParseFromString(bytes)) return std::nullopt;
  const v1::ServiceInstance& instance = message.instance();
  Registration registration;
  registration.id = instance.id();
  registration.service = instance.service();
  registration.address = instance.address();
  registration.port = instance.port();
  registration.tags.assign(instance.tags().begin(), instance.tags().end());
  registration.meta.insert(instance.meta().begin(), instance.meta().end());
  registration.weight_passing = instance.weights().passing();
  registration.weight_warning = instance.weights().warning();
  if (registration.id.empty() || registration.service.empty()) return std::nullopt;
  for (const v1::HealthCheck& in : message.checks()) {
    CheckDefinition& check = registration.checks.emplace_back();
    if (!DecodeProbe(in, check)) return std::nullopt;
    check.name = in.name();
    check.interval = Decode(in.interval());
    check.timeout = Decode(in.timeout());
    check.deregister_critical_after = Decode(in.deregister_critical_after());
    check.initial_status = Decode(in.initial_status());
  }
  return registration;
}

}  // namespace meshgate::consul::embedded
