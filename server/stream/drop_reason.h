#ifndef MESHGATE_SERVER_STREAM_DROP_REASON_H_
#define MESHGATE_SERVER_STREAM_DROP_REASON_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "consul/base/errors.h"
#include "consul/reporter.h"

namespace meshgate::server {

// Why the gateway has ended a watch that would have gone on; nothing where it has not.
inline std::optional<consul::WatchReporter::DropReason> DropReasonOf(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (reason == reason::kDraining) return consul::WatchReporter::DropReason::kDraining;
  if (reason == reason::kSlowReader) return consul::WatchReporter::DropReason::kSlowReader;
  return std::nullopt;
}

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_STREAM_DROP_REASON_H_
