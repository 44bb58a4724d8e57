#ifndef MESHGATE_SERVER_HTTP_CONSUL_STORE_REPLY_H_
#define MESHGATE_SERVER_HTTP_CONSUL_STORE_REPLY_H_

#include <functional>
#include <utility>

#include "absl/status/statusor.h"
#include "server/http/consul/answer.h"
#include "server/http/consul/blocking_read.h"
#include "server/http/consul/call.h"
#include "server/service/call.h"

namespace meshgate::server::consul_api {

// Answers a request on its connection's thread. Any thread.
void AnswerSoon(const SharedRequest& request, HttpResponse response);
void FailSoon(const SharedRequest& request, const absl::Status& status);

// What a handler of the service is given to answer with.
template <typename Response>
Reply<Response> ReplyWith(const SharedRequest& request, std::function<HttpResponse(const absl::StatusOr<Response>&)> write) {
  return [request, write = std::move(write)](absl::StatusOr<Response> response) {
    AnswerSoon(request, write(response));
  };
}

// A target is read as the request asks: `read.how` says whether it waits. The answer is `read.answer`'s.
void ServeFromStore(const SharedRequest& request, HubRead read);

}  // namespace meshgate::server::consul_api

#endif  // MESHGATE_SERVER_HTTP_CONSUL_STORE_REPLY_H_
