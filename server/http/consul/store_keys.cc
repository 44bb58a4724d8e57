#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/validate.h"
#include "server/http/consul/store_handlers.h"
#include "server/http/consul/store_reply.h"

namespace meshgate::server::consul_api {
namespace {

const std::string& KeyOf(const Request& request) { return request.http().variable("key"); }

// Written or not, as Consul says it: a comparison that fails is no error.
template <typename Response>
Reply<Response> ReplyDone(const SharedRequest& request) {
  return ReplyWith<Response>(request, [](const absl::StatusOr<Response>& response) {
    if (absl::IsAborted(response.status())) return JsonAnswer("false");
    return response.ok() ? JsonAnswer("true") : ErrorAnswer(response.status());
  });
}

absl::Status RefuseLocks(const Parameters& parameters) {
  for (const char* lock : {"acquire", "release"}) {
    if (!parameters.has(lock)) continue;
    return MakeError(absl::StatusCode::kUnimplemented, kNotServed,
                     absl::StrCat(lock, ": locks need Consul's sessions, which are not served here; cas is"));
  }
  return absl::OkStatus();
}

}  // namespace

void StoreGetKeys(const SharedRequest& request) {
  const Parameters& parameters = request->parameters();
  const absl::StatusOr<ReadHow> how = HowToRead(parameters);
  if (!how.ok()) return request->Fail(how.status());
  HubRead read;
  read.how = *how;
  read.target.name = KeyOf(*request);
  const bool keys = parameters.has("keys");
  const bool prefix = keys || parameters.has("recurse");
  const absl::Status valid = prefix ? consul::ValidatePrefix("key", read.target.name)
                                    : consul::ValidateKey("key", read.target.name);
  if (!valid.ok()) return request->Fail(valid);
  read.target.kind = prefix ? consul::TargetKind::kPrefix : consul::TargetKind::kKey;
  const bool pretty = parameters.has("pretty");
  const EntriesFormat format = {parameters.has("raw") && !prefix, pretty};
  if (keys) {
    read.answer = [name = read.target.name, separator = parameters.value("separator"),
                   pretty](const consul::State& state) { return KeysAnswer(state.entries, name, separator, pretty); };
  } else {
    read.answer = [format](const consul::State& state) { return EntriesAnswer(state.entries, format); };
  }
  ServeFromStore(request, std::move(read));
}

void StorePutKey(const SharedRequest& request) {
  const Parameters& parameters = request->parameters();
  if (absl::Status locks = RefuseLocks(parameters); !locks.ok()) return request->Fail(locks);
  const auto flags = parameters.Number("flags");
  if (!flags.ok()) return request->Fail(flags.status());
  const auto cas = parameters.Number("cas");
  if (!cas.ok()) return request->Fail(cas.status());
  if (request->http().body.size() > consul::kMaxValueBytes) {
    HttpResponse response = ErrorAnswer(consul::ValidateValue("value", request->http().body));
    response.status = 413;
    return request->Answer(std::move(response));
  }
  v1::PutConfigRequest put;
  put.set_key(KeyOf(*request));
  put.set_value(request->http().body);
  put.set_flags(flags->value_or(0));
  if (cas->has_value()) put.set_if_modify_index(**cas);
  put.set_datacenter(parameters.value("dc"));
  request->sources().config->PutConfig(put, request->caller(), ReplyDone<v1::PutConfigResponse>(request));
}

void StoreDeleteKeys(const SharedRequest& request) {
  const Parameters& parameters = request->parameters();
  const auto cas = parameters.Number("cas");
  if (!cas.ok()) return request->Fail(cas.status());
  const bool recurse = parameters.has("recurse");
  if (recurse && cas->has_value()) {
    return request->Fail(InvalidField("cas", "cannot go with recurse: it compares one key"));
  }
  v1::DeleteConfigRequest remove;
  if (recurse) {
    remove.set_prefix(KeyOf(*request));
  } else {
    remove.set_key(KeyOf(*request));
  }
  if (cas->has_value()) remove.set_if_modify_index(**cas);
  remove.set_datacenter(parameters.value("dc"));
  request->sources().config->DeleteConfig(remove, request->caller(), ReplyDone<v1::DeleteConfigResponse>(request));
}

}  // namespace meshgate::server::consul_api
