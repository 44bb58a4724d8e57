#include "server/http/api/call.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "consul/base/errors.h"
#include "server/http/api/fields.h"
#include "server/http/uri.h"

namespace meshgate::server::api {
namespace {

Caller CallerOf(const HttpRequest& http, const auth::Guard* guard) {
  Caller caller;
  caller.peer = http.peer;
  caller.tls_identity = http.tls_identity;
  caller.request_id = std::string(http.header(CallScope::kRequestId));
  if (guard != nullptr) caller.identity = guard->Identify(http.headers, caller.tls_identity);
  return caller;
}

const Parameter* Find(const std::vector<Parameter>& parameters, std::string_view name) {
  const auto found = std::find_if(parameters.begin(), parameters.end(),
                                  [name](const Parameter& parameter) { return parameter.name == name; });
  return found == parameters.end() ? nullptr : &*found;
}

// A write that leaves out its condition loses what somebody else has written (RFC 9110, 13.1).
absl::Status CheckConditions(const Route& route, const HttpRequest& http) {
  if (route.method == "GET") return absl::OkStatus();
  for (const char* condition : {"If-Match", "If-None-Match", "If-Unmodified-Since"}) {
    const auto& taken = route.conditions;
    if (std::find(taken.begin(), taken.end(), condition) != taken.end()) continue;
    const std::string name = absl::AsciiStrToLower(condition);
    const bool given = std::any_of(http.headers.begin(), http.headers.end(),
                                   [&name](const auto& header) { return header.first == name; });
    if (!given) continue;
    return InvalidField(condition, taken.empty() ? "this request takes no condition: send it without"
                                                 : absl::StrCat("does not go with this request; ",
                                                                absl::StrJoin(taken, " and "), " does"));
  }
  return absl::OkStatus();
}

}  // namespace

const std::string* Query::find(std::string_view name) const {
  for (const auto& [key, value] : parameters_) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string Query::value(std::string_view name) const {
  const std::string* value = find(name);
  return value == nullptr ? "" : *value;
}

absl::StatusOr<Query> ParseParameters(const Route& route, const HttpRequest& http) {
  if (absl::Status s = CheckConditions(route, http); !s.ok()) return s;
  auto parameters = ParseQuery(http.query);
  if (!parameters.ok()) return parameters.status();
  for (auto it = parameters->begin(); it != parameters->end(); ++it) {
    const Parameter* known = Find(route.parameters, it->first);
    if (known == nullptr) {
      if (route.parameters.empty()) return InvalidField("query", "this path takes no parameters");
      const std::string names = absl::StrJoin(
          route.parameters, ", ", [](std::string* out, const Parameter& one) { absl::StrAppend(out, one.name); });
      return InvalidField("query", absl::StrCat("holds an unknown parameter; known here are ", names));
    }
    if (known->flag && it->second != "" && it->second != "true" && it->second != "false") {
      return InvalidField(it->first, "must be true or false");
    }
    const bool again =
        std::any_of(parameters->begin(), it, [&](const auto& other) { return other.first == it->first; });
    if (again && (known->field.empty() || !IsList(route.request, known->field))) {
      return InvalidField(it->first, "is given more than once");
    }
  }
  return Query(*std::move(parameters));
}

absl::Status BindParameters(const Route& route, const HttpRequest& http, const Query& query,
                            google::protobuf::Message* request) {
  for (const Parameter& variable : route.variables) {
    const absl::Status set = SetField(variable.name, variable.field, http.variable(variable.name), request);
    if (!set.ok()) return set;
  }
  for (const auto& [name, value] : query.parameters()) {
    const Parameter* parameter = Find(route.parameters, name);
    if (parameter->field.empty()) continue;
    if (absl::Status set = SetField(name, parameter->field, value, request); !set.ok()) return set;
  }
  return absl::OkStatus();
}

Call::Call(const MethodInfo* method, const Environment& environment, const HttpRequest& http)
    : scope_(std::make_unique<CallScope>(method, environment.calls, CallerOf(http, environment.guard))),
      caller_(scope_->caller()),
      request_id_(caller_.request_id),
      admission_(environment.guard, environment.limits) {
  scope_->reporter()->OnReceived();
}

absl::Status Call::AdmitStream() {
  absl::Status admitted = admission_.AdmitStream(caller_);
  caller_.place = admission_.place();
  return admitted;
}

void Call::Leave() {
  caller_.place = nullptr;
  admission_.Leave();
}

bool Call::End(const absl::Status& status) {
  const auto scope = std::exchange(scope_, nullptr);
  if (scope == nullptr) return false;
  scope->OnFinished(status, [this] { return subject_; });
  return true;
}

}  // namespace meshgate::server::api
