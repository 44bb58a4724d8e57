// How gRPC writes things into HTTP/2 headers (grpc/grpc, doc/PROTOCOL-HTTP2.md).
#ifndef MESHGATE_SERVER_WIRE_HEADER_CODEC_H_
#define MESHGATE_SERVER_WIRE_HEADER_CODEC_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace meshgate::server::wire {

// In order, and as on the wire: values of names that end in "-bin" are base64.
using Metadata = std::vector<std::pair<std::string, std::string>>;

// For grpc-message: everything but printable ASCII, and the percent sign itself, as %XX.
std::string PercentEncode(std::string_view text);

// Without padding, as gRPC sends it.
std::string Base64Encode(std::string_view bytes);
// With padding or without. Absent where it is not base64.
std::optional<std::string> Base64Decode(std::string_view text);

// "100m" is 100 ms: at most eight digits and one of H M S m u n. Absent where it is none.
std::optional<absl::Duration> ParseTimeout(std::string_view text);

// Whether `name` holds bytes, and its values are base64.
bool IsBinary(std::string_view name);

// "application/grpc", alone or followed by "+proto" or ";...".
bool IsGrpcContentType(std::string_view type);

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_HEADER_CODEC_H_
