#ifndef MESHGATE_SERVER_SERVICE_REQUEST_PARSER_H_
#define MESHGATE_SERVER_SERVICE_REQUEST_PARSER_H_

#include <string_view>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace meshgate::server {

// Parses a request from the wire, and says what is wrong with one that does not parse.
//
// A transport hands over raw bytes instead of letting gRPC parse them: the generated code refuses a proto3 string that
// is not UTF-8 without saying which, gRPC then answers UNIMPLEMENTED without a message, and protobuf logs a line that
// any caller can cause. Here it is INVALID_ARGUMENT "key: not valid UTF-8" with a BadRequest that names the field by
// its path ("instance.tags[1]"; for what is inside a map the map, "instance.meta"), and "request: malformed protobuf
// message" for anything else that does not parse. `out` is replaced; after an error its content is unspecified. More
// fields than any request has (10,000) are refused before they cost much.
//
// Costs one more pass over the message's tags and strings; bytes fields are skipped.
absl::Status ParseRequest(std::string_view bytes, google::protobuf::Message* out);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_SERVICE_REQUEST_PARSER_H_
