#include "server/version.h"

namespace meshgate::server {

std::string_view Version() { return MESHGATE_VERSION; }

}  // namespace meshgate::server
