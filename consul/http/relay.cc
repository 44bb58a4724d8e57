// ConsulBackend as a Relay.
#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/http/consul_backend.h"
#include "consul/http/relay_request.h"
#include "consul/http/status_map.h"

namespace meshgate::consul::http {
namespace {

constexpr absl::Duration kRetryAfter = absl::Seconds(1);

class ToSink final : public Receiver {
 public:
  explicit ToSink(std::shared_ptr<RelaySink> sink) : sink_(std::move(sink)) {}

  void OnHead(int code, HeaderList headers) override { sink_->OnHead({code, PassedOn(std::move(headers))}); }
  bool OnBody(std::string_view bytes) override { return sink_->OnBody(bytes); }

 private:
  const std::shared_ptr<RelaySink> sink_;
};

// Of a request that was not sent.
class NoCall final : public RelayCall {
 public:
  void Cancel() override {}
  void Resume() override {}
};

absl::Status TooManyWait(int most) {
  return WithRetryAfter(
      MakeError(absl::StatusCode::kResourceExhausted, reason::kConsulOverloaded,
                absl::StrCat("as many requests as may wait at Consul for others do so already (", most,
                             "): try again when one has ended, watch keys and services, which share queries, or raise "
                             "--consul_max_connections")),
      kRetryAfter);
}

}  // namespace

std::shared_ptr<RelayCall> ConsulBackend::Send(RelayRequest relayed, std::shared_ptr<RelaySink> sink) {
  const bool waits = relayed.waits;
  absl::StatusOr<Request> request = ToRequest(std::move(relayed));
  if (!request.ok()) return RefuseRelayed(std::move(request).status(), std::move(sink));
  const Asked asked{EndpointOf(request->target), /*write=*/request->method != Method::kGet};
  if (request->timeout <= absl::ZeroDuration()) {
    Response late;
    late.end = Response::End::kTimedOut;
    return RefuseRelayed(StatusOf(asked, late), std::move(sink));
  }
  if (waits) {
    const int most = std::max(1, calls_.limit(Pool::kStreamed) / 2);
    if (++waiting_ > most) {
      --waiting_;
      return RefuseRelayed(TooManyWait(most), std::move(sink));
    }
  }
  request->receiver = std::make_shared<ToSink>(sink);
  return calls_.Stream(asked.endpoint, *std::move(request),
                       [this, waits, asked, sink = std::move(sink)](const Response& response) {
                         if (waits) --waiting_;
                         // Whatever Consul says is an answer here.
                         const bool answered = response.end == Response::End::kAnswered;
                         sink->OnEnd(answered ? absl::OkStatus() : StatusOf(asked, response));
                       });
}

std::shared_ptr<RelayCall> ConsulBackend::RefuseRelayed(absl::Status status, std::shared_ptr<RelaySink> sink) {
  calls_.Post([status = std::move(status), sink = std::move(sink)] { sink->OnEnd(status); });
  return std::make_shared<NoCall>();
}

}  // namespace meshgate::consul::http
