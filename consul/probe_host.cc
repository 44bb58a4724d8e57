#include "consul/probe_host.h"

#include <algorithm>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "consul/base/ip_address.h"
#include "consul/base/strings.h"
#include "consul/validate_text.h"

namespace meshgate::consul {
namespace {

bool AllOf(std::string_view text, bool (*is)(unsigned char)) { return std::all_of(text.begin(), text.end(), is); }

// As WHATWG's URL standard, "ends in a number": decimal, octal or hexadecimal, and "0x" alone.
bool IsNumber(std::string_view label) {
  if (AllOf(label, absl::ascii_isdigit)) return true;
  return label.size() >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X') &&
         AllOf(label.substr(2), absl::ascii_isxdigit);
}

bool IsPort(std::string_view text) {
  int number = 0;
  return text.size() <= 5 && AllOf(text, absl::ascii_isdigit) && absl::SimpleAtoi(ToAbsl(text), &number) &&
         number >= 1 && number <= 65535;
}

bool IsV4(std::string_view host) {
  return host.find(':') == std::string_view::npos && IpAddress::Parse(host).has_value();
}
bool IsV6(std::string_view host) {
  return host.find(':') != std::string_view::npos && IpAddress::Parse(host).has_value();
}

}  // namespace

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
  return label > 0 && !IsNumber(host.substr(host.size() - label));
}

bool IsHost(std::string_view host) { return IsHostName(host) || IpAddress::Parse(host).has_value(); }

const char* SplitAuthority(std::string_view authority, bool port_required, std::string_view* host) {
  std::optional<std::string_view> port;
  if (!authority.empty() && authority.front() == '[') {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) return "has a '[' without a ']'";
    *host = authority.substr(1, end - 1);
    if (!IsV6(*host)) return "must have an IPv6 address between '[' and ']'";
    authority.remove_prefix(end + 1);
    if (!authority.empty() && authority.front() != ':') return "must have ':' and a port after ']'";
    if (!authority.empty()) port = authority.substr(1);
  } else {
    const size_t colon = authority.find(':');
    *host = authority.substr(0, colon);
    if (colon != std::string_view::npos) port = authority.substr(colon + 1);
    if (port && port->find(':') != std::string_view::npos) return "must have an IPv6 address in '[' and ']'";
    if (host->empty()) return "must have a host";
    if (!IsHostName(*host) && !IsV4(*host)) {
      return "must have a host name, or an IP address in its usual notation, such as 10.0.0.1";
    }
  }
  if (!port) return port_required ? "must be host:port" : nullptr;
  return IsPort(*port) ? nullptr : "must have a port from 1 to 65535";
}

const char* SplitUrl(std::string_view url, std::string_view* host) {
  std::string_view rest = url;
  if (absl::StartsWithIgnoreCase(ToAbsl(url), "http://")) {
    rest.remove_prefix(7);
  } else if (absl::StartsWithIgnoreCase(ToAbsl(url), "https://")) {
    rest.remove_prefix(8);
  } else {
    return "must begin with http:// or https://";
  }
  // Some parsers take a backslash for a slash, and so another host.
  if (rest.find_first_of(" \\") != std::string_view::npos) return "must not contain spaces or backslashes";
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.find('@') != std::string_view::npos) return "must not contain credentials: use a header";
  return SplitAuthority(authority, /*port_required=*/false, host);
}

const char* SplitTcpAddress(std::string_view address, std::string_view* host) {
  return SplitAuthority(address, /*port_required=*/true, host);
}

const char* SplitGrpcTarget(std::string_view target, std::string_view* host, std::optional<std::string_view>* service) {
  const size_t slash = target.find('/');
  *service = slash == std::string_view::npos ? std::nullopt : std::optional(target.substr(slash + 1));
  return SplitAuthority(target.substr(0, slash), /*port_required=*/true, host);
}

std::optional<std::string_view> ProbeHost(const CheckDefinition& check) {
  std::string_view host;
  const char* bad = nullptr;
  if (const auto* http = std::get_if<HttpProbe>(&check.probe)) {
    bad = SplitUrl(http->url, &host);
  } else if (const auto* tcp = std::get_if<TcpProbe>(&check.probe)) {
    bad = SplitTcpAddress(tcp->address, &host);
  } else if (const auto* grpc = std::get_if<GrpcProbe>(&check.probe)) {
    std::optional<std::string_view> service;
    bad = SplitGrpcTarget(grpc->target, &host, &service);
  } else {
    return std::nullopt;
  }
  return bad == nullptr ? host : std::string_view();
}

}  // namespace meshgate::consul
