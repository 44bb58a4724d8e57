#ifndef MESHGATE_SERVER_HTTP_CONSUL_CHECK_SCAN_H_
#define MESHGATE_SERVER_HTTP_CONSUL_CHECK_SCAN_H_

#include <string>

#include "absl/status/status.h"
#include "consul/check_allow_list.h"

namespace meshgate::server::consul_api {

// Whether the checks that a body defines, of PUT /v1/agent/service/register or /v1/agent/check/register, may be made:
// Consul makes them from inside of its network, and as itself. INVALID_ARGUMENT where the body is not JSON that every
// reader understands in the same way (a field that is there twice, say), where a check runs a program, is of a kind that
// is not known here, or leads somewhere that `allowed` does not let it (CHECK_NOT_ALLOWED). Names of fields count in any
// case and with or without underscores, as they do for Consul.
absl::Status ScanServiceChecks(const std::string& body, const consul::CheckAllowList& allowed);
absl::Status ScanCheck(const std::string& body, const consul::CheckAllowList& allowed);

}  // namespace meshgate::server::consul_api

#endif  // MESHGATE_SERVER_HTTP_CONSUL_CHECK_SCAN_H_
