// Between gRPC's byte buffers and ours.
#ifndef MESHGATE_SERVER_GRPC_BYTES_H_
#define MESHGATE_SERVER_GRPC_BYTES_H_

#include "absl/status/status.h"
#include "consul/watch/hub.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/byte_buffer.h"

namespace meshgate::server {

// Parses a request with ParseRequest(), which can say what is wrong with a bad one. CANCELLED where there is none: a
// caller that cancels early enough has sent only headers, and gRPC then calls the method with an invalid buffer.
absl::Status ParseBuffer(const grpc::ByteBuffer& buffer, google::protobuf::Message* request);

grpc::ByteBuffer Serialize(const google::protobuf::Message& message);

// A buffer over the bytes of `message`, which are not copied: gRPC holds a reference until they are sent.
grpc::ByteBuffer ShareBytes(consul::SharedMessage message);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_GRPC_BYTES_H_
