// How addresses and targets are written.
#ifndef MESHGATE_SERVER_HTTP_NAMES_H_
#define MESHGATE_SERVER_HTTP_NAMES_H_

#include <boost/asio/ip/tcp.hpp>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace meshgate::server {

// Of the other end, as gRPC writes it; empty where it is gone.
inline std::string PeerName(const boost::asio::ip::tcp::socket& socket) {
  boost::system::error_code error;
  const boost::asio::ip::tcp::endpoint peer = socket.remote_endpoint(error);
  if (error) return "";
  const std::string address = peer.address().to_string();
  return peer.address().is_v6() ? absl::StrCat("ipv6:[", address, "]:", peer.port())
                                : absl::StrCat("ipv4:", address, ":", peer.port());
}

// HOST:PORT.
inline std::string EndpointName(const boost::asio::ip::tcp::endpoint& e) {
  const std::string address = e.address().to_string();
  return e.address().is_v6() ? absl::StrCat("[", address, "]:", e.port()) : absl::StrCat(address, ":", e.port());
}

// The path and query of a target. A client that talks to a proxy, or takes this for one, sends a whole URL, and a
// server must accept that (RFC 9112, 3.2.2).
inline std::string OriginForm(std::string target) {
  const std::string lower = absl::AsciiStrToLower(target.substr(0, 8));
  const size_t authority = lower.compare(0, 7, "http://") == 0 ? 7 : lower == "https://" ? 8 : 0;
  if (authority == 0) return target;
  const size_t end = target.find_first_of("/?", authority);
  if (end == std::string::npos) return "/";
  return target[end] == '/' ? target.substr(end) : "/" + target.substr(end);
}

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_NAMES_H_
