#include "server/http/router.h"

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "consul/base/errors.h"
#include "server/http/error.h"

namespace meshgate::server {
namespace {

constexpr char kGet[] = "GET";
constexpr char kHead[] = "HEAD";

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "";
}

void Router::Add(const std::string& method, const std::string& path, HttpHandler handler) {
  if (absl::EndsWith(path, "/*")) {
    below_[path.substr(0, path.size() - 1)][method] = std::move(handler);
  } else {
    literal_[path][method] = std::move(handler);
  }
}

const Router::Methods* Router::Find(const std::string& path) const {
  if (auto it = literal_.find(path); it != literal_.end()) return &it->second;
  // From the last slash to the first: the longest prefix first.
  for (size_t slash = path.rfind('/'); slash != std::string::npos;
       slash = slash == 0 ? std::string::npos : path.rfind('/', slash - 1)) {
    if (auto it = below_.find(path.substr(0, slash + 1)); it != below_.end()) return &it->second;
  }
  return nullptr;
}

void Router::Handle(const HttpRequest& request, HttpReply reply) const {
  const Methods* methods = Find(request.path);
  if (methods == nullptr) {
    return reply(ErrorResponse(
        MakeError(absl::StatusCode::kNotFound, kNoSuchPath, "nothing is served at this path; see / for what is")));
  }
  auto it = methods->find(request.method);
  if (it == methods->end() && request.method == kHead) it = methods->find(kGet);
  if (it != methods->end()) return it->second(request, std::move(reply));

  std::vector<std::string> allowed;
  for (const auto& [method, handler] : *methods) {
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
