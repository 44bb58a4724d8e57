// How addresses are written.
#ifndef MESHGATE_SERVER_HTTP_NAMES_H_
#define MESHGATE_SERVER_HTTP_NAMES_H_

#include <boost/asio/ip/tcp.hpp>
#include <string>

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

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_NAMES_H_
