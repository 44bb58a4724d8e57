// One call of a case of the Conformance service.
#ifndef MESHGATE_TESTS_CONFORMANCE_CPP_CASE_CALL_H_
#define MESHGATE_TESTS_CONFORMANCE_CPP_CASE_CALL_H_

#include <memory>

#include "consul/base/mutex.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "tests/conformance/conformance.grpc.pb.h"
#include "tests/conformance/script.pb.h"

namespace meshgate::conformance {

// Of calls that are no case themselves, and of cases that hang against all expectation.
constexpr absl::Duration kPatience = absl::Seconds(30);

class CaseCall {
 public:
  CaseCall(std::shared_ptr<grpc::Channel> channel, const v1::Case& c);

  v1::Outcome Run();

  // Waits until the server has begun the call, for cases that are cancelled or drained. Beside Run().
  bool WaitStarted() { return Seen(&v1::Conformance::Stub::SeenStarted); }

 private:
  using SeenMethod = grpc::Status (v1::Conformance::Stub::*)(grpc::ClientContext*, const v1::SeenRequest&,
                                                             v1::SeenResponse*);
  bool Seen(SeenMethod method);
  void PrepareContext();
  v1::CallRequest MakeRequest(uint32_t index) const;
  grpc::Status RunUnary();
  grpc::Status RunUnknown();
  grpc::Status RunServerStream();
  grpc::Status RunClientStream();
  grpc::Status RunBidi();
  // Writes the case's requests and half-closes, as far as the case says so.
  template <typename Stream>
  void WriteAll(Stream* stream);
  template <typename Stream>
  void ReadAll(Stream* stream);
  void OnResponse(const v1::CallResponse& response);
  void SetOver();

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::Conformance::Stub> stub_;
  const v1::Case case_;
  v1::Plan plan_;
  grpc::ClientContext context_;
  v1::Outcome outcome_;

  Mutex mu_;
  CondVar changed_;
  uint32_t answers_ ABSL_GUARDED_BY(mu_) = 0;
  bool over_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace meshgate::conformance

#endif  // MESHGATE_TESTS_CONFORMANCE_CPP_CASE_CALL_H_
