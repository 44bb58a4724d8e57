#include "client/watch.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "client/errors.h"
#include "client/renewed_token.h"
#include "grpcpp/client_context.h"

namespace meshgate::client {
namespace {

std::unique_ptr<grpc::ClientReaderInterface<v1::WatchConfigResponse>> Open(Client* client, grpc::ClientContext* context,
                                                                           const v1::WatchConfigRequest& request) {
  return client->config()->WatchConfig(context, request);
}

std::unique_ptr<grpc::ClientReaderInterface<v1::WatchServiceResponse>> Open(Client* client,
                                                                            grpc::ClientContext* context,
                                                                            const v1::WatchServiceRequest& request) {
  return client->registry()->WatchService(context, request);
}

}  // namespace

template <typename Traits>
Watch<Traits>::Watch(Client* client, Request request, WatchOptions options)
    : client_(client), request_(std::move(request)), options_(options) {}

template <typename Traits>
typename Watch<Traits>::Ending Watch<Traits>::RunStream(Listener* listener, Cancellation* cancellation,
                                                        const Request& request) {
  Ending ending;
  grpc::ClientContext context;
  absl::StatusOr<std::string> token = client_->Token();
  if (!token.ok()) {
    ending.status = token.status();
    return ending;
  }
  AttachToken(*token, &context);
  ending.token = *std::move(token);
  Cancellation::Scope scope(cancellation, &context);
  state_.BeginStream(!request.resume_token().empty());
  auto reader = Open(client_, &context, request);
  Response response;
  while (reader->Read(&response)) {
    ending.received = true;
    const bool was_stale = state_.stale();
    const auto changes = state_.Apply(response);
    if (!changes.ok()) {
      context.TryCancel();
      reader->Finish();
      ending.broke_contract = true;
      ending.status = changes.status();
      return ending;
    }
    const Update update{response, *changes, state_, !was_stale && state_.stale(), was_stale && !state_.stale()};
    if (!listener->OnUpdate(update)) {
      context.TryCancel();
      reader->Finish();
      ending.enough = true;
      return ending;
    }
  }
  ending.status = FromGrpc(reader->Finish());
  if (ending.status.ok()) ending.status = absl::UnavailableError("the gateway ended the stream");
  return ending;
}

template <typename Traits>
absl::Status Watch<Traits>::Run(Listener* listener, Cancellation* cancellation) {
  // For waiting between two streams, too.
  Cancellation never;
  if (cancellation == nullptr) cancellation = &never;
  Backoff backoff(options_.backoff);
  Request request = request_;
  while (true) {
    const Ending ending = RunStream(listener, cancellation, request);
    if (ending.enough) return absl::OkStatus();
    if (cancellation->cancelled()) return absl::CancelledError("cancelled");
    if (!options_.reconnect) return ending.status;

    // A gateway may refuse a token that another one made; the state itself is still to be had.
    const bool token_refused = !request.resume_token().empty() && !ending.received &&
                               ending.status.code() == absl::StatusCode::kInvalidArgument;
    if (!IsTransient(ending.status) && !token_refused && !MayCallAgain(*client_, ending.status, ending.token)) {
      return ending.status;
    }
    if (ending.received) {
      request.set_resume_token(state_.resume_token());
      if (!ending.broke_contract) backoff.Reset();
    }
    if (token_refused || ending.broke_contract) request.clear_resume_token();

    const absl::Duration delay = std::max(backoff.Next(), RetryAfterOf(ending.status).value_or(absl::ZeroDuration()));
    listener->OnDisconnected(ending.status, delay);
    if (!cancellation->Sleep(delay)) return absl::CancelledError("cancelled");
    client_->ConnectNow();
  }
}

template class Watch<ConfigTraits>;
template class Watch<ServiceTraits>;

}  // namespace meshgate::client
