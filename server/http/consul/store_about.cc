#include "server/version.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "server/http/consul/json_text.h"
#include "server/http/consul/store_handlers.h"
#include "server/http/consul/store_reply.h"

namespace meshgate::server::consul_api {
namespace {

// The embedded store's only one.
constexpr char kDatacenter[] = "dc1";
// There is no other server that could be reached: an address as programs expect one.
constexpr char kServer[] = "127.0.0.1:8300";

// Of the embedded store alone. Whether the request was one to it.
bool IsEmbedded(const SharedRequest& request) {
  if (request->sources().relay == nullptr) return true;
  NotServed(request);
  return false;
}

}  // namespace

void StoreDatacenters(const SharedRequest& request) {
  if (IsEmbedded(request)) request->Answer(JsonAnswer(JsonText().Strings({kDatacenter}).Take()));
}

void StoreSelf(const SharedRequest& request) {
  if (!IsEmbedded(request)) return;
  JsonText json;
  json.BeginObject().Key("Config").BeginObject();
  json.Key("Datacenter").Plain(kDatacenter).Key("NodeName").Plain("meshgate").Key("NodeID").Plain("");
  json.Key("Server").Bool(true).Key("Revision").Plain("").Key("Version").String(Version());
  json.EndObject();
  json.Key("Member").BeginObject().Key("Name").Plain("meshgate").Key("Status").Number(1).EndObject();
  json.EndObject();
  request->Answer(JsonAnswer(json.Take()));
}

void StoreLeader(const SharedRequest& request) {
  if (IsEmbedded(request)) request->Answer(JsonAnswer(absl::StrCat("\"", kServer, "\"")));
}

void StorePeers(const SharedRequest& request) {
  if (IsEmbedded(request)) request->Answer(JsonAnswer(JsonText().Strings({kServer}).Take()));
}

void NotServed(const SharedRequest& request) {
  const bool lists = request->sources().relay != nullptr;
  request->Fail(MakeError(absl::StatusCode::kUnimplemented, kNotServed,
                          lists ? "this part of Consul's API is not served where the gateway decides itself what callers "
                                  "may do (--auth=mtls): ask Consul directly"
                                : "this part of Consul's API needs a Consul behind the gateway (--backend=consul): the "
                                  "embedded store has no answer to it"));
}

}  // namespace meshgate::server::consul_api
