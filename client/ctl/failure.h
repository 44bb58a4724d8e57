#ifndef MESHGATE_CLIENT_CTL_FAILURE_H_
#define MESHGATE_CLIENT_CTL_FAILURE_H_

#include <string>

#include "absl/status/status.h"

namespace meshgate::ctl {

// Exit codes of meshgatectl.
inline constexpr int kExitOk = 0;
inline constexpr int kExitLocal = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitCall = 64;  // + the gRPC code
inline constexpr int kExitInterrupted = 130;

int ExitCodeOf(const absl::Status& failed_call);

// One line: code, reason where there is one, message, and what to do next where that is known.
std::string DescribeFailure(const absl::Status& failed_call, const std::string& endpoint);

}  // namespace meshgate::ctl

#endif  // MESHGATE_CLIENT_CTL_FAILURE_H_
