#ifndef MESHGATE_SERVER_WIRE_STREAM_CALL_H_
#define MESHGATE_SERVER_WIRE_STREAM_CALL_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "consul/base/prefetch.h"
#include "server/hold/hold_stream.h"
#include "server/stream/outbox.h"
#include "server/wire/native_call.h"

namespace meshgate::server::wire {

// A call that sends what an outbox has, as long as that has something.
//
// What a reader that does not read costs: this, and a reference to one message where it stopped in the middle of one.
//
// The listener comes first, and `stream_` soon after it: within Listener::kPreparedBytes.
class StreamCall : public Outbox::Listener, public NativeCall {
 public:
  SharedBytes NextMessage() override;
  void PrepareNext(int step) const override;
  bool HasMore() const override { return outbox_->MayHave(); }
  void OnClosed(Why why) override;
  // From the outbox.
  void OnReady() override;
  void PrepareReady() const override {
    Prefetch(stream_, sizeof *stream_);
    Prefetch(&outbox_, sizeof outbox_);
  }

 protected:
  // Sends the response's headers at once: the caller learns that the stream stands, however long the first message
  // takes.
  StreamCall(Stream* stream, const MethodInfo* method, const NativeEnvironment& environment,
             consul::WatchReporter* reporter);
  ~StreamCall() override;

  const std::shared_ptr<Outbox>& outbox() const { return outbox_; }
  // Otherwise the stream is ending, and nothing that comes means anything.
  bool admitted() const { return admitted_; }

  void OnEnd(const absl::Status& status) override;
  absl::Status StalledStatus(absl::Duration stalled) override;

 private:
  consul::WatchReporter* const reporter_;
  const std::shared_ptr<Outbox> outbox_;
  std::unique_ptr<StreamSet::Membership> membership_;
  bool admitted_ = true;
};

// A server-streaming call to `handler(const Request&, const Caller&, const std::shared_ptr<Outbox>&)`, which starts the
// outbox or ends it.
template <typename Request>
class WatchCall final : public StreamCall {
 public:
  using Handler = std::function<void(const Request&, const Caller&, const std::shared_ptr<Outbox>&)>;

  // `method`, `handler` and what is in `environment` outlive the call.
  WatchCall(Stream* stream, const MethodInfo* method, const NativeEnvironment& environment, const Handler* handler)
      : StreamCall(stream, method, environment, environment.watches), handler_(handler) {}

  void OnMessage(std::string message) override {
    if (std::exchange(begun_, true)) return;
    scope_.reporter()->OnReceived();
    if (!admitted()) return;
    Request request;
    absl::Status parsed = ParseRequest(message, &request);
    if (!parsed.ok()) return outbox()->End(std::move(parsed));
    subject_ = SubjectOf(request);
    (*handler_)(request, scope_.caller(), outbox());
  }

  void OnHalfClose() override {
    if (begun_) return;
    outbox()->End(
        MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidRequest, "the call carries no request"));
  }

 private:
  std::string Subject() const override { return subject_; }

  const Handler* const handler_;
  std::string subject_;
  bool begun_ = false;
};

// HoldRegistration.
class HoldCall final : public StreamCall {
 public:
  HoldCall(Stream* stream, const MethodInfo* method, const NativeEnvironment& environment, HoldKeeper* keeper);

  void OnMessage(std::string message) override;
  void OnHalfClose() override {
    if (admitted()) hold_->OnHalfClose();
  }

 protected:
  void OnEnd(const absl::Status& status) override;
  std::string Subject() const override { return hold_->id(); }

 private:
  const std::shared_ptr<HoldStream> hold_;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_STREAM_CALL_H_
