#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/validate.h"
#include "server/http/consul/json_text.h"
#include "server/http/consul/store_handlers.h"
#include "server/http/consul/store_reply.h"

namespace meshgate::server::consul_api {
namespace {

using consul::Health;
using consul::Instance;

std::string_view StatusOf(Health health) {
  switch (health) {
    case Health::kPassing:
      return "passing";
    case Health::kWarning:
      return "warning";
    case Health::kCritical:
    case Health::kMaintenance:
      break;
  }
  return "critical";
}

void WriteMeta(const Instance& instance, JsonText* json) {
  json->BeginObject();
  for (const auto& [key, value] : instance.meta) json->Key(key).String(value);
  json->EndObject();
}

void WriteNode(const Instance& instance, JsonText* json) {
  json->BeginObject();
  json->Key("ID").Plain("").Key("Node").String(instance.node).Key("Address").String(instance.address);
  json->Key("Datacenter").String(instance.datacenter).Key("TaggedAddresses").Null();
  json->Key("Meta").BeginObject().EndObject();
  json->Key("CreateIndex").Number(instance.create_index).Key("ModifyIndex").Number(instance.create_index);
  json->EndObject();
}

void WriteWeights(const Instance& instance, JsonText* json) {
  json->BeginObject();
  json->Key("Passing").Signed(instance.weight_passing).Key("Warning").Signed(instance.weight_warning);
  json->EndObject();
}

void WriteService(const Instance& instance, JsonText* json) {
  json->BeginObject();
  json->Key("ID").String(instance.id).Key("Service").String(instance.service);
  json->Key("Tags").Strings(instance.tags).Key("Address").String(instance.address).Key("Meta");
  WriteMeta(instance, json);
  json->Key("Port").Number(instance.port).Key("Weights");
  WriteWeights(instance, json);
  json->Key("EnableTagOverride").Bool(false);
  json->Key("CreateIndex").Number(instance.create_index).Key("ModifyIndex").Number(instance.modify_index);
  json->EndObject();
}

void WriteCheck(const Instance& instance, JsonText* json) {
  const bool maintenance = instance.health == Health::kMaintenance;
  json->BeginObject();
  json->Key("Node").String(instance.node);
  json->Key("CheckID").String(absl::StrCat(maintenance ? "_service_maintenance:" : "service:", instance.id));
  json->Key("Name").String(maintenance ? "Service Maintenance Mode"
                                       : absl::StrCat("Service '", instance.service, "' check"));
  json->Key("Status").Plain(StatusOf(instance.health)).Key("Notes").Plain("").Key("Output").Plain("");
  json->Key("ServiceID").String(instance.id).Key("ServiceName").String(instance.service);
  json->Key("ServiceTags").Strings(instance.tags).Key("Definition").BeginObject().EndObject();
  json->Key("CreateIndex").Number(instance.create_index).Key("ModifyIndex").Number(instance.modify_index);
  json->EndObject();
}

void WriteCatalogEntry(const Instance& instance, JsonText* json) {
  json->BeginObject();
  json->Key("ID").Plain("").Key("Node").String(instance.node).Key("Address").String(instance.address);
  json->Key("Datacenter").String(instance.datacenter).Key("TaggedAddresses").Null();
  json->Key("NodeMeta").BeginObject().EndObject();
  json->Key("ServiceID").String(instance.id).Key("ServiceName").String(instance.service);
  json->Key("ServiceTags").Strings(instance.tags).Key("ServiceAddress").String(instance.address);
  json->Key("ServiceWeights");
  WriteWeights(instance, json);
  json->Key("ServiceMeta");
  WriteMeta(instance, json);
  json->Key("ServicePort").Number(instance.port).Key("ServiceEnableTagOverride").Bool(false);
  json->Key("CreateIndex").Number(instance.create_index).Key("ModifyIndex").Number(instance.modify_index);
  json->EndObject();
}

void WriteHealthEntry(const Instance& instance, JsonText* json) {
  json->BeginObject().Key("Node");
  WriteNode(instance, json);
  json->Key("Service");
  WriteService(instance, json);
  json->Key("Checks").BeginArray();
  WriteCheck(instance, json);
  json->EndArray().EndObject();
}

bool HasTags(const Instance& instance, const std::vector<std::string>& tags) {
  return std::all_of(tags.begin(), tags.end(), [&](const std::string& tag) {
    return std::find(instance.tags.begin(), instance.tags.end(), tag) != instance.tags.end();
  });
}

// A list of what `write` makes of the service's instances that are asked for.
void ServeInstances(const SharedRequest& request, void (*write)(const Instance&, JsonText*)) {
  const Parameters& parameters = request->parameters();
  const absl::StatusOr<ReadHow> how = HowToRead(parameters);
  if (!how.ok()) return request->Fail(how.status());
  for (const char* unknown : {"node-meta", "near", "ns", "partition"}) {
    if (!parameters.has(unknown)) continue;
    return request->Fail(MakeError(absl::StatusCode::kUnimplemented, kNotServed,
                                   absl::StrCat(unknown, ": is not served here; tag, passing and filter are")));
  }
  HubRead read;
  read.how = *how;
  read.target.kind = consul::TargetKind::kService;
  read.target.name = request->http().variable("name");
  read.target.filter = parameters.value("filter");
  if (absl::Status valid = consul::ValidateServiceName("service", read.target.name); !valid.ok()) {
    return request->Fail(valid);
  }
  const std::string passing = parameters.value("passing");
  const bool only_passing = parameters.has("passing") && passing != "0" && passing != "false";
  read.answer = [write, only_passing, tags = parameters.values("tag"),
                 pretty = parameters.has("pretty")](const consul::State& state) {
    JsonText json(pretty);
    json.BeginArray();
    for (const Instance& instance : state.instances) {
      if (only_passing && instance.health != Health::kPassing) continue;
      if (HasTags(instance, tags)) write(instance, &json);
    }
    json.EndArray();
    return JsonAnswer(json.Take());
  };
  ServeFromStore(request, std::move(read));
}

}  // namespace

void StoreHealthService(const SharedRequest& request) { ServeInstances(request, WriteHealthEntry); }
void StoreHealthChecks(const SharedRequest& request) { ServeInstances(request, WriteCheck); }
void StoreCatalogService(const SharedRequest& request) { ServeInstances(request, WriteCatalogEntry); }

void StoreCatalogServices(const SharedRequest& request) {
  const absl::StatusOr<ReadHow> how = HowToRead(request->parameters());
  if (!how.ok()) return request->Fail(how.status());
  HubRead read;
  read.how = *how;
  read.target.kind = consul::TargetKind::kCatalog;
  read.answer = [pretty = request->parameters().has("pretty")](const consul::State& state) {
    JsonText json(pretty);
    json.BeginObject();
    for (const consul::ServiceSummary& service : state.services) json.Key(service.name).Strings(service.tags);
    json.EndObject();
    return JsonAnswer(json.Take());
  };
  ServeFromStore(request, std::move(read));
}

}  // namespace meshgate::server::consul_api
