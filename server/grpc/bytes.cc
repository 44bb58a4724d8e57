#include "server/grpc/bytes.h"

#include <string>
#include <string_view>
#include <utility>

#include "consul/base/errors.h"
#include "grpcpp/support/slice.h"
#include "server/service/request_parser.h"

namespace meshgate::server {
namespace {

grpc::ByteBuffer BufferOf(grpc::Slice slice) { return grpc::ByteBuffer(&slice, 1); }

}  // namespace

absl::Status ParseBuffer(const grpc::ByteBuffer& buffer, google::protobuf::Message* request) {
  if (!buffer.Valid()) {
    return MakeError(absl::StatusCode::kCancelled, reason::kCancelled, "the call ended before its request had arrived");
  }
  grpc::Slice slice;
  // Only a request that arrived in several pieces is copied.
  grpc::Status status = buffer.TrySingleSlice(&slice);
  if (!status.ok()) status = buffer.DumpToSingleSlice(&slice);
  if (!status.ok()) {
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidRequest, "request: malformed message");
  }
  return ParseRequest(std::string_view(reinterpret_cast<const char*>(slice.begin()), slice.size()), request);
}

grpc::ByteBuffer Serialize(const google::protobuf::Message& message) {
  grpc::Slice slice(message.ByteSizeLong());
  message.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));
  return BufferOf(std::move(slice));
}

grpc::ByteBuffer ShareBytes(consul::SharedMessage message) {
  const std::string& bytes = message->bytes;
  auto* reference = new consul::SharedMessage(std::move(message));
  // gRPC only reads them; its signature lacks a const.
  return BufferOf(grpc::Slice(
      const_cast<char*>(bytes.data()), bytes.size(), [](void* r) { delete static_cast<consul::SharedMessage*>(r); },
      reference));
}

}  // namespace meshgate::server
