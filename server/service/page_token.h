#ifndef MESHGATE_SERVER_SERVICE_PAGE_TOKEN_H_
#define MESHGATE_SERVER_SERVICE_PAGE_TOKEN_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace meshgate::server {

// Where the next page of a list begins. A page is cut by key, not by number: entries that come and go between two pages
// neither repeat nor hide others. A gateway keeps nothing between pages, so any gateway can serve the next one.
struct PagePosition {
  // The last key of the page before.
  std::string after;
  // Index of the state that page was cut from: the next one must not be older, or a key could be missing from both.
  uint64_t index = 0;
};

// Opaque and printable, at most 1,600 bytes; good for the same prefix and datacenter only.
std::string EncodePageToken(const PagePosition& position, std::string_view prefix, std::string_view datacenter);

// The position, or INVALID_ARGUMENT (INVALID_PAGE_TOKEN) for `page_token` when the token was not made by
// EncodePageToken for this prefix and datacenter.
absl::StatusOr<PagePosition> DecodePageToken(std::string_view token, std::string_view prefix,
                                             std::string_view datacenter);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_SERVICE_PAGE_TOKEN_H_
