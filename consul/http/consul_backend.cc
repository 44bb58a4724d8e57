#include "consul/http/consul_backend.h"

#include <curl/curl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "consul/base/errors.h"
#include "consul/http/meta.h"
#include "consul/http/parse.h"
#include "consul/http/paths.h"
#include "consul/http/status_map.h"

namespace meshgate::consul::http {
namespace {

constexpr int kMinConnections = 3;
constexpr int kMaxCallConnections = 32;

absl::Status BadOption(std::string_view what) { return InvalidField("consul", what); }

std::string UrlPart(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK || text == nullptr) return "";
  std::string out = text;
  curl_free(text);
  return out;
}

// Scheme, host and port, and nothing else.
absl::StatusOr<std::string> BaseUrl(const std::string& address) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), &curl_url_cleanup);
  const std::string text = absl::StrContains(address, "://") ? address : absl::StrCat("http://", address);
  if (url == nullptr || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return absl::InvalidArgumentError("the address is not a URL such as http://127.0.0.1:8500");
  }
  const std::string scheme = UrlPart(url.get(), CURLUPART_SCHEME);
  const std::string host = UrlPart(url.get(), CURLUPART_HOST);
  const std::string port = UrlPart(url.get(), CURLUPART_PORT);
  if (scheme != "http" && scheme != "https")
    return absl::InvalidArgumentError("the address must begin with http:// or https://");
  const std::string path = UrlPart(url.get(), CURLUPART_PATH);
  if (host.empty() || (!path.empty() && path != "/") || !UrlPart(url.get(), CURLUPART_QUERY).empty() ||
      !UrlPart(url.get(), CURLUPART_USER).empty() || !UrlPart(url.get(), CURLUPART_FRAGMENT).empty()) {
    return absl::InvalidArgumentError("the address must be a host and a port alone, such as http://127.0.0.1:8500");
  }
  return absl::StrCat(scheme, "://", host, port.empty() ? "" : ":", port);
}

// Of addresses with commas; at least one. An error says which one is wrong, and not how it reads: it may hold a
// password.
absl::StatusOr<std::vector<std::string>> BaseUrls(const std::string& addresses) {
  const std::vector<std::string> each = absl::StrSplit(addresses, ',');
  std::vector<std::string> urls;
  for (const std::string& address : each) {
    absl::StatusOr<std::string> url = BaseUrl(std::string(absl::StripAsciiWhitespace(address)));
    if (!url.ok()) {
      const std::string which = each.size() == 1 ? "" : absl::StrCat("address ", urls.size() + 1, ": ");
      return BadOption(absl::StrCat(which, url.status().message()));
    }
    urls.push_back(*std::move(url));
  }
  return urls;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ConsulBackend>> ConsulBackend::Create(const ConsulBackendOptions& options,
                                                                     Scheduler* scheduler, BackendReporter* reporter) {
  const absl::StatusOr<std::vector<std::string>> urls = BaseUrls(options.address);
  if (!urls.ok()) return urls.status();
  for (const char c : options.token) {
    if (c <= ' ' || c > '~') return BadOption("the token holds a character that no token has; is it the right file?");
  }
  if (options.cert_file.empty() != options.key_file.empty()) {
    return BadOption("a client certificate needs its key, and a key its certificate");
  }
  if (options.max_connections < kMinConnections) return BadOption("at least 3 connections are needed");
  if (options.connect_timeout <= absl::ZeroDuration()) return BadOption("the connect timeout must be above zero");

  CurlLoopOptions loop;
  loop.base_url = urls->front();
  loop.fallback_urls.assign(urls->begin() + 1, urls->end());
  const int call_connections = std::clamp(options.max_connections / 5, 2, kMaxCallConnections);
  loop.streamed_connections = call_connections / 2;
  loop.unary_connections = call_connections - loop.streamed_connections;
  loop.watch_connections = options.max_connections - call_connections;
  loop.connect_timeout = options.connect_timeout;
  loop.max_body_bytes = options.max_answer_bytes;
  loop.token = options.token;
  loop.ca_file = options.ca_file;
  loop.cert_file = options.cert_file;
  loop.key_file = options.key_file;
  loop.verify_tls = options.verify_tls;
  return std::unique_ptr<ConsulBackend>(
      new ConsulBackend(std::move(loop), options.on_redirects_followed, scheduler, reporter));
}

ConsulBackend::ConsulBackend(CurlLoopOptions options, std::function<void(std::string_view)> on_redirects_followed,
                             Scheduler* scheduler, BackendReporter* reporter)
    : on_redirects_followed_(std::move(on_redirects_followed)), calls_(std::move(options), scheduler, reporter) {}

ConsulBackend::~ConsulBackend() = default;

void ConsulBackend::Shutdown() { calls_.Shutdown(); }

CallHandle ConsulBackend::CheckHealth(absl::Duration timeout, Callback<BackendHealth> done) {
  const ActiveCallHandle call = calls_.Begin(timeout);
  Request request;
  request.target = "/v1/status/leader";
  calls_.Send(call, Endpoint::kStatus, std::move(request),
              [this, call, done = std::move(done)](Response response, absl::Time) mutable {
                if (absl::Status status = StatusOf({Endpoint::kStatus}, response); !status.ok())
                  return done(std::move(status));
                absl::StatusOr<std::string> leader = ParseLeader(std::move(response.body));
                if (!leader.ok()) return done(std::move(leader).status());
                if (leader->empty()) return done(BackendHealth{});
                // Who the leader is says nothing of how old a server's data is; a stale read does, whatever it reads.
                Request stale;
                stale.target = Target("/v1/health/service/consul").Flag("stale").str();
                calls_.Send(call, Endpoint::kHealthService, std::move(stale),
                            [done = std::move(done)](Response response, absl::Time) mutable {
                              absl::Status status = StatusOf({Endpoint::kHealthService}, response);
                              if (!status.ok()) return done(std::move(status));
                              BackendHealth health;
                              health.known_leader = KnownLeader(response);
                              health.last_contact = LastContact(response);
                              done(health);
                            });
              });
  return call;
}

void ConsulBackend::SendWrite(const ActiveCallHandle& call, Endpoint endpoint, Request request, DoneCallback done) {
  calls_.Send(call, endpoint, std::move(request),
              [endpoint, done = std::move(done)](Response response, absl::Time) mutable {
                done(StatusOf({endpoint, /*write=*/true}, response));
              });
}

}  // namespace meshgate::consul::http
