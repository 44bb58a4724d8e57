// Registrations: what an agent accepts and should not. The rest of validate.h is in validate.cc.
#include <arpa/inet.h>

#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/link_local.h"
#include "consul/base/strings.h"
#include "consul/base/utf8.h"
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

bool IsIp(const std::string& text, int family) {
  unsigned char buffer[sizeof(in6_addr)];
  return inet_pton(family, text.c_str(), buffer) == 1;
}

// Dots between labels of letters, digits, '-' and '_'; a final dot is allowed.
bool IsHostName(std::string_view host) {
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  if (host.empty() || host.size() > 253) return false;
  size_t label = 0;
  for (char c : host) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
    } else if ((!IsAlnum(c) && c != '-' && c != '_') || ++label > 63) {
      return false;
    }
  }
  return label > 0;
}

bool IsHost(std::string_view host) {
  // inet_pton takes a C string: a NUL within must not hide the rest.
  const std::string text(host);
  if (text.find('\0') != std::string::npos) return false;
  return IsHostName(host) || IsIp(text, AF_INET6);
}

// Whether a host that IsHostName() or an IPv6 address is a link-local one, in any of the notations that libcurl and the
// resolver take for an address ("169.254.1", "0xA9FEA9FE"). What a name resolves to is for whoever resolves it.
bool IsLinkLocalHost(std::string_view host) {
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  const std::string text(host);
  in_addr v4;
  if (inet_aton(text.c_str(), &v4) != 0) return IsLinkLocal(v4);
  in6_addr v6;
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IsLinkLocal(v6);
}

// What is probed: "host", "host:port", "[v6]" or "[v6]:port". What is wrong, or null.
const char* BadAuthority(std::string_view authority, bool port_required) {
  std::string_view host;
  std::optional<std::string_view> port;
  if (!authority.empty() && authority.front() == '[') {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) return "has a '[' without a ']'";
    host = authority.substr(1, end - 1);
    if (host.find('\0') != std::string_view::npos || !IsIp(std::string(host), AF_INET6)) {
      return "must have an IPv6 address between '[' and ']'";
    }
    authority.remove_prefix(end + 1);
    if (!authority.empty() && authority.front() != ':') return "must have ':' and a port after ']'";
    if (!authority.empty()) port = authority.substr(1);
  } else {
    const size_t colon = authority.find(':');
    host = authority.substr(0, colon);
    if (colon != std::string_view::npos) port = authority.substr(colon + 1);
    if (port && port->find(':') != std::string_view::npos) return "must have an IPv6 address in '[' and ']'";
    if (host.empty()) return "must have a host";
    if (!IsHostName(host)) return "must have an IP address or a host name";
  }
  if (IsLinkLocalHost(host)) return "must not be a link-local address (169.254.0.0/16, fe80::/10)";
  if (!port) return port_required ? "must be host:port" : nullptr;
  int number = 0;
  for (char c : *port) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return "must have a port from 1 to 65535";
  }
  if (port->size() > 5 || !absl::SimpleAtoi(ToAbsl(*port), &number) || number < 1 || number > 65535) {
    return "must have a port from 1 to 65535";
  }
  return nullptr;
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
  std::string_view rest = probe.url;
  if (absl::StartsWithIgnoreCase(probe.url, "http://")) {
    rest.remove_prefix(7);
  } else if (absl::StartsWithIgnoreCase(probe.url, "https://")) {
    rest.remove_prefix(8);
  } else {
    return InvalidField(url_field, "must begin with http:// or https://");
  }
  if (rest.find_first_of(" \\") != std::string_view::npos) {
    return InvalidField(url_field, "must not contain spaces or backslashes");
  }
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.find('@') != std::string_view::npos) {
    return InvalidField(url_field, "must not contain credentials: use a header");
  }
  if (const char* bad = BadAuthority(authority, /*port_required=*/false)) return InvalidField(url_field, bad);
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
  const std::string_view target = probe.target;
  const size_t slash = target.find('/');
  if (const char* bad = BadAuthority(target.substr(0, slash), /*port_required=*/true)) {
    return InvalidField(target_field, bad);
  }
  if (slash == std::string_view::npos) return absl::OkStatus();
  return ValidateText(target_field, target.substr(slash + 1), kMaxTextBytes);
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
      if (const char* bad = BadAuthority(tcp->address, /*port_required=*/true)) {
        return InvalidField(field + ".tcp.address", bad);
      }
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
