#include "client/client.h"

#include "client/errors.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

namespace meshgate::client {
namespace {

std::shared_ptr<grpc::Channel> MakeChannel(const ClientOptions& options) {
  grpc::ChannelArguments args;
  args.SetUserAgentPrefix("meshgate-client/" MESHGATE_VERSION);
  // Notices a gateway that vanished without closing the connection, which an idle stream otherwise never would: in less
  // than the TTL of a held instance. The gateway lets clients ping every 5 s.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 8'000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 4'000);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 250);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);  // How long one attempt to connect may take.
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 10'000);
  // A value has 512 KiB, but a snapshot of a prefix has no such bound.
  args.SetMaxReceiveMessageSize(256 << 20);
  // A gateway is inside, mostly on this host: http_proxy is for what is outside, and would get its calls.
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Clients of one process do not share a connection by accident: each has its own backoff.
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (!options.tls_server_name.empty()) args.SetSslTargetNameOverride(options.tls_server_name);
  const auto credentials = options.credentials != nullptr ? options.credentials : grpc::InsecureChannelCredentials();
  return grpc::CreateCustomChannel(options.endpoint, credentials, args);
}

}  // namespace

Client::Client(const ClientOptions& options)
    : options_(options),
      channel_(MakeChannel(options)),
      config_(v1::ConfigService::NewStub(channel_)),
      registry_(v1::RegistryService::NewStub(channel_)) {}

absl::StatusOr<std::string> Client::Token() const {
  if (options_.token == nullptr) return std::string();
  if (options_.credentials == nullptr && !options_.insecure_token && !StaysOnHost(options_.endpoint)) {
    return absl::FailedPreconditionError("the token is not sent to " + options_.endpoint +
                                         " in plain text: set credentials (client/tls.h), or insecure_token where "
                                         "the network may read it");
  }
  return options_.token->Token();
}

absl::Status Client::Prepare(grpc::ClientContext* context) const {
  absl::StatusOr<std::string> token = Token();
  if (token.ok()) AttachToken(*token, context);
  return token.status();
}

void Client::ConnectNow() { grpc::experimental::ChannelResetConnectionBackoff(channel_.get()); }

template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Client::Unary(Stub* stub,
                                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                       const Request& request, const CallOptions& options) {
  grpc::ClientContext context;
  if (absl::Status prepared = Prepare(&context); !prepared.ok()) return prepared;
  const absl::Duration timeout = options.timeout == absl::ZeroDuration() ? options_.timeout : options.timeout;
  if (timeout != absl::InfiniteDuration()) context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  Cancellation::Scope scope(options.cancellation, &context);
  Response response;
  const grpc::Status status = (stub->*method)(&context, request, &response);
  if (!status.ok()) return FromGrpc(status);
  return response;
}

absl::StatusOr<v1::GetConfigResponse> Client::GetConfig(const v1::GetConfigRequest& request,
                                                        const CallOptions& options) {
  return Unary(config(), &v1::ConfigService::StubInterface::GetConfig, request, options);
}

absl::StatusOr<v1::ListConfigResponse> Client::ListConfig(const v1::ListConfigRequest& request,
                                                          const CallOptions& options) {
  return Unary(config(), &v1::ConfigService::StubInterface::ListConfig, request, options);
}

absl::StatusOr<v1::PutConfigResponse> Client::PutConfig(const v1::PutConfigRequest& request,
                                                        const CallOptions& options) {
  return Unary(config(), &v1::ConfigService::StubInterface::PutConfig, request, options);
}

absl::StatusOr<v1::DeleteConfigResponse> Client::DeleteConfig(const v1::DeleteConfigRequest& request,
                                                              const CallOptions& options) {
  return Unary(config(), &v1::ConfigService::StubInterface::DeleteConfig, request, options);
}

absl::StatusOr<v1::CommitConfigResponse> Client::CommitConfig(const v1::CommitConfigRequest& request,
                                                              const CallOptions& options) {
  return Unary(config(), &v1::ConfigService::StubInterface::CommitConfig, request, options);
}

absl::StatusOr<v1::RegisterResponse> Client::Register(const v1::RegisterRequest& request, const CallOptions& options) {
  return Unary(registry(), &v1::RegistryService::StubInterface::Register, request, options);
}

absl::StatusOr<v1::DeregisterResponse> Client::Deregister(const v1::DeregisterRequest& request,
                                                          const CallOptions& options) {
  return Unary(registry(), &v1::RegistryService::StubInterface::Deregister, request, options);
}

absl::StatusOr<v1::HeartbeatResponse> Client::Heartbeat(const v1::HeartbeatRequest& request,
                                                        const CallOptions& options) {
  return Unary(registry(), &v1::RegistryService::StubInterface::Heartbeat, request, options);
}

absl::StatusOr<v1::DiscoverResponse> Client::Discover(const v1::DiscoverRequest& request, const CallOptions& options) {
  return Unary(registry(), &v1::RegistryService::StubInterface::Discover, request, options);
}

absl::StatusOr<v1::ListServicesResponse> Client::ListServices(const v1::ListServicesRequest& request,
                                                              const CallOptions& options) {
  return Unary(registry(), &v1::RegistryService::StubInterface::ListServices, request, options);
}

}  // namespace meshgate::client
