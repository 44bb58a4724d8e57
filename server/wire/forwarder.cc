#include "server/wire/forwarder.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/grpc.h"
#include "grpcpp/support/channel_arguments.h"
#include "server/wire/forwarded_call.h"
#include "server/wire/stream.h"

namespace meshgate::server::wire {
namespace {

std::shared_ptr<grpc::Channel> ChannelTo(grpc::Server* server, size_t max_message_bytes) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(static_cast<int>(max_message_bytes));
  return server->InProcessChannel(arguments);
}

}  // namespace

Forwarder::Forwarder(grpc::Server* server, const Options& options)
    : options_(options), stub_(ChannelTo(server, options.max_message_bytes)) {}

std::shared_ptr<Call> Forwarder::Start(Stream* stream) {
  if (!stream->BeginForwarded()) {
    stream->Finish({static_cast<int>(grpc::StatusCode::RESOURCE_EXHAUSTED),
                    "as many calls of this kind are open on this connection as may be; end some",
                    {}});
    return nullptr;
  }
  open_->Begin();
  if (open_->open() > options_.max_calls) {
    open_->End();
    stream->Finish({static_cast<int>(grpc::StatusCode::RESOURCE_EXHAUSTED),
                    absl::StrCat("more than ", options_.max_calls, " calls of this kind are open; try again later"),
                    {}});
    return nullptr;
  }
  auto call = std::make_shared<ForwardedCall>(stream, [open = open_] { open->End(); });
  call->Start(&stub_);
  return call;
}

}  // namespace meshgate::server::wire
