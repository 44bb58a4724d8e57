// What Consul would accept, mangle or redirect is refused here first: every rule says what is wrong and for which
// field. Sources: Consul's KV and agent API documentation, and what a real agent was seen to do with bad input.
#ifndef MESHGATE_CONSUL_VALIDATE_H_
#define MESHGATE_CONSUL_VALIDATE_H_

#include <cstddef>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "consul/types.h"

namespace meshgate::consul {

inline constexpr size_t kMaxKeyBytes = 1024;
inline constexpr size_t kMaxValueBytes = 524288;
inline constexpr size_t kMaxCommitOperations = 64;
// Of the JSON that a commit travels in. Consul's default (limits.txn_max_req_len); one byte more is refused.
inline constexpr size_t kMaxCommitBytes = 524288;
inline constexpr size_t kMaxServiceNameBytes = 63;
inline constexpr size_t kMaxMetaEntries = 64;

// All return OK or INVALID_ARGUMENT made by InvalidField(field, ...).

// A KV key: UTF-8, 1 to 1,024 bytes, no leading slash, no empty, "." or ".." segment, no control characters. A trailing
// slash is one empty last segment and is allowed: Consul's folders are keys such as "a/".
absl::Status ValidateKey(std::string_view field, std::string_view key);

// As a key, but may be empty and may end anywhere.
absl::Status ValidatePrefix(std::string_view field, std::string_view prefix);

// At most 524,288 bytes.
absl::Status ValidateValue(std::string_view field, std::string_view value);

// What a commit takes of kMaxCommitBytes, at most: for each operation 128 bytes, its key, and its value in base64.
size_t CommitBytes(const std::vector<KvOperation>& operations);

// 1 to 64 operations within kMaxCommitBytes; about 390,000 bytes of values. Looks at nothing else of them.
absl::Status ValidateCommitSize(std::string_view field, const std::vector<KvOperation>& operations);

// A DNS label: letters, digits and '-', 1 to 63 bytes, no '-' at either end.
absl::Status ValidateServiceName(std::string_view field, std::string_view name);

// 1 to 255 bytes of UTF-8 without '/', control characters or white space at the ends: what can be removed again by its
// path.
absl::Status ValidateInstanceId(std::string_view field, std::string_view id);

// Empty, or a datacenter's name: letters, digits, '-' and '_'.
absl::Status ValidateDatacenter(std::string_view field, std::string_view datacenter);

// Fields are named as in RegisterRequest: "instance.port", "checks[0].interval", ... At most 64 tags of 255 bytes, and
// 64 headers of a probe with names of 256 and values of 4,096 bytes. Where checks may lead is for CheckAllowList to
// say.
absl::Status ValidateRegistration(const Registration& registration);

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_VALIDATE_H_
