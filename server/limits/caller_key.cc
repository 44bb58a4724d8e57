#include "server/limits/caller_key.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "consul/base/strings.h"

namespace meshgate::server::limits {
namespace {

constexpr std::string_view kIpv6 = "ipv6:[";
constexpr size_t kNetworkBytes = 8;

}  // namespace

std::string CallerKey(const Caller& caller, auth::Guard* guard) {
  if (guard != nullptr && caller.identity != nullptr && guard->Knows(*caller.identity)) {
    const auth::Hash128& id = caller.identity->id();
    return absl::StrCat("token:", absl::Hex(id.high), ".", absl::Hex(id.low));
  }
  if (!caller.tls_identity.empty()) return absl::StrCat("certificate:", caller.tls_identity);
  return AddressOf(caller.peer);
}

std::string AddressOf(std::string_view peer) {
  const size_t port = peer.rfind(':');
  // A Unix socket's.
  if (port == std::string_view::npos || port + 1 == peer.size()) return std::string(peer);
  std::string address(peer.substr(0, port));
  if (peer.substr(0, kIpv6.size()) != kIpv6) return address;
  std::string text = address.substr(kIpv6.size(), address.size() - kIpv6.size() - 1);
  // The interface of a link-local one.
  text.resize(std::min(text.size(), text.find('%')));
  in6_addr parsed;
  if (inet_pton(AF_INET6, text.c_str(), &parsed) != 1) return address;
  if (IN6_IS_ADDR_V4MAPPED(&parsed) != 0) {
    char plain[INET_ADDRSTRLEN] = {};
    inet_ntop(AF_INET, &parsed.s6_addr[12], plain, sizeof plain);
    return absl::StrCat("ipv4:", plain);
  }
  memset(&parsed.s6_addr[kNetworkBytes], 0, sizeof parsed - kNetworkBytes);
  char network[INET6_ADDRSTRLEN] = {};
  inet_ntop(AF_INET6, &parsed, network, sizeof network);
  return absl::StrCat("ipv6:", network, "/64");
}

}  // namespace meshgate::server::limits
