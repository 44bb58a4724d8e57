// The service on gRPC's callback API.
#ifndef MESHGATE_TESTS_CONFORMANCE_GRPC_SERVICE_H_
#define MESHGATE_TESTS_CONFORMANCE_GRPC_SERVICE_H_

#include "tests/conformance/conformance.grpc.pb.h"
#include "tests/conformance/service.h"

namespace meshgate::conformance {

class GrpcService final : public v1::Conformance::CallbackService {
 public:
  // `events` outlives the service.
  explicit GrpcService(Events* events) : events_(events) {}

  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const v1::CallRequest* request,
                                  v1::CallResponse* response) override;
  grpc::ServerWriteReactor<v1::CallResponse>* ServerStream(grpc::CallbackServerContext* context,
                                                           const v1::CallRequest* request) override;
  grpc::ServerReadReactor<v1::CallRequest>* ClientStream(grpc::CallbackServerContext* context,
                                                         v1::CallResponse* response) override;
  grpc::ServerBidiReactor<v1::CallRequest, v1::CallResponse>* Bidi(grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* SeenStarted(grpc::CallbackServerContext* context, const v1::SeenRequest* request,
                                        v1::SeenResponse* response) override;
  grpc::ServerUnaryReactor* SeenCancelled(grpc::CallbackServerContext* context, const v1::SeenRequest* request,
                                          v1::SeenResponse* response) override;

 private:
  Events* const events_;
};

}  // namespace meshgate::conformance

#endif  // MESHGATE_TESTS_CONFORMANCE_GRPC_SERVICE_H_
