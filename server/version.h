#ifndef MESHGATE_SERVER_VERSION_H_
#define MESHGATE_SERVER_VERSION_H_

#include <string_view>

namespace meshgate::server {

// Semantic version of the release. CHANGELOG.md says what is in it.
inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_VERSION_H_
