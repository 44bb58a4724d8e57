// For streams that outlive the tokens they were opened with.
#ifndef MESHGATE_CLIENT_RENEWED_TOKEN_H_
#define MESHGATE_CLIENT_RENEWED_TOKEN_H_

#include <string>

#include "absl/status/status.h"
#include "client/client.h"

namespace meshgate::client {

// Whether a stream that was refused for its token may be let in with the one that there is now.
inline bool MayCallAgain(const Client& client, const absl::Status& refused, const std::string& token) {
  if (!absl::IsUnauthenticated(refused) && !absl::IsPermissionDenied(refused)) return false;
  const absl::StatusOr<std::string> now = client.Token();
  return now.ok() && *now != token;
}

}  // namespace meshgate::client

#endif  // MESHGATE_CLIENT_RENEWED_TOKEN_H_
