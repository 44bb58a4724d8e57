#include "server/http/consul/parameters.h"

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "server/http/uri.h"

namespace meshgate::server::consul_api {
namespace {

constexpr absl::Duration kMaxWait = absl::Minutes(10);
constexpr std::string_view kLists[] = {"tag", "node-meta", "service-tags"};
// How to read, and for whom.
constexpr std::string_view kNotWhat[] = {"index", "wait", "stale", "consistent", "cached", "token", "dc"};

template <typename List>
bool Holds(const List& list, std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

}  // namespace

absl::StatusOr<Parameters> Parameters::Parse(std::string_view query) {
  // Older ones of Consul take it for a '&'.
  if (query.find(';') != std::string_view::npos) {
    return InvalidField("query", "has a bare \";\", which is understood in different ways: write it as %3B");
  }
  auto parsed = ParseQuery(query);
  if (!parsed.ok()) return parsed.status();
  for (auto it = parsed->begin(); it != parsed->end(); ++it) {
    if (Holds(kLists, it->first)) continue;
    const bool again = std::any_of(parsed->begin(), it, [&](const auto& other) { return other.first == it->first; });
    if (again) return InvalidField(it->first, "is given more than once");
  }
  Parameters parameters;
  parameters.all_ = *std::move(parsed);
  return parameters;
}

bool Parameters::has(std::string_view name) const {
  return std::any_of(all_.begin(), all_.end(), [name](const auto& one) { return one.first == name; });
}

std::string Parameters::value(std::string_view name) const {
  const auto found = std::find_if(all_.begin(), all_.end(), [name](const auto& one) { return one.first == name; });
  return found == all_.end() ? "" : found->second;
}

std::vector<std::string> Parameters::values(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [key, value] : all_) {
    if (key == name) values.push_back(value);
  }
  return values;
}

absl::StatusOr<std::optional<uint64_t>> Parameters::Number(std::string_view name) const {
  if (!has(name)) return std::nullopt;
  uint64_t number = 0;
  const std::string text = value(name);
  // Spaces and signs are none of it.
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || !absl::SimpleAtoi(text, &number)) {
    return InvalidField(name, "must be a whole number from 0 to 18446744073709551615");
  }
  return number;
}

absl::StatusOr<ReadHow> HowToRead(const Parameters& parameters) {
  ReadHow how;
  const bool stale = parameters.has("stale");
  const bool consistent = parameters.has("consistent");
  if (stale && consistent) {
    return InvalidField("stale", "cannot go with consistent: they are the two ends of what an answer may be");
  }
  if (stale) how.mode = consul::ReadMode::kStale;
  if (consistent) how.mode = consul::ReadMode::kConsistent;
  how.cached = parameters.has("cached") && !consistent;
  // As for Consul: nothing is as good as not said.
  if (!parameters.value("index").empty()) {
    const absl::StatusOr<std::optional<uint64_t>> index = parameters.Number("index");
    if (!index.ok()) return index.status();
    how.index = **index;
  }
  how.waits_for_hash = !parameters.value("hash").empty();
  if (const std::string wait = parameters.value("wait"); !wait.empty()) {
    const bool parsed = absl::ParseDuration(wait, &how.wait) && how.wait != absl::InfiniteDuration();
    if (!parsed || how.wait < absl::ZeroDuration()) {
      return InvalidField("wait", "must be a time with its unit, such as 30s or 5m");
    }
    if (how.wait == absl::ZeroDuration()) how.wait = ReadHow().wait;
    how.wait = std::min(how.wait, kMaxWait);
  }
  how.datacenter = parameters.value("dc");
  return how;
}

std::string CanonicalQuery(const std::string& path, const Parameters& parameters) {
  std::vector<std::pair<std::string, std::string>> what;
  for (const auto& [name, value] : parameters.all()) {
    if (name.empty() || Holds(kNotWhat, name)) continue;
    const bool flag = value.empty() || (name == "passing" && (value == "1" || value == "true"));
    what.emplace_back(name, flag ? "" : value);
  }
  std::sort(what.begin(), what.end());
  std::string query = path;
  char separator = '?';
  for (const auto& [name, value] : what) {
    query.push_back(separator);
    query += PercentEncode(name);
    if (!value.empty()) query += "=" + PercentEncode(value);
    separator = '&';
  }
  return query;
}

std::string TargetWithout(const HttpRequest& http, std::initializer_list<std::string_view> names) {
  if (http.query.empty()) return http.path;
  std::vector<absl::string_view> kept;
  for (const absl::string_view part : absl::StrSplit(http.query, '&')) {
    // What is not encoded right was refused before.
    const auto name = PercentDecode(ToStd(part.substr(0, part.find('='))));
    if (!name.has_value() || !Holds(names, *name)) kept.push_back(part);
  }
  return kept.empty() ? http.path : absl::StrCat(http.path, "?", absl::StrJoin(kept, "&"));
}

std::string TokenOf(const HttpRequest& http, const Parameters& parameters) {
  if (std::string token = parameters.value("token"); !token.empty()) return token;
  if (const std::string_view token = http.header("x-consul-token"); !token.empty()) return std::string(token);
  constexpr absl::string_view kBearer = "Bearer ";
  const absl::string_view authorization = ToAbsl(http.header("authorization"));
  if (!absl::StartsWithIgnoreCase(authorization, kBearer)) return "";
  return std::string(authorization.substr(kBearer.size()));
}

}  // namespace meshgate::server::consul_api
