#ifndef MESHGATE_SERVER_HTTP_ORIGIN_FORM_H_
#define MESHGATE_SERVER_HTTP_ORIGIN_FORM_H_

#include <string>

#include "absl/strings/ascii.h"

namespace meshgate::server {

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

#endif  // MESHGATE_SERVER_HTTP_ORIGIN_FORM_H_
