// The C++ client: a channel to one gateway with settings that suit it, and its calls as absl::StatusOr.
//
//   meshgate::client::ClientOptions options;
//   options.endpoint = "127.0.0.1:50051";
//   meshgate::client::Client client(options);
//   meshgate::v1::GetConfigRequest request;
//   request.set_key("payments/db/url");
//   auto response = client.GetConfig(request);
//   if (!response.ok()) return response.status();
//
// For a subscription that survives restarts of the gateway see client/watch.h.
#ifndef MESHGATE_CLIENT_CLIENT_H_
#define MESHGATE_CLIENT_CLIENT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cancellation.h"
#include "client/token.h"
#include "grpcpp/channel.h"
#include "grpcpp/security/credentials.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "meshgate/v1/registry_service.grpc.pb.h"

namespace meshgate::client {

struct ClientOptions {
  // host:port, unix:PATH, or any other target that gRPC resolves.
  std::string endpoint = "127.0.0.1:50051";
  // TlsCredentials() of client/tls.h, or others; null: plain text.
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  // With TLS, the name that the gateway's certificate has to be for; empty: the endpoint's host.
  std::string tls_server_name;
  // Who calls, for a gateway that asks Consul (--auth=consul): TokenFile() or StaticToken() of client/token.h; null:
  // nobody in particular.
  std::shared_ptr<TokenSource> token;
  // Sends the token also in plain text to another host, where the network can read it. Without this, and without
  // `credentials`, calls there fail with FAILED_PRECONDITION and are not sent.
  bool insecure_token = false;
  // Of a unary call, unless the call says otherwise.
  absl::Duration timeout = absl::Seconds(10);
};

struct CallOptions {
  // Zero: ClientOptions::timeout. InfiniteDuration(): none.
  absl::Duration timeout;
  // Ends the call with CANCELLED. Outlives it.
  Cancellation* cancellation = nullptr;
};

// Connects when the first call is made and again whenever the connection is lost; a call made meanwhile fails with
// UNAVAILABLE instead of waiting. Calls are never retried here: whether a write may be repeated is the caller's to
// know.
//
// Thread-safe. Errors: the gateway's, with their details (client/errors.h); UNAVAILABLE without a reason when it can't
// be reached; DEADLINE_EXCEEDED; CANCELLED; FAILED_PRECONDITION without a reason where there is no token to send.
class Client {
 public:
  explicit Client(const ClientOptions& options);

  absl::StatusOr<v1::GetConfigResponse> GetConfig(const v1::GetConfigRequest& request, const CallOptions& options = {});
  absl::StatusOr<v1::ListConfigResponse> ListConfig(const v1::ListConfigRequest& request,
                                                    const CallOptions& options = {});
  absl::StatusOr<v1::PutConfigResponse> PutConfig(const v1::PutConfigRequest& request, const CallOptions& options = {});
  absl::StatusOr<v1::DeleteConfigResponse> DeleteConfig(const v1::DeleteConfigRequest& request,
                                                        const CallOptions& options = {});
  absl::StatusOr<v1::CommitConfigResponse> CommitConfig(const v1::CommitConfigRequest& request,
                                                        const CallOptions& options = {});

  absl::StatusOr<v1::RegisterResponse> Register(const v1::RegisterRequest& request, const CallOptions& options = {});
  absl::StatusOr<v1::DeregisterResponse> Deregister(const v1::DeregisterRequest& request,
                                                    const CallOptions& options = {});
  absl::StatusOr<v1::HeartbeatResponse> Heartbeat(const v1::HeartbeatRequest& request, const CallOptions& options = {});
  absl::StatusOr<v1::DiscoverResponse> Discover(const v1::DiscoverRequest& request, const CallOptions& options = {});
  absl::StatusOr<v1::ListServicesResponse> ListServices(const v1::ListServicesRequest& request,
                                                        const CallOptions& options = {});

  // For what has no method here, after Prepare().
  v1::ConfigService::StubInterface* config() const { return config_.get(); }
  v1::RegistryService::StubInterface* registry() const { return registry_.get(); }

  // Adds what ClientOptions says to a call before it is made. After an error it must not be made.
  absl::Status Prepare(grpc::ClientContext* context) const;

  // What Prepare() adds now; empty: nothing.
  absl::StatusOr<std::string> Token() const;

  // The next call connects at once, however long gRPC would wait after the last failure: for callers that pace their
  // tries themselves.
  void ConnectNow();

  const std::string& endpoint() const { return options_.endpoint; }

 private:
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Unary(Stub* stub,
                                 grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                 const Request& request, const CallOptions& options);

  const ClientOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::ConfigService::StubInterface> config_;
  const std::unique_ptr<v1::RegistryService::StubInterface> registry_;
};

}  // namespace meshgate::client

#endif  // MESHGATE_CLIENT_CLIENT_H_
