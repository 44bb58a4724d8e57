// Addresses that mean the machine's own wire, and on rented machines the services behind it that hand out credentials
// to whoever asks (169.254.169.254).
#ifndef MESHGATE_CONSUL_BASE_LINK_LOCAL_H_
#define MESHGATE_CONSUL_BASE_LINK_LOCAL_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

namespace meshgate {

// 169.254.0.0/16 (RFC 3927).
inline bool IsLinkLocal(const in_addr& address) { return ntohl(address.s_addr) >> 16 == 0xA9FE; }

// fe80::/10 (RFC 4291), and 169.254.0.0/16 mapped into IPv6.
inline bool IsLinkLocal(const in6_addr& address) {
  if (IN6_IS_ADDR_LINKLOCAL(&address)) return true;
  if (!IN6_IS_ADDR_V4MAPPED(&address) && !IN6_IS_ADDR_V4COMPAT(&address)) return false;
  in_addr v4;
  std::memcpy(&v4, address.s6_addr + 12, sizeof(v4));
  return IsLinkLocal(v4);
}

// Of a family other than IP: false.
inline bool IsLinkLocal(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof(v4));
    return IsLinkLocal(v4.sin_addr);
  }
  if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof(v6));
    return IsLinkLocal(v6.sin6_addr);
  }
  return false;
}

}  // namespace meshgate

#endif  // MESHGATE_CONSUL_BASE_LINK_LOCAL_H_
