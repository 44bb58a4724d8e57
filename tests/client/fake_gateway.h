#ifndef MESHGATE_TESTS_CLIENT_FAKE_GATEWAY_H_
#define MESHGATE_TESTS_CLIENT_FAKE_GATEWAY_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "google/rpc/status.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "meshgate/v1/registry_service.grpc.pb.h"

namespace meshgate::testing {

// An error as the gateway sends it: with google.rpc details.
inline grpc::Status GatewayError(grpc::StatusCode code, const std::string& reason, const std::string& message,
                                 int retry_seconds = 0) {
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("meshgate");
  google::rpc::Status details;
  details.set_code(code);
  details.set_message(message);
  details.add_details()->PackFrom(info);
  if (retry_seconds > 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(retry_seconds);
    details.add_details()->PackFrom(retry);
  }
  return grpc::Status(code, message, details.SerializeAsString());
}

// A gateway on a port of its own that answers what the test says. Set the answers before the first call.
class FakeGateway {
 public:
  // One stream of a watch: what it sends, then how it ends.
  template <typename Response>
  struct Stream {
    std::vector<Response> responses;
    grpc::Status status;
    // Stays open after the responses until the caller cancels.
    bool hold = false;
  };

  FakeGateway() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&config_);
    builder.RegisterService(&registry_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) ADD_FAILURE() << "no port to listen on";
  }
  ~FakeGateway() { server_->Shutdown(std::chrono::system_clock::now()); }

  // The token of the latest call that names one of GetConfig, WatchConfig and HoldRegistration; empty: none.
  std::string token() { return tokens_.latest(); }

  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }

  class Tokens {
   public:
    void Note(const grpc::ServerContext& context) {
      const auto found = context.client_metadata().find("x-consul-token");
      std::lock_guard<std::mutex> lock(mu_);
      latest_ = found == context.client_metadata().end() ? "" : std::string(found->second.data(), found->second.size());
    }
    std::string latest() {
      std::lock_guard<std::mutex> lock(mu_);
      return latest_;
    }

   private:
    std::mutex mu_;
    std::string latest_;
  };

  template <typename Request, typename Response>
  using Answer = std::function<grpc::Status(const Request&, Response*)>;

  class Config final : public v1::ConfigService::Service {
   public:
    explicit Config(Tokens* tokens) : tokens_(tokens) {}

    Answer<v1::GetConfigRequest, v1::GetConfigResponse> get;
    Answer<v1::PutConfigRequest, v1::PutConfigResponse> put;
    Answer<v1::DeleteConfigRequest, v1::DeleteConfigResponse> del;
    Answer<v1::ListConfigRequest, v1::ListConfigResponse> list;
    Answer<v1::CommitConfigRequest, v1::CommitConfigResponse> commit;
    // Taken in turn; the calls after the last one are held.
    std::deque<Stream<v1::WatchConfigResponse>> streams;

    std::vector<v1::WatchConfigRequest> watch_requests() {
      std::lock_guard<std::mutex> lock(mu_);
      return watch_requests_;
    }

   private:
    grpc::Status GetConfig(grpc::ServerContext* context, const v1::GetConfigRequest* request,
                           v1::GetConfigResponse* response) override {
      tokens_->Note(*context);
      return Call(get, *request, response);
    }
    grpc::Status PutConfig(grpc::ServerContext*, const v1::PutConfigRequest* request,
                           v1::PutConfigResponse* response) override {
      return Call(put, *request, response);
    }
    grpc::Status DeleteConfig(grpc::ServerContext*, const v1::DeleteConfigRequest* request,
                              v1::DeleteConfigResponse* response) override {
      return Call(del, *request, response);
    }
    grpc::Status ListConfig(grpc::ServerContext*, const v1::ListConfigRequest* request,
                            v1::ListConfigResponse* response) override {
      return Call(list, *request, response);
    }
    grpc::Status CommitConfig(grpc::ServerContext*, const v1::CommitConfigRequest* request,
                              v1::CommitConfigResponse* response) override {
      return Call(commit, *request, response);
    }
    grpc::Status WatchConfig(grpc::ServerContext* context, const v1::WatchConfigRequest* request,
                             grpc::ServerWriter<v1::WatchConfigResponse>* writer) override {
      tokens_->Note(*context);
      Stream<v1::WatchConfigResponse> stream;
      stream.hold = true;
      {
        std::lock_guard<std::mutex> lock(mu_);
        watch_requests_.push_back(*request);
        if (!streams.empty()) {
          stream = std::move(streams.front());
          streams.pop_front();
        }
      }
      return Play(stream, context, writer);
    }

    Tokens* const tokens_;
    std::mutex mu_;
    std::vector<v1::WatchConfigRequest> watch_requests_;
  };

  class Registry final : public v1::RegistryService::Service {
   public:
    explicit Registry(Tokens* tokens) : tokens_(tokens) {}

    Answer<v1::RegisterRequest, v1::RegisterResponse> add;
    Answer<v1::DeregisterRequest, v1::DeregisterResponse> remove;
    Answer<v1::HeartbeatRequest, v1::HeartbeatResponse> heartbeat;
    Answer<v1::DiscoverRequest, v1::DiscoverResponse> discover;
    Answer<v1::ListServicesRequest, v1::ListServicesResponse> list;
    Stream<v1::WatchServiceResponse> stream;
    // Taken in turn; what is sent after the first message. One that holds stays until the caller half-closes.
    std::deque<Stream<v1::HoldRegistrationResponse>> holds;

    // Every message so far, of all streams.
    std::vector<v1::HoldRegistrationRequest> hold_requests() {
      std::lock_guard<std::mutex> lock(mu_);
      return hold_requests_;
    }
    // Waits until so many have come; false after 30 s.
    bool WaitForHoldRequests(size_t count) {
      std::unique_lock<std::mutex> lock(mu_);
      return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return hold_requests_.size() >= count; });
    }
    int half_closes() {
      std::lock_guard<std::mutex> lock(mu_);
      return half_closes_;
    }

   private:
    grpc::Status Register(grpc::ServerContext*, const v1::RegisterRequest* request,
                          v1::RegisterResponse* response) override {
      return Call(add, *request, response);
    }
    grpc::Status Deregister(grpc::ServerContext*, const v1::DeregisterRequest* request,
                            v1::DeregisterResponse* response) override {
      return Call(remove, *request, response);
    }
    grpc::Status Heartbeat(grpc::ServerContext*, const v1::HeartbeatRequest* request,
                           v1::HeartbeatResponse* response) override {
      return Call(heartbeat, *request, response);
    }
    grpc::Status Discover(grpc::ServerContext*, const v1::DiscoverRequest* request,
                          v1::DiscoverResponse* response) override {
      return Call(discover, *request, response);
    }
    grpc::Status ListServices(grpc::ServerContext*, const v1::ListServicesRequest* request,
                              v1::ListServicesResponse* response) override {
      return Call(list, *request, response);
    }
    grpc::Status WatchService(grpc::ServerContext* context, const v1::WatchServiceRequest*,
                              grpc::ServerWriter<v1::WatchServiceResponse>* writer) override {
      return Play(stream, context, writer);
    }
    grpc::Status HoldRegistration(
        grpc::ServerContext* context,
        grpc::ServerReaderWriter<v1::HoldRegistrationResponse, v1::HoldRegistrationRequest>* stream) override {
      tokens_->Note(*context);
      Stream<v1::HoldRegistrationResponse> script;
      {
        std::lock_guard<std::mutex> lock(mu_);
        if (holds.empty()) return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "");
        script = std::move(holds.front());
        holds.pop_front();
      }
      v1::HoldRegistrationRequest request;
      bool first = true;
      while ((first || script.hold) && stream->Read(&request)) {
        {
          std::lock_guard<std::mutex> lock(mu_);
          hold_requests_.push_back(request);
          changed_.notify_all();
        }
        if (!std::exchange(first, false)) continue;
        for (const auto& response : script.responses) stream->Write(response);
      }
      if (script.hold && !context->IsCancelled()) {
        std::lock_guard<std::mutex> lock(mu_);
        ++half_closes_;
      }
      return script.status;
    }

    Tokens* const tokens_;
    std::mutex mu_;
    std::condition_variable changed_;
    std::vector<v1::HoldRegistrationRequest> hold_requests_;
    int half_closes_ = 0;
  };

  Config& config() { return config_; }
  Registry& registry() { return registry_; }

 private:
  template <typename Request, typename Response>
  static grpc::Status Call(const Answer<Request, Response>& answer, const Request& request, Response* response) {
    if (answer == nullptr) return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "");
    return answer(request, response);
  }

  template <typename Response>
  static grpc::Status Play(const Stream<Response>& stream, grpc::ServerContext* context,
                           grpc::ServerWriter<Response>* writer) {
    for (const Response& response : stream.responses) writer->Write(response);
    if (!stream.hold) return stream.status;
    // The synchronous API tells of a cancellation by polling alone.
    while (!context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return grpc::Status::CANCELLED;
  }

  Tokens tokens_;
  Config config_{&tokens_};
  Registry registry_{&tokens_};
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_CLIENT_FAKE_GATEWAY_H_
