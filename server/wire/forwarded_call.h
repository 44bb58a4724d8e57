#ifndef MESHGATE_SERVER_WIRE_FORWARDED_CALL_H_
#define MESHGATE_SERVER_WIRE_FORWARDED_CALL_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "boost/asio/steady_timer.hpp"
#include "consul/base/mutex.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/client_callback.h"
#include "server/wire/call.h"
#include "server/wire/event_loop.h"
#include "server/wire/stream.h"

namespace meshgate::server::wire {

// One call on its way into a grpc::Server. A bidirectional call on the inside, whatever the method is.
//
// What Call asks for happens on the loop's thread, what gRPC tells on its own; the latter posts to the loop. gRPC may
// be started something for until its OnDone(), which a hold keeps away until no more will be.
class ForwardedCall final : public Call,
                            public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                            public std::enable_shared_from_this<ForwardedCall> {
 public:
  // `on_over` is called when gRPC is done with it.
  ForwardedCall(Stream* stream, std::function<void()> on_over);

  // Begins, or ends the stream where the request's metadata are not gRPC's.
  void Start(grpc::GenericStub* stub);

  // Call
  void OnMessage(std::string message) override;
  void OnHalfClose() override;
  SharedBytes NextMessage() override;
  Ending OnStalled(absl::Duration stalled) override;
  void OnClosed(Why why) override;

  // grpc::ClientBidiReactor
  void OnReadInitialMetadataDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  // Copies what a caller's metadata are to the inside. Returns false where gRPC would abort the process over them.
  bool CopyMetadata();
  void Post(absl::AnyInvocable<void()> task);
  void PumpWrites();
  // The connection keeps as much as it may.
  void RefuseToHold();
  // Nothing will be started any more.
  void LetGo();

  EventLoop* const loop_;
  const std::function<void()> on_over_;
  grpc::ClientContext context_;
  grpc::ByteBuffer reading_;

  // ---- The loop's thread.
  Stream* stream_;
  // Until OnDone().
  std::shared_ptr<ForwardedCall> self_;
  grpc::ByteBuffer writing_;
  bool write_under_way_ = false;
  std::deque<std::string> to_write_;
  size_t to_write_bytes_ = 0;
  bool half_closed_ = false;
  bool writes_done_ = false;
  std::deque<SharedBytes> to_send_;
  bool headers_came_ = false;
  boost::asio::steady_timer empty_headers_;
  // Between OnDone()'s arrival and the last message taken.
  std::unique_ptr<Ending> ending_;

  Mutex mu_;
  bool let_go_ ABSL_GUARDED_BY(mu_) = false;
  bool read_paused_ ABSL_GUARDED_BY(mu_) = false;
  size_t unsent_bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_FORWARDED_CALL_H_
