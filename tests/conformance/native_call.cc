#include "tests/conformance/native_call.h"

#include <deque>
#include <map>
#include <string>
#include <utility>

#include "boost/asio/steady_timer.hpp"
#include "server/wire/event_loop.h"

namespace meshgate::conformance {
namespace {

using server::wire::Base64Decode;
using server::wire::Base64Encode;
using server::wire::Ending;
using server::wire::EventLoop;
using server::wire::IsBinary;
using server::wire::SharedBytes;
using server::wire::Stream;

Metadata Decoded(const server::wire::Metadata& wire) {
  Metadata decoded;
  for (const auto& [key, value] : wire) {
    decoded.emplace_back(key, IsBinary(key) ? Base64Decode(value).value_or("") : value);
  }
  return decoded;
}

server::wire::Metadata Encoded(const Metadata& metadata) {
  server::wire::Metadata wire;
  for (const auto& [key, value] : metadata) wire.emplace_back(key, IsBinary(key) ? Base64Encode(value) : value);
  return wire;
}

CallFacts FactsOf(const Stream& stream) {
  CallFacts facts;
  facts.metadata = Decoded(stream.head().metadata);
  facts.deadline_left = stream.deadline() - stream.loop().now();
  facts.has_peer = !stream.peer().empty();
  return facts;
}

// All of it on the stream's loop.
class NativeCall final : public server::wire::Call, public std::enable_shared_from_this<NativeCall> {
 public:
  NativeCall(Method method, Stream* stream, Events* events)
      : method_(method),
        stream_(stream),
        loop_(&stream->loop()),
        events_(events),
        call_(method, FactsOf(*stream), events),
        timer_(loop_->io()) {}

  void OnMessage(std::string message) override {
    requests_.push_back(std::move(message));
    Run();
  }

  void OnHalfClose() override {
    half_closed_ = true;
    Run();
  }

  SharedBytes NextMessage() override {
    if (message_ == nullptr) return nullptr;
    SharedBytes message = std::exchange(message_, nullptr);
    // Not inside the stream's question.
    loop_->Post([self = shared_from_this()] {
      self->call_.OnDone();
      self->busy_ = false;
      self->Run();
    });
    return message;
  }

  Ending OnStalled(absl::Duration) override { return {14, "stalled", {}}; }

  void OnClosed(Why why) override {
    stream_ = nullptr;
    timer_.cancel();
    if (why != Why::kFinished) call_.OnCancelled();
  }

 private:
  void Run() {
    while (stream_ != nullptr && !busy_ && !stream_->finished()) {
      switch (call_.Next()) {
        case conformance::Call::Step::kRead:
          if (!Read()) return;
          break;
        case conformance::Call::Step::kSendHeaders:
          stream_->SendHeaders(Encoded(call_.initial_metadata()));
          headers_sent_ = true;
          call_.OnDone();
          break;
        case conformance::Call::Step::kAwait:
          return Await();
        case conformance::Call::Step::kWrite: {
          SetHeaders();
          busy_ = true;
          const bool seen = method_ == Method::kSeenStarted || method_ == Method::kSeenCancelled;
          message_ = std::make_shared<const std::string>(seen ? call_.seen_response().SerializeAsString()
                                                              : call_.response().SerializeAsString());
          stream_->Ready();
          break;
        }
        case conformance::Call::Step::kFinish:
          SetHeaders();
          Finish();
          return;
      }
    }
  }

  // Returns whether there was something.
  bool Read() {
    if (requests_.empty()) {
      if (half_closed_) call_.OnHalfClose();
      return half_closed_;
    }
    const std::string message = std::move(requests_.front());
    requests_.pop_front();
    if (method_ == Method::kSeenStarted || method_ == Method::kSeenCancelled) {
      v1::SeenRequest request;
      request.ParseFromString(message);
      call_.OnRequest(request);
    } else {
      v1::CallRequest request;
      request.ParseFromString(message);
      call_.OnRequest(std::move(request));
    }
    return true;
  }

  void SetHeaders() {
    if (!std::exchange(headers_sent_, true)) stream_->SetHeaders(Encoded(call_.initial_metadata()));
  }

  void Finish() {
    const CallEnd end = call_.end();
    Ending ending{end.code, end.message, Encoded(end.trailing_metadata)};
    if (!end.details.empty()) ending.trailers.emplace_back("grpc-status-details-bin", Base64Encode(end.details));
    stream_->Finish(std::move(ending));
  }

  void Await() {
    busy_ = true;
    const conformance::Call::Awaited awaited = call_.await();
    const uint64_t wait = ++waits_;
    if (awaited.timeout != absl::InfiniteDuration()) {
      timer_.expires_after(absl::ToChronoNanoseconds(awaited.timeout));
      timer_.async_wait([self = shared_from_this(), wait](const boost::system::error_code& error) {
        if (!error) self->OnWoken(wait, false);
      });
    }
    if (awaited.event.empty()) return;
    events_->Await(awaited.event, [self = shared_from_this(), wait] {
      self->loop_->Post([self, wait] { self->OnWoken(wait, true); });
    });
  }

  void OnWoken(uint64_t wait, bool happened) {
    if (wait != waits_ || !busy_) return;
    timer_.cancel();
    busy_ = false;
    call_.OnWoken(happened);
    Run();
  }

  const Method method_;
  Stream* stream_;
  EventLoop* const loop_;
  Events* const events_;
  conformance::Call call_;
  boost::asio::steady_timer timer_;
  std::deque<std::string> requests_;
  bool half_closed_ = false;
  SharedBytes message_;
  // Waits for what it has begun.
  bool busy_ = false;
  bool headers_sent_ = false;
  uint64_t waits_ = 0;
};

}  // namespace

std::shared_ptr<server::wire::Call> MakeNativeCall(Stream* stream, Events* events) {
  static const auto& methods = *new std::map<std::string, Method>{
      {"/meshgate.conformance.v1.Conformance/Unary", Method::kUnary},
      {"/meshgate.conformance.v1.Conformance/ServerStream", Method::kServerStream},
      {"/meshgate.conformance.v1.Conformance/ClientStream", Method::kClientStream},
      {"/meshgate.conformance.v1.Conformance/Bidi", Method::kBidi},
      {"/meshgate.conformance.v1.Conformance/SeenStarted", Method::kSeenStarted},
      {"/meshgate.conformance.v1.Conformance/SeenCancelled", Method::kSeenCancelled},
  };
  const auto found = methods.find(stream->head().path);
  if (found == methods.end()) return nullptr;
  return std::make_shared<NativeCall>(found->second, stream, events);
}

}  // namespace meshgate::conformance
