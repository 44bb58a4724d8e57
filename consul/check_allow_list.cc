#include "consul/check_allow_list.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "consul/probe_host.h"

namespace meshgate::consul {
namespace {

struct Special {
  IpRange range;
  const char* what;
};

// The first that has an address says what it is.
const std::vector<Special>& Specials() {
  static const auto& specials = *new std::vector<Special>([] {
    const char* const kLoopback = "a loopback address";
    const char* const kLinkLocal = "a link-local address";
    const char* const kMetadata = "the address of a cloud's metadata service";
    const char* const kNobody = "not the address of one host";
    const char* const kDisguise = "an IPv4 address in disguise";
    const std::pair<const char*, const char*> table[] = {
        {"127.0.0.0/8", kLoopback},
        {"::1", kLoopback},
        {"169.254.0.0/16", kLinkLocal},
        {"fe80::/10", kLinkLocal},
        {"168.63.129.16", kMetadata},    // Azure.
        {"100.100.100.200", kMetadata},  // Alibaba Cloud.
        {"192.0.0.192", kMetadata},      // Oracle Cloud.
        {"fd00:ec2::254", kMetadata},    // AWS; beside it, fd00:ec2::23 for containers.
        {"fd00:ec2::23", kMetadata},
        {"fd20:ce::254", kMetadata},  // Google Cloud.
        {"0.0.0.0/8", kNobody},       // Connects to the loopback.
        {"::", kNobody},
        {"224.0.0.0/3", kNobody},
        {"ff00::/8", kNobody},
        {"::/96", kDisguise},            // Compatible (RFC 4291).
        {"::ffff:0:0:0/96", kDisguise},  // Translated (RFC 7915).
        {"64:ff9b::/96", kDisguise},     // NAT64 (RFC 6052), and its local range.
        {"64:ff9b:1::/48", kDisguise},
        {"2001::/32", kDisguise},  // Teredo.
        {"2002::/16", kDisguise},  // 6to4.
    };
    std::vector<Special> made;
    for (const auto& [range, what] : table) made.push_back({IpRange::Parse(range).value(), what});
    return made;
  }());
  return specials;
}

const Special* SpecialOf(const IpAddress& address) {
  for (const Special& special : Specials()) {
    if (special.range.Contains(address)) return &special;
  }
  return nullptr;
}

std::string Normal(std::string_view name) {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  return absl::AsciiStrToLower(ToAbsl(name));
}

// The field of a check that names where it leads.
const char* FieldOf(const CheckDefinition& check) {
  if (std::holds_alternative<HttpProbe>(check.probe)) return "http.url";
  return std::holds_alternative<TcpProbe>(check.probe) ? "tcp.address" : "grpc.target";
}

}  // namespace

CheckAllowList CheckAllowList::OfThisHost() { return Parse({"127.0.0.0/8", "::1", "localhost"}).value(); }

absl::StatusOr<CheckAllowList> CheckAllowList::Parse(const std::vector<std::string>& entries) {
  CheckAllowList list;
  for (const std::string& entry : entries) {
    if (const std::optional<IpRange> range = IpRange::Parse(entry)) {
      list.ranges_.push_back(*range);
    } else if (absl::StartsWith(entry, "*.") && IsHostName(std::string_view(entry).substr(2))) {
      list.suffixes_.push_back(Normal(std::string_view(entry).substr(1)));
    } else if (IsHostName(entry)) {
      list.names_.push_back(Normal(entry));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", absl::CEscape(entry), "\" is not an address, a range, a host name or *.DOMAIN"));
    }
  }
  return list;
}

bool CheckAllowList::Lists(const IpAddress& address) const {
  const Special* special = SpecialOf(address);
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const IpRange& range) {
    return range.Contains(address) && (special == nullptr || special->range.Contains(range));
  });
}

bool CheckAllowList::ListsName(std::string_view name) const {
  const std::string normal = Normal(name);
  return std::find(names_.begin(), names_.end(), normal) != names_.end() ||
         std::any_of(suffixes_.begin(), suffixes_.end(), [&](const std::string& suffix) {
           return normal.size() > suffix.size() && absl::EndsWith(normal, suffix);
         });
}

std::optional<std::string> CheckAllowList::Refusal(std::string_view instance_address,
                                                   const CheckDefinition& check) const {
  const std::optional<std::string_view> host = ProbeHost(check);
  if (!host.has_value()) return std::nullopt;
  if (host->empty()) return "does not say what to connect to";
  const std::optional<IpAddress> address = IpAddress::Parse(*host);
  if (!address.has_value()) {
    if (ListsName(*host)) return std::nullopt;
    return absl::StrCat(ToAbsl(*host),
                        " is a name, and may lead anywhere: give the instance's IP address here and as its address, or "
                        "have the gateway's --check_allow list the name");
  }
  if (Lists(*address)) return std::nullopt;
  if (const Special* special = SpecialOf(*address)) {
    return absl::StrCat(ToAbsl(*host), " is ", special->what,
                        ", which is probed only where the gateway's --check_allow lists it");
  }
  if (IpAddress::Parse(instance_address) == address) return std::nullopt;
  return absl::StrCat(ToAbsl(*host),
                      " is not the instance's own address: give it as that, or have the gateway's --check_allow list "
                      "it");
}

absl::Status CheckAllowList::Validate(const Registration& registration) const {
  for (size_t i = 0; i < registration.checks.size(); ++i) {
    const CheckDefinition& check = registration.checks[i];
    if (const std::optional<std::string> refusal = Refusal(registration.address, check)) {
      return InvalidField(absl::StrCat("checks[", i, "].", FieldOf(check)), *refusal, reason::kCheckNotAllowed);
    }
  }
  return absl::OkStatus();
}

bool CheckAllowList::MayLeadTo(const sockaddr* address) const {
  const std::optional<IpAddress> ip = IpAddress::Of(address);
  return ip.has_value() && (SpecialOf(*ip) == nullptr || Lists(*ip));
}

}  // namespace meshgate::consul
