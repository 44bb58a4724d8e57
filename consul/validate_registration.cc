// Registrations: what an agent accepts and should not. The rest of validate.h is in validate.cc.
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/utf8.h"
#include "consul/probe_host.h"
#include "consul/validate.h"
#include "consul/validate_text.h"

namespace meshgate::consul {
namespace {

constexpr size_t kMaxTags = 64;
constexpr size_t kMaxMetaKeyBytes = 128;
constexpr size_t kMaxMetaValueBytes = 512;
constexpr size_t kMaxTextBytes = 255;
constexpr size_t kMaxUrlBytes = 2048;
constexpr size_t kMaxMethodBytes = 32;
constexpr size_t kMaxHeaders = 64;
constexpr size_t kMaxHeaderNameBytes = 256;
constexpr size_t kMaxHeaderValueBytes = 4096;
constexpr int32_t kMaxWeight = 65535;
// Longer ones are a mistake, and would overflow somewhere.
constexpr absl::Duration kMaxDuration = absl::Hours(24 * 365);

#define MESHGATE_RETURN_IF_ERROR(expr)      \
  do {                                      \
    if (absl::Status s = (expr); !s.ok()) { \
      return s;                             \
    }                                       \
  } while (false)

// Not empty, UTF-8, no control characters, at most `max` bytes.
absl::Status ValidateText(std::string_view field, std::string_view text, size_t max) {
  if (text.empty()) return InvalidField(field, "must not be empty");
  if (text.size() > max) return InvalidField(field, absl::StrCat("must have at most ", max, " bytes"));
  if (const char* bad = BadText(text)) return InvalidField(field, bad);
  return absl::OkStatus();
}

// A token of HTTP (RFC 9110, 5.6.2): methods and names of headers.
bool IsToken(std::string_view text) {
  for (char c : text) {
    if (!IsAlnum(c) && std::string_view("!#$%&'*+-.^_`|~").find(c) == std::string_view::npos) return false;
  }
  return !text.empty();
}

absl::Status ValidateDuration(const std::string& field, absl::Duration duration, absl::Duration least) {
  if (duration < absl::ZeroDuration()) return InvalidField(field, "must not be negative");
  if (duration < least) {
    return InvalidField(field, absl::StrCat("must be at least ", absl::FormatDuration(least)));
  }
  if (duration > kMaxDuration) return InvalidField(field, "must be at most a year");
  return absl::OkStatus();
}

absl::Status ValidateHttpProbe(const std::string& field, const HttpProbe& probe) {
  const std::string url_field = field + ".url";
  MESHGATE_RETURN_IF_ERROR(ValidateText(url_field, probe.url, kMaxUrlBytes));
  std::string_view host;
  if (const char* bad = SplitUrl(probe.url, &host)) return InvalidField(url_field, bad);
  if (!probe.method.empty() && (!IsToken(probe.method) || probe.method.size() > kMaxMethodBytes)) {
    return InvalidField(field + ".method", "must be an HTTP method");
  }
  const std::string headers_field = field + ".headers";
  if (probe.headers.size() > kMaxHeaders) {
    return InvalidField(headers_field, absl::StrCat("must have at most ", kMaxHeaders, " entries"));
  }
  for (const auto& [name, value] : probe.headers) {
    if (name.size() > kMaxHeaderNameBytes || !IsToken(name)) {
      return InvalidField(headers_field,
                          absl::StrCat("must have HTTP tokens of 1 to ", kMaxHeaderNameBytes, " characters as names"));
    }
    const std::string header = absl::StrCat(headers_field, "[", name, "]");
    if (value.size() > kMaxHeaderValueBytes) {
      return InvalidField(header, absl::StrCat("must have at most ", kMaxHeaderValueBytes, " bytes"));
    }
    for (char c : value) {
      if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F) {
        return InvalidField(header, "must not contain control characters");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateGrpcProbe(const std::string& field, const GrpcProbe& probe) {
  const std::string target_field = field + ".target";
  std::string_view host;
  std::optional<std::string_view> service;
  if (const char* bad = SplitGrpcTarget(probe.target, &host, &service)) return InvalidField(target_field, bad);
  return service.has_value() ? ValidateText(target_field, *service, kMaxTextBytes) : absl::OkStatus();
}

absl::Status ValidateCheck(const std::string& field, const CheckDefinition& check) {
  if (!check.name.empty()) MESHGATE_RETURN_IF_ERROR(ValidateText(field + ".name", check.name, kMaxTextBytes));
  if (const auto* ttl = std::get_if<TtlProbe>(&check.probe)) {
    MESHGATE_RETURN_IF_ERROR(ValidateDuration(field + ".ttl", ttl->ttl, absl::Seconds(1)));
    MESHGATE_RETURN_IF_ERROR(ValidateDuration(field + ".interval", check.interval, absl::ZeroDuration()));
    if (check.interval != absl::ZeroDuration()) {
      return InvalidField(field + ".interval", "must not be set together with ttl");
    }
  } else {
    MESHGATE_RETURN_IF_ERROR(ValidateDuration(field + ".interval", check.interval, absl::Seconds(1)));
    if (const auto* http = std::get_if<HttpProbe>(&check.probe)) {
      MESHGATE_RETURN_IF_ERROR(ValidateHttpProbe(field + ".http", *http));
    } else if (const auto* tcp = std::get_if<TcpProbe>(&check.probe)) {
      std::string_view host;
      if (const char* bad = SplitTcpAddress(tcp->address, &host)) return InvalidField(field + ".tcp.address", bad);
    } else {
      MESHGATE_RETURN_IF_ERROR(ValidateGrpcProbe(field + ".grpc", std::get<GrpcProbe>(check.probe)));
    }
  }
  MESHGATE_RETURN_IF_ERROR(ValidateDuration(field + ".timeout", check.timeout, absl::ZeroDuration()));
  if (check.deregister_critical_after != absl::ZeroDuration()) {
    // Consul raises less to its floor of a minute without a word.
    MESHGATE_RETURN_IF_ERROR(
        ValidateDuration(field + ".deregister_critical_after", check.deregister_critical_after, absl::Minutes(1)));
  }
  if (check.initial_status == Health::kMaintenance) {
    return InvalidField(field + ".initial_status", "must be passing, warning or critical");
  }
  return absl::OkStatus();
}

absl::Status ValidateMeta(const std::map<std::string, std::string>& meta) {
  const std::string field = "instance.meta";
  if (meta.size() > kMaxMetaEntries) {
    return InvalidField(field, absl::StrCat("must have at most ", kMaxMetaEntries, " entries"));
  }
  for (const auto& [key, value] : meta) {
    if (key.empty() || key.size() > kMaxMetaKeyBytes) {
      return InvalidField(field, "must have keys of 1 to 128 characters");
    }
    for (char c : key) {
      if (!IsAlnum(c) && c != '-' && c != '_') {
        return InvalidField(field, "must have keys of letters, digits, '-' and '_'");
      }
    }
    const std::string entry = absl::StrCat(field, "[", key, "]");
    if (absl::StartsWith(key, "consul-")) return InvalidField(entry, "must not begin with \"consul-\"");
    if (value.size() > kMaxMetaValueBytes) {
      return InvalidField(entry, absl::StrCat("must have at most ", kMaxMetaValueBytes, " bytes"));
    }
    std::string_view rest = value;
    while (!rest.empty()) {
      if (!TakeCodePoint(rest)) return InvalidField(entry, "must be valid UTF-8");
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateWeight(const std::string& field, int32_t weight, int32_t least) {
  if (weight >= least && weight <= kMaxWeight) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("must be from ", least, " to ", kMaxWeight));
}

}  // namespace

absl::Status ValidateRegistration(const Registration& registration) {
  MESHGATE_RETURN_IF_ERROR(ValidateInstanceId("instance.id", registration.id));
  MESHGATE_RETURN_IF_ERROR(ValidateServiceName("instance.service", registration.service));
  if (!registration.address.empty() && !IsHost(registration.address)) {
    return InvalidField("instance.address", "must be an IP address or a host name");
  }
  if (registration.port > 65535) return InvalidField("instance.port", "must be from 0 to 65535");
  if (registration.tags.size() > kMaxTags) {
    return InvalidField("instance.tags", absl::StrCat("must have at most ", kMaxTags, " entries"));
  }
  for (size_t i = 0; i < registration.tags.size(); ++i) {
    MESHGATE_RETURN_IF_ERROR(ValidateText(absl::StrCat("instance.tags[", i, "]"), registration.tags[i], kMaxTextBytes));
  }
  MESHGATE_RETURN_IF_ERROR(ValidateMeta(registration.meta));
  // Consul refuses a passing weight of 0, not a warning one.
  MESHGATE_RETURN_IF_ERROR(ValidateWeight("instance.weights.passing", registration.weight_passing, 1));
  MESHGATE_RETURN_IF_ERROR(ValidateWeight("instance.weights.warning", registration.weight_warning, 0));
  bool has_ttl = false;
  for (size_t i = 0; i < registration.checks.size(); ++i) {
    const std::string field = absl::StrCat("checks[", i, "]");
    MESHGATE_RETURN_IF_ERROR(ValidateCheck(field, registration.checks[i]));
    if (!std::holds_alternative<TtlProbe>(registration.checks[i].probe)) continue;
    if (has_ttl) return InvalidField(field + ".ttl", "must be the only check with a ttl");
    has_ttl = true;
  }
  return absl::OkStatus();
}

#undef MESHGATE_RETURN_IF_ERROR

}  // namespace meshgate::consul
