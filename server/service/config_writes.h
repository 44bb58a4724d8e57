// The requests that write configuration, as operations of the backend. Errors are INVALID_ARGUMENT and name the field.
#ifndef MESHGATE_SERVER_SERVICE_CONFIG_WRITES_H_
#define MESHGATE_SERVER_SERVICE_CONFIG_WRITES_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "consul/types.h"
#include "meshgate/v1/config_service.pb.h"

namespace meshgate::server {

// `path` is what stands before the names of fields: "" or, for a part of a commit, "operations[3].put.". Neither looks
// at the datacenter.
absl::StatusOr<consul::PutOperation> ParsePut(std::string_view path, const v1::PutConfigRequest& request);
absl::StatusOr<consul::KvOperation> ParseDelete(std::string_view path, const v1::DeleteConfigRequest& request);

// All operations, within the limits of a commit. Their datacenters are the request's, which is taken for valid, or
// empty.
absl::StatusOr<std::vector<consul::KvOperation>> ParseCommit(const v1::CommitConfigRequest& request);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_SERVICE_CONFIG_WRITES_H_
