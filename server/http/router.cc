#include "server/http/router.h"

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "consul/base/errors.h"
#include "server/http/error.h"
#include "server/http/uri.h"

namespace meshgate::server {
namespace {

constexpr char kGet[] = "GET";
constexpr char kHead[] = "HEAD";
constexpr std::string_view kRest = "=**}";

const std::string kNone;

// The first segment of a path without its first slash, and what follows it with its slash.
std::pair<std::string_view, std::string_view> Split(std::string_view path) {
  const size_t slash = path.find('/');
  if (slash == std::string_view::npos) return {path, {}};
  return {path.substr(0, slash), path.substr(slash)};
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "";
}

const std::string& HttpRequest::variable(std::string_view name) const {
  for (const auto& [key, value] : variables) {
    if (key == name) return value;
  }
  return kNone;
}

void Router::Add(const std::string& method, const std::string& pattern, HttpHandler handler) {
  routes_.emplace_back(method, pattern);
  Route route;
  route.handler = std::move(handler);
  Node* node = &root_;
  std::string_view left = pattern;
  while (!left.empty()) {
    const auto [segment, after] = Split(left.substr(1));
    left = after;
    if (segment.empty() || segment.front() != '{') {
      std::unique_ptr<Node>& child = node->literal[std::string(segment)];
      if (child == nullptr) child = std::make_unique<Node>();
      node = child.get();
      continue;
    }
    const bool rest = segment.size() > kRest.size() && segment.substr(segment.size() - kRest.size()) == kRest;
    if (rest) {
      route.variables.emplace_back(segment.substr(1, segment.size() - kRest.size() - 1));
      node->rest[method] = std::move(route);
      return;
    }
    route.variables.emplace_back(segment.substr(1, segment.size() - 2));
    if (node->variable == nullptr) node->variable = std::make_unique<Node>();
    node = node->variable.get();
  }
  node->here[method] = std::move(route);
}

const Router::Methods* Router::Find(const Node& node, std::string_view path, std::vector<std::string_view>* values) {
  if (path.empty()) return node.here.empty() ? nullptr : &node.here;
  if (path.front() != '/') return nullptr;
  const auto [segment, after] = Split(path.substr(1));
  if (const auto literal = node.literal.find(segment); literal != node.literal.end()) {
    if (const Methods* found = Find(*literal->second, after, values)) return found;
  }
  if (node.variable != nullptr && !segment.empty()) {
    values->push_back(segment);
    if (const Methods* found = Find(*node.variable, after, values)) return found;
    values->pop_back();
  }
  if (node.rest.empty()) return nullptr;
  values->push_back(path.substr(1));
  return &node.rest;
}

void Router::Handle(HttpRequest request, HttpReply reply) const {
  for (const HttpFilter& filter : filters_) {
    reply = filter(request, std::move(reply));
    if (reply == nullptr) return;
  }
  Dispatch(std::move(request), std::move(reply));
}

void Router::Dispatch(HttpRequest request, HttpReply reply) const {
  std::vector<std::string_view> values;
  const Methods* methods = Find(root_, request.path, &values);
  if (methods == nullptr) {
    return reply(ErrorResponse(
        MakeError(absl::StatusCode::kNotFound, kNoSuchPath, "nothing is served at this path; see / for what is")));
  }
  auto it = methods->find(request.method);
  if (it == methods->end() && request.method == kHead) it = methods->find(kGet);
  if (it != methods->end()) {
    const Route& route = it->second;
    for (size_t i = 0; i < values.size(); ++i) {
      std::optional<std::string> value = PercentDecode(values[i]);
      if (!value.has_value()) {
        return reply(ErrorResponse(InvalidField(
            route.variables[i], "a \"%\" in the path is not followed by two hexadecimal digits: write it as %25")));
      }
      request.variables.emplace_back(route.variables[i], *std::move(value));
    }
    return route.handler(request, std::move(reply));
  }

  std::vector<std::string> allowed;
  for (const auto& [method, route] : *methods) {
    allowed.push_back(method);
    if (method == kGet) allowed.push_back(kHead);
  }
  const std::string allow = absl::StrJoin(allowed, ", ");
  HttpResponse response =
      ErrorResponse(MakeError(absl::StatusCode::kUnimplemented, kMethodNotAllowed, "this path answers " + allow), 405);
  response.headers.emplace_back("Allow", allow);
  reply(std::move(response));
}

}  // namespace meshgate::server
