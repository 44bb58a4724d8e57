#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "server/http/api/conditions.h"
#include "server/http/api/routes.h"
#include "server/http/api/unary.h"

namespace meshgate::server::api {
namespace {

constexpr char kService[] = "meshgate.v1.ConfigService";
constexpr char kKeyPath[] = "/api/v1/config/{key=**}";
constexpr char kListPath[] = "/api/v1/config";
constexpr char kRaw[] = "raw";

// The parameters of a route and those of all reads.
std::vector<Parameter> AndReads(std::vector<Parameter> parameters) {
  for (Parameter& parameter : ReadParameters()) parameters.push_back(std::move(parameter));
  return parameters;
}

HttpResponse NotModified(const std::string& tag) {
  HttpResponse response;
  response.status = 304;
  response.content_type.clear();
  response.headers = {{"ETag", tag}, {"Cache-Control", "private, no-cache"}};
  return response;
}

// The value alone; what else there is to know is in the headers.
HttpResponse RawValue(const v1::GetConfigResponse& got) {
  HttpResponse response;
  response.content_type = "application/octet-stream";
  response.body = got.entry().value();
  response.headers = {{"Cache-Control", "private, no-cache"},
                      {"X-Meshgate-Index", absl::StrCat(got.info().index())},
                      {"X-Meshgate-Source", v1::ReadInfo::Source_Name(got.info().source())},
                      {"X-Meshgate-Age", absl::StrCat(got.info().age().seconds())}};
  return response;
}

std::function<HttpResponse(const v1::GetConfigResponse&)> AnswerGet(const HttpRequest& http, const Query& query) {
  return [raw = query.flag(kRaw),
          if_none_match = std::string(http.header("if-none-match"))](const v1::GetConfigResponse& got) {
    const std::string tag = EntityTag(got.entry().modify_index());
    if (HasCurrent(if_none_match, got.entry().modify_index())) return NotModified(tag);
    HttpResponse response = raw ? RawValue(got) : JsonResponse(got);
    response.headers.emplace_back("ETag", tag);
    return response;
  };
}

// If-Match and If-None-Match, for requests with `if_modify_index`.
template <typename Request>
absl::Status BindCondition(const HttpRequest& http, const Query& query, Request* request) {
  absl::StatusOr<std::optional<uint64_t>> condition = WriteCondition(http);
  if (!condition.ok()) return condition.status();
  if (!condition->has_value()) return absl::OkStatus();
  if (request->has_if_modify_index() || query.has("if_modify_index")) {
    return InvalidField("if_modify_index", "a header has a condition, too: leave it out of one of them");
  }
  request->set_if_modify_index(**condition);
  return absl::OkStatus();
}

absl::Status PreparePut(const Route& route, const HttpRequest& http, const Query& query, v1::PutConfigRequest* request,
                        int* http_status) {
  const std::string type = MediaType(http.header("content-type"));
  if (query.flag(kRaw) || type.empty() || type == "application/octet-stream") {
    request->set_value(http.body);
  } else if (type == "application/json") {
    if (absl::Status s = ReadJsonBody(route, http, request, http_status); !s.ok()) return s;
  } else {
    *http_status = 415;
    return InvalidField("body",
                        "send the value as it is with ?raw or Content-Type: application/octet-stream, or a "
                        "PutConfigRequest with Content-Type: application/json");
  }
  return BindCondition(http, query, request);
}

HttpResponse AnswerPut(const v1::PutConfigResponse& put) {
  HttpResponse response = JsonResponse(put);
  if (put.entry().modify_index() != 0) response.headers.emplace_back("ETag", EntityTag(put.entry().modify_index()));
  return response;
}

template <typename Request, typename Response>
typename Unary<Request, Response>::Handler Bind(ConfigHandlers* handlers,
                                                void (ConfigHandlers::*method)(const Request&, const Caller&,
                                                                               Reply<Response>)) {
  return [handlers, method](const Request& request, const Caller& caller, Reply<Response> reply) {
    (handlers->*method)(request, caller, std::move(reply));
  };
}

const std::vector<Parameter> kKey = {{"key", "key", "May hold slashes; other special characters percent-encoded."}};
const Parameter kDatacenter = {"datacenter", "datacenter", "Consul datacenter; the agent's own without it."};
const Parameter kIfModifyIndex = {"if_modify_index", "if_modify_index",
                                  "Only if the key's modify index still is this one; 0: only if there is no such key. "
                                  "As If-Match and If-None-Match: *."};

void AddReads(ConfigHandlers* handlers, const Environment& environment, std::vector<Route>* routes, Router* router) {
  Unary<v1::GetConfigRequest, v1::GetConfigResponse> get;
  get.route = {"GET", kKeyPath, kService, "GetConfig", "Returns a key.", nullptr, nullptr, Route::Body::kNone};
  get.route.variables = kKey;
  get.route.parameters = AndReads({{kRaw, "", "Answers with the value alone, as it is.", "", true}});
  get.route.conditions = {"If-None-Match"};
  get.handler = Bind(handlers, &ConfigHandlers::GetConfig);
  get.answer = AnswerGet;
  Serve(std::move(get), environment, routes, router);

  Unary<v1::ListConfigRequest, v1::ListConfigResponse> list;
  list.route = {"GET",   kListPath, kService,          "ListConfig", "Lists the keys under a prefix, a page at a time.",
                nullptr, nullptr,   Route::Body::kNone};
  list.route.parameters = AndReads({{"prefix", "prefix", "Without it every key is listed."},
                                    {"keys_only", "keys_only", "Leaves out the values."},
                                    {"page_size", "page_size", "At most this many; 1,000 without it."},
                                    {"page_token", "page_token", "next_page_token of the page before."}});
  list.handler = Bind(handlers, &ConfigHandlers::ListConfig);
  Serve(std::move(list), environment, routes, router);
}

void AddWrites(ConfigHandlers* handlers, const Environment& environment, std::vector<Route>* routes, Router* router) {
  Unary<v1::PutConfigRequest, v1::PutConfigResponse> put;
  put.route = {"PUT",   kKeyPath, kService,           "PutConfig", "Creates or replaces a key.",
               nullptr, nullptr,  Route::Body::kValue};
  put.route.variables = kKey;
  put.route.parameters = {{kRaw, "", "The body is the value, whatever its Content-Type.", "", true},
                          {"flags", "flags", "64 bits that are the caller's."},
                          kIfModifyIndex,
                          kDatacenter};
  put.route.conditions = {"If-Match", "If-None-Match"};
  put.handler = Bind(handlers, &ConfigHandlers::PutConfig);
  put.prepare = [route = put.route](const HttpRequest& http, const Query& query, v1::PutConfigRequest* request,
                                    int* http_status) { return PreparePut(route, http, query, request, http_status); };
  put.answer = [](const HttpRequest&, const Query&) { return AnswerPut; };
  Serve(std::move(put), environment, routes, router);

  Unary<v1::DeleteConfigRequest, v1::DeleteConfigResponse> one;
  one.route = {"DELETE", kKeyPath, kService,          "DeleteConfig", "Deletes a key, if it is there.",
               nullptr,  nullptr,  Route::Body::kNone};
  one.route.variables = kKey;
  one.route.parameters = {kIfModifyIndex, kDatacenter};
  one.route.conditions = {"If-Match"};
  one.handler = Bind(handlers, &ConfigHandlers::DeleteConfig);
  one.prepare = [route = one.route](const HttpRequest& http, const Query& query, v1::DeleteConfigRequest* request,
                                    int* http_status) {
    if (absl::Status s = ReadJsonBody(route, http, request, http_status); !s.ok()) return s;
    return BindCondition(http, query, request);
  };
  Serve(std::move(one), environment, routes, router);

  Unary<v1::DeleteConfigRequest, v1::DeleteConfigResponse> below;
  below.route = {"DELETE", kListPath, kService,          "DeleteConfig", "Deletes every key under a prefix.",
                 nullptr,  nullptr,   Route::Body::kNone};
  below.route.parameters = {{"prefix", "prefix", "Required, and not empty."}, kDatacenter};
  below.handler = Bind(handlers, &ConfigHandlers::DeleteConfig);
  below.prepare = [route = below.route](const HttpRequest& http, const Query& query, v1::DeleteConfigRequest* request,
                                        int* http_status) {
    if (!query.has("prefix")) return InvalidField("prefix", "required: which keys to delete");
    return ReadJsonBody(route, http, request, http_status);
  };
  Serve(std::move(below), environment, routes, router);

  Unary<v1::CommitConfigRequest, v1::CommitConfigResponse> commit;
  commit.route = {
      "POST",  "/api/v1/commit", kService,          "CommitConfig", "Makes up to 64 writes, all of them or none.",
      nullptr, nullptr,          Route::Body::kJson};
  commit.handler = Bind(handlers, &ConfigHandlers::CommitConfig);
  Serve(std::move(commit), environment, routes, router);
}

}  // namespace

std::vector<Parameter> ReadParameters() {
  return {{"consistency", "options.consistency",
           "cached without it: from the gateway's memory, which a watch keeps "
           "current."},
          {"datacenter", "options.datacenter", kDatacenter.help},
          {"min_index", "options.min_index", "The answer must reflect at least this index."},
          {"max_age", "options.max_age", "With cached: refuses an older answer."}};
}

void AddConfigRoutes(ConfigHandlers* handlers, const Environment& environment, std::vector<Route>* routes,
                     Router* router) {
  AddReads(handlers, environment, routes, router);
  AddWrites(handlers, environment, routes, router);
}

}  // namespace meshgate::server::api
