#include "tests/conformance/grpc_service.h"

#include <atomic>
#include <memory>
#include <type_traits>

#include "absl/time/clock.h"
#include "grpcpp/alarm.h"

namespace meshgate::conformance {
namespace {

std::string ToString(grpc::string_ref s) { return std::string(s.data(), s.size()); }

CallFacts FactsOf(const grpc::CallbackServerContext& context) {
  CallFacts facts;
  for (const auto& [key, value] : context.client_metadata()) {
    facts.metadata.emplace_back(ToString(key), ToString(value));
  }
  if (context.deadline() != std::chrono::system_clock::time_point::max()) {
    facts.deadline_left = absl::FromChrono(context.deadline()) - absl::Now();
  }
  facts.has_peer = !context.peer().empty();
  return facts;
}

// Runs a Call on a reactor of any of the four kinds. Owns itself until gRPC is done. Steps follow each other; only
// OnCancel() may come beside one.
template <typename Reactor, typename Request, typename Response>
class Driver final : public Reactor {
 public:
  static constexpr bool kReads = !std::is_same_v<Reactor, grpc::ServerUnaryReactor> &&
                                 !std::is_same_v<Reactor, grpc::ServerWriteReactor<Response>>;
  static constexpr bool kWrites = std::is_same_v<Reactor, grpc::ServerWriteReactor<Response>> ||
                                  std::is_same_v<Reactor, grpc::ServerBidiReactor<Request, Response>>;

  // `request` is that of the methods that have a single one, `response` likewise; the latter lives until Finish().
  static Reactor* Start(Method method, grpc::CallbackServerContext* context, Events* events, const Request* request,
                        Response* response) {
    auto* driver = new Driver(method, context, events, response);
    if (request != nullptr) driver->call_.OnRequest(*request);
    driver->Run();
    return driver;
  }

  void OnReadDone(bool ok) {
    if (ok) {
      call_.OnRequest(std::move(request_));
      request_ = {};
    } else {
      call_.OnHalfClose();
    }
    Run();
  }
  void OnWriteDone(bool /*ok*/) { DoneAndOn(); }
  void OnSendInitialMetadataDone(bool /*ok*/) override { DoneAndOn(); }
  void OnDone() override { delete this; }

  void OnCancel() override {
    call_.OnCancelled();
    std::shared_ptr<std::atomic<bool>> woken;
    {
      MutexLock lock(mu_);
      cancelled_ = true;
      woken = woken_;
    }
    if (woken != nullptr && !woken->exchange(true)) Run();
  }

 private:
  Driver(Method method, grpc::CallbackServerContext* context, Events* events, Response* response)
      : context_(context), events_(events), out_(response), call_(method, FactsOf(*context), events) {}

  bool cancelled() {
    MutexLock lock(mu_);
    return cancelled_;
  }

  void DoneAndOn() {
    call_.OnDone();
    Run();
  }

  // After a Start...() or Finish() the next reaction may already run, and the driver be gone.
  void Run() {
    while (true) {
      if (cancelled()) return this->Finish(grpc::Status::CANCELLED);
      const Call::Step step = call_.Next();
      if (step == Call::Step::kRead) {
        if constexpr (kReads) this->StartRead(&request_);
        return;
      }
      AddHeadersOnce();
      switch (step) {
        case Call::Step::kSendHeaders:
          return this->StartSendInitialMetadata();
        case Call::Step::kAwait:
          return Await();
        case Call::Step::kWrite:
          if constexpr (kWrites) {
            return this->StartWrite(&call_.response());
          } else if constexpr (std::is_same_v<Response, v1::SeenResponse>) {
            *out_ = call_.seen_response();
          } else {
            *out_ = call_.response();
          }
          call_.OnDone();
          continue;
        default:
          return End();
      }
    }
  }

  void AddHeadersOnce() {
    if (headers_added_) return;
    headers_added_ = true;
    for (const auto& [key, value] : call_.initial_metadata()) context_->AddInitialMetadata(key, value);
    if (call_.compress()) context_->set_compression_algorithm(GRPC_COMPRESS_GZIP);
  }

  void Await() {
    // The first of event, alarm and cancellation goes on with the call; the others find `woken` set and the call
    // perhaps gone, as may be the rest of this function.
    Events* const events = events_;
    const Call::Awaited awaited = call_.await();
    auto woken = std::make_shared<std::atomic<bool>>(false);
    bool gone;
    {
      MutexLock lock(mu_);
      woken_ = woken;
      gone = cancelled_;
    }
    if (gone) return this->Finish(grpc::Status::CANCELLED);
    const auto wake = [this, woken](bool happened) {
      if (woken->exchange(true)) return;
      call_.OnWoken(happened);
      Run();
    };
    if (awaited.timeout != absl::InfiniteDuration()) {
      // Keeps itself until it has fired.
      auto alarm = std::make_shared<grpc::Alarm>();
      grpc::Alarm* const set = alarm.get();
      set->Set(absl::ToChronoTime(absl::Now() + awaited.timeout), [wake, alarm](bool) mutable {
        wake(false);
        alarm.reset();
      });
    }
    if (!awaited.event.empty()) events->Await(awaited.event, [wake] { wake(true); });
  }

  void End() {
    const CallEnd end = call_.end();
    for (const auto& [key, value] : end.trailing_metadata) context_->AddTrailingMetadata(key, value);
    this->Finish(grpc::Status(static_cast<grpc::StatusCode>(end.code), end.message, end.details));
  }

  grpc::CallbackServerContext* const context_;
  Events* const events_;
  Response* const out_;
  Request request_;
  Call call_;
  bool headers_added_ = false;
  Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  // Of the wait in progress, or the last one.
  std::shared_ptr<std::atomic<bool>> woken_ ABSL_GUARDED_BY(mu_);
};

template <typename Reactor>
using CallDriver = Driver<Reactor, v1::CallRequest, v1::CallResponse>;
using SeenDriver = Driver<grpc::ServerUnaryReactor, v1::SeenRequest, v1::SeenResponse>;

}  // namespace

grpc::ServerUnaryReactor* GrpcService::Unary(grpc::CallbackServerContext* context, const v1::CallRequest* request,
                                             v1::CallResponse* response) {
  return CallDriver<grpc::ServerUnaryReactor>::Start(Method::kUnary, context, events_, request, response);
}

grpc::ServerWriteReactor<v1::CallResponse>* GrpcService::ServerStream(grpc::CallbackServerContext* context,
                                                                      const v1::CallRequest* request) {
  return CallDriver<grpc::ServerWriteReactor<v1::CallResponse>>::Start(Method::kServerStream, context, events_, request,
                                                                       nullptr);
}

grpc::ServerReadReactor<v1::CallRequest>* GrpcService::ClientStream(grpc::CallbackServerContext* context,
                                                                    v1::CallResponse* response) {
  return CallDriver<grpc::ServerReadReactor<v1::CallRequest>>::Start(Method::kClientStream, context, events_, nullptr,
                                                                     response);
}

grpc::ServerBidiReactor<v1::CallRequest, v1::CallResponse>* GrpcService::Bidi(grpc::CallbackServerContext* context) {
  return CallDriver<grpc::ServerBidiReactor<v1::CallRequest, v1::CallResponse>>::Start(Method::kBidi, context, events_,
                                                                                       nullptr, nullptr);
}

grpc::ServerUnaryReactor* GrpcService::SeenStarted(grpc::CallbackServerContext* context, const v1::SeenRequest* request,
                                                   v1::SeenResponse* response) {
  return SeenDriver::Start(Method::kSeenStarted, context, events_, request, response);
}

grpc::ServerUnaryReactor* GrpcService::SeenCancelled(grpc::CallbackServerContext* context,
                                                     const v1::SeenRequest* request, v1::SeenResponse* response) {
  return SeenDriver::Start(Method::kSeenCancelled, context, events_, request, response);
}

}  // namespace meshgate::conformance
