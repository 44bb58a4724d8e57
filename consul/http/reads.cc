// The reads of ConsulBackend.
#include <algorithm>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/http/consul_backend.h"
#include "consul/http/meta.h"
#include "consul/http/parse.h"
#include "consul/http/paths.h"
#include "consul/http/relay_request.h"
#include "consul/http/status_map.h"
#include "consul/wait.h"

namespace meshgate::consul::http {
namespace {

constexpr absl::Duration kWaitAfterMove = absl::Seconds(2);

void AddReadOptions(const ReadOptions& options, Target& target) {
  target.QueryUnlessEmpty("dc", options.datacenter);
  if (options.mode == ReadMode::kConsistent) target.Flag("consistent");
  // A stale answer to a blocking query was seen to be wrong just after a write.
  if (options.mode == ReadMode::kStale && options.index == 0) target.Flag("stale");
  if (options.index != 0) {
    target.Query("index", absl::StrCat(options.index));
    target.Query("wait", absl::StrCat(absl::ToInt64Milliseconds(options.wait), "ms"));
  }
}

absl::Status OtherKey() {
  return MakeError(absl::StatusCode::kInternal, reason::kNotConsul,
                   "the answer is not one that Consul gives: it holds another key than the one asked for");
}

absl::Status TooLarge(size_t max_bytes) {
  return MakeError(absl::StatusCode::kResourceExhausted, reason::kAnswerTooLarge,
                   absl::StrCat("the answer is larger than ", max_bytes, " bytes"));
}

// What of a prefix can be asked for in a URL: Consul redirects a path that ends in a segment of dots.
std::string AskablePrefix(const std::string& prefix) {
  const size_t slash = prefix.rfind('/');
  const size_t begin = slash == std::string::npos ? 0 : slash + 1;
  const std::string last = prefix.substr(begin);
  return last == "." || last == ".." ? prefix.substr(0, begin) : prefix;
}

}  // namespace

template <typename T, typename Parse>
CallHandle ConsulBackend::Read(Endpoint endpoint, Target target, const ReadOptions& asked, Parse parse,
                               Callback<Answer<T>> done) {
  ReadOptions options = asked;
  options.wait = WaitOf(asked);
  // An index of the agent used before may lie above those of the new one, in another cluster: no write would wake it.
  if (calls_.JustMoved()) options.wait = std::min(options.wait, kWaitAfterMove);
  AddReadOptions(options, target);
  // Consul adds up to a sixteenth to the wait.
  const ActiveCallHandle call = calls_.Begin(options.wait + options.wait / 16 + options.timeout, options.token);
  Request request;
  request.target = target.str();
  request.pool = options.index == 0 ? Pool::kUnary : Pool::kWatch;
  request.needs_leader = options.mode != ReadMode::kStale || options.index != 0;
  if (options.patient) request.patience = kMaxPatience;
  request.max_body_bytes = options.max_bytes;
  calls_.Send(call, endpoint, std::move(request),
              [endpoint, max_bytes = options.max_bytes, parse = std::move(parse), done = std::move(done)](
                  Response response, absl::Time received) mutable {
                if (max_bytes != 0 && response.end == Response::End::kTooLarge) return done(TooLarge(max_bytes));
                if (absl::Status status = StatusOf({endpoint}, response); !status.ok()) return done(std::move(status));
                Answer<T> answer;
                answer.meta = MetaOf(response, received);
                if (response.code == 200) {
                  absl::StatusOr<T> value = parse(std::move(response.body));
                  if (!value.ok()) return done(std::move(value).status());
                  answer.value = *std::move(value);
                }
                done(std::move(answer));
              });
  return call;
}

CallHandle ConsulBackend::ReadKey(const std::string& key, const ReadOptions& options,
                                  Callback<Answer<std::vector<KvEntry>>> done) {
  Target target("/v1/kv/");
  target.Key(key);
  const auto parse = [key](std::string body) -> absl::StatusOr<std::vector<KvEntry>> {
    auto entries = ParseEntries(std::move(body));
    if (entries.ok() && (entries->size() != 1 || entries->front().key != key)) return OtherKey();
    return entries;
  };
  return Read<std::vector<KvEntry>>(Endpoint::kKv, std::move(target), options, parse, std::move(done));
}

CallHandle ConsulBackend::ReadPrefix(const std::string& prefix, const ReadOptions& options,
                                     Callback<Answer<std::vector<KvEntry>>> done) {
  const std::string asked = AskablePrefix(prefix);
  Target target("/v1/kv/");
  target.Key(asked).Flag("recurse");
  const auto parse = [prefix, asked](std::string body) -> absl::StatusOr<std::vector<KvEntry>> {
    auto entries = ParseEntries(std::move(body));
    if (!entries.ok()) return entries;
    for (const KvEntry& entry : *entries) {
      if (!absl::StartsWith(entry.key, asked)) return OtherKey();
    }
    if (asked != prefix) {
      entries->erase(std::remove_if(entries->begin(), entries->end(),
                                    [&](const KvEntry& entry) { return !absl::StartsWith(entry.key, prefix); }),
                     entries->end());
    }
    return entries;
  };
  return Read<std::vector<KvEntry>>(Endpoint::kKv, std::move(target), options, parse, std::move(done));
}

CallHandle ConsulBackend::ReadService(const std::string& service, const std::string& filter, const std::string& near,
                                      const ReadOptions& options, Callback<Answer<std::vector<Instance>>> done) {
  Target target("/v1/health/service/");
  target.Segment(service).QueryUnlessEmpty("filter", filter).QueryUnlessEmpty("near", near);
  const auto parse = [sort = near.empty()](std::string body) {
    auto instances = ParseInstances(std::move(body));
    if (instances.ok() && sort) {
      std::sort(instances->begin(), instances->end(),
                [](const Instance& a, const Instance& b) { return std::tie(a.node, a.id) < std::tie(b.node, b.id); });
    }
    return instances;
  };
  return Read<std::vector<Instance>>(Endpoint::kHealthService, std::move(target), options, parse, std::move(done));
}

CallHandle ConsulBackend::ReadCatalog(const ReadOptions& options, Callback<Answer<std::vector<ServiceSummary>>> done) {
  Target target("/v1/catalog/services");
  return Read<std::vector<ServiceSummary>>(Endpoint::kCatalog, std::move(target), options, &ParseCatalog,
                                           std::move(done));
}

CallHandle ConsulBackend::ReadQuery(const std::string& query, const ReadOptions& options,
                                    Callback<Answer<QueryAnswer>> done) {
  const auto parse = [](std::string body) -> absl::StatusOr<QueryAnswer> { return QueryAnswer{200, std::move(body)}; };
  return Read<QueryAnswer>(EndpointOf(query), Target(query), options, parse,
                           [done = std::move(done)](absl::StatusOr<Answer<QueryAnswer>> answer) mutable {
                             // Of which Read() makes nothing.
                             if (answer.ok() && answer->value.body.empty()) answer->value.code = 404;
                             done(std::move(answer));
                           });
}

}  // namespace meshgate::consul::http
