#ifndef MESHGATE_SERVER_VERSION_H_
#define MESHGATE_SERVER_VERSION_H_

#include <string_view>

namespace meshgate::server {

// Semantic version of the release, from tools/version.bzl. CHANGELOG.md says what is in it.
std::string_view Version();

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_VERSION_H_
