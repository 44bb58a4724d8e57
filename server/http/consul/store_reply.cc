#include "server/http/consul/store_reply.h"

#include "consul/base/errors.h"
#include "consul/validate.h"
#include "server/service/read_options.h"

namespace meshgate::server::consul_api {

void AnswerSoon(const SharedRequest& request, HttpResponse response) {
  RunOn(request->thread(),
        [request, response = std::move(response)]() mutable { request->Answer(std::move(response)); });
}

void FailSoon(const SharedRequest& request, const absl::Status& status) {
  RunOn(request->thread(), [request, status] { request->Fail(status); });
}

void ServeFromStore(const SharedRequest& request, HubRead read) {
  if (absl::Status valid = consul::ValidateDatacenter("dc", read.how.datacenter); !valid.ok()) {
    return request->Fail(valid);
  }
  read.target.datacenter = read.how.datacenter;
  if (read.how.index > 0) return ServeBlocking(request, std::move(read));
  ReadPlan plan;
  plan.cached = false;
  plan.mode = read.how.mode;
  plan.datacenter = read.how.datacenter;
  plan.timeout = kMaxCallTime;
  plan.identity = request->caller().identity;
  Read(request->sources().reads(), read.target, plan,
       [request, answer = read.answer](absl::StatusOr<ReadResult> result) {
         if (!result.ok()) return FailSoon(request, result.status());
         HttpResponse response = answer(*result->state);
         AddIndex(result->info.index(), &response);
         AnswerSoon(request, std::move(response));
       });
}

}  // namespace meshgate::server::consul_api
