#include "server/http/consul/handlers.h"

#include <utility>

#include "consul/validate.h"
#include "server/http/consul/answer.h"
#include "server/http/consul/blocking_read.h"
#include "server/http/consul/check_scan.h"
#include "server/http/consul/passed_on.h"

namespace meshgate::server::consul_api {
namespace {

using consul::Target;
using consul::TargetKind;

// Consul's later versions and their enterprise's have more than one of each name.
bool NamesAnotherTenant(const Request& request) {
  const Parameters& parameters = request.parameters();
  return parameters.has("ns") || parameters.has("partition") || parameters.has("peer") ||
         !request.http().header("x-consul-namespace").empty() || !request.http().header("x-consul-partition").empty();
}

// Which target of the hub a read of keys is about; none where only Consul knows.
std::optional<Target> KeyTargetOf(const Request& request, const ReadHow& how) {
  const Parameters& parameters = request.parameters();
  const std::string& key = request.http().variable("key");
  Target target;
  target.datacenter = how.datacenter;
  if (!consul::ValidateDatacenter("dc", how.datacenter).ok()) return std::nullopt;
  // Of values nothing is needed, and an index of its own.
  if (parameters.has("keys")) return std::nullopt;
  if (parameters.has("recurse")) {
    if (!consul::ValidatePrefix("key", key).ok()) return std::nullopt;
    target.kind = TargetKind::kPrefix;
  } else {
    if (!consul::ValidateKey("key", key).ok()) return std::nullopt;
    target.kind = TargetKind::kKey;
  }
  target.name = key;
  return target;
}

// The read that others may share, with the caller's token where it has one.
HubRead QueryRead(const Request& request, const ReadHow& how) {
  HubRead read;
  read.how = how;
  read.target.kind = TargetKind::kQuery;
  read.target.name = CanonicalQuery(request.http().path, request.parameters());
  read.target.datacenter = how.datacenter;
  read.target.token = request.token(/*lends=*/true);
  read.answer = [](const consul::State& state) { return QueryAnswerOf(state.query); };
  return read;
}

// From the hub where the consistency allows, from Consul where it does not, and from the hub again while Consul cannot
// answer.
void ReadThroughHub(const SharedRequest& request, HubRead read) {
  const consul::CallToken token = request->token(/*lends=*/true);
  const bool consistent = read.how.mode == consul::ReadMode::kConsistent;
  if (NamesAnotherTenant(*request) || (consistent && read.how.index == 0)) return PassOn(request, token);
  if (consistent) {
    // Whoever holds a lock asks so, for as long as it does: the hub says when there is something new, Consul what.
    if (read.target.kind != TargetKind::kKey) read = QueryRead(*request, read.how);
    read.only_when = true;
    read.fall_back = [token](const SharedRequest& again, const absl::Status&) { PassOnWhole(again, token); };
    return ServeBlocking(request, std::move(read));
  }
  if (read.how.index > 0 || read.how.mode == consul::ReadMode::kStale || read.how.cached) {
    // Consul has its own words for what it refuses.
    read.fall_back = [token](const SharedRequest& again, const absl::Status&) { PassOnWhole(again, token); };
    if (read.target.kind == TargetKind::kPrefix) {
      HubRead hidden = QueryRead(*request, read.how);
      hidden.fall_back = read.fall_back;
      read.where_hidden = std::make_shared<const HubRead>(std::move(hidden));
    }
    return read.how.index > 0 ? ServeBlocking(request, std::move(read)) : ServeCached(request, std::move(read));
  }
  PassOnOr(request, token, [read = std::move(read)](const SharedRequest& again, HttpResponse original) {
    HubRead last_known = read;
    auto shared = std::make_shared<HttpResponse>(std::move(original));
    last_known.fall_back = [shared](const SharedRequest& failed, const absl::Status&) {
      failed->Answer(std::move(*shared));
    };
    ServeLastKnown(again, std::move(last_known));
  });
}

}  // namespace

void ReadKeys(const SharedRequest& request) {
  absl::StatusOr<ReadHow> how = HowToRead(request->parameters());
  if (!how.ok()) return request->Fail(how.status());
  // Of keys agents keep none.
  how->cached = false;
  std::optional<Target> target = KeyTargetOf(*request, *how);
  // Where nobody asks Consul what a caller may do, only Consul's answer to its own token does not say too much.
  const bool unchecked = request->sources().guard() == nullptr && request->token(/*lends=*/false) != "";
  const bool raw = request->parameters().has("raw") && !request->parameters().has("recurse");
  // Which is no JSON, and may be empty.
  if (raw && (!target.has_value() || unchecked)) return PassOnLending(request);
  if (!target.has_value() || unchecked) return ReadThroughHub(request, QueryRead(*request, *how));
  HubRead read;
  read.how = *how;
  const EntriesFormat format = {raw, request->parameters().has("pretty")};
  read.target = *std::move(target);
  read.answer = [format](const consul::State& state) { return EntriesAnswer(state.entries, format); };
  ReadThroughHub(request, std::move(read));
}

void ReadIndexed(const SharedRequest& request) {
  const absl::StatusOr<ReadHow> how = HowToRead(request->parameters());
  if (!how.ok()) return request->Fail(how.status());
  if (!consul::ValidateDatacenter("dc", how->datacenter).ok()) return PassOnLending(request);
  ReadThroughHub(request, QueryRead(*request, *how));
}

void PassOnLending(const SharedRequest& request) { PassOn(request, request->token(/*lends=*/true)); }

void PassOnOwn(const SharedRequest& request) { PassOn(request, request->token(/*lends=*/false)); }

void PassOnService(const SharedRequest& request) {
  const absl::Status allowed = ScanServiceChecks(request->http().body, request->sources().check_allow);
  if (!allowed.ok()) return request->Fail(allowed);
  PassOnLending(request);
}

void PassOnCheck(const SharedRequest& request) {
  const absl::Status allowed = ScanCheck(request->http().body, request->sources().check_allow);
  if (!allowed.ok()) return request->Fail(allowed);
  PassOnLending(request);
}

}  // namespace meshgate::server::consul_api
