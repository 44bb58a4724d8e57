#include "consul/http/bodies.h"

// The library's definitions: Debian has no compiled form of it for this version of Boost.
#include <boost/json/src.hpp>
#include <string_view>
#include <variant>

#include "absl/strings/escaping.h"
#include "absl/time/time.h"
#include "consul/check_names.h"

namespace meshgate::consul::http {
namespace {

namespace json = boost::json;

// Of a check; Consul's default is the same.
constexpr absl::Duration kDefaultTimeout = absl::Seconds(10);

json::string_view View(const std::string& s) { return {s.data(), s.size()}; }

// Go's notation.
json::string GoDuration(absl::Duration duration) { return json::string(absl::FormatDuration(duration)); }

const char* StatusName(Health health) {
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

// Adds what a probe needs to its check.
struct AddProbe {
  json::object& check;
  bool disable_redirects;

  void operator()(const HttpProbe& probe) const {
    check["HTTP"] = View(probe.url);
    if (!probe.method.empty()) check["Method"] = View(probe.method);
    json::object headers;
    for (const auto& [name, value] : probe.headers) headers[View(name)] = json::array{View(value)};
    if (!headers.empty()) check["Header"] = std::move(headers);
    if (probe.tls_skip_verify) check["TLSSkipVerify"] = true;
    if (disable_redirects) check["DisableRedirects"] = true;
  }
  void operator()(const TcpProbe& probe) const { check["TCP"] = View(probe.address); }
  void operator()(const GrpcProbe& probe) const {
    check["GRPC"] = View(probe.target);
    if (probe.use_tls) check["GRPCUseTLS"] = true;
  }
  void operator()(const TtlProbe& probe) const { check["TTL"] = GoDuration(probe.ttl); }
};

json::object CheckBody(const Registration& registration, size_t position, bool disable_redirects) {
  const CheckDefinition& definition = registration.checks[position];
  json::object check;
  const bool ttl = std::holds_alternative<TtlProbe>(definition.probe);
  const std::string id = CheckId(registration, position);
  check["CheckID"] = View(id);
  const std::string name = CheckName(registration, position);
  check["Name"] = View(name);
  check["Status"] = StatusName(definition.initial_status);
  std::visit(AddProbe{check, disable_redirects}, definition.probe);
  if (!ttl) {
    check["Interval"] = GoDuration(definition.interval);
    check["Timeout"] = GoDuration(definition.timeout > absl::ZeroDuration() ? definition.timeout : kDefaultTimeout);
  }
  if (definition.deregister_critical_after > absl::ZeroDuration()) {
    check["DeregisterCriticalServiceAfter"] = GoDuration(definition.deregister_critical_after);
  }
  return check;
}

// One operation of a transaction.
json::object InTxn(const char* verb, const std::string& key, std::optional<uint64_t> index = std::nullopt) {
  json::object kv{{"Verb", verb}, {"Key", View(key)}};
  if (index.has_value()) kv["Index"] = *index;
  return json::object{{"KV", std::move(kv)}};
}

json::object PutInTxn(const KvEntry& entry, std::optional<uint64_t> if_modify_index) {
  json::object kv;
  kv["Verb"] = if_modify_index.has_value() ? "cas" : "set";
  kv["Key"] = View(entry.key);
  kv["Value"] = View(absl::Base64Escape(entry.value));
  kv["Flags"] = entry.flags;
  if (if_modify_index.has_value()) kv["Index"] = *if_modify_index;
  return json::object{{"KV", std::move(kv)}};
}

}  // namespace

std::string TxnPutBody(const KvEntry& entry, std::optional<uint64_t> if_modify_index) {
  return json::serialize(json::array{PutInTxn(entry, if_modify_index)});
}

std::string TxnDeletePrefixBody(const std::string& prefix) {
  return json::serialize(json::array{InTxn("delete-tree", prefix)});
}

std::string TxnBody(const std::vector<KvOperation>& operations) {
  struct Visitor {
    json::object operator()(const PutOperation& put) const { return PutInTxn(put.entry, put.if_modify_index); }
    json::object operator()(const DeleteKeyOperation& remove) const {
      return remove.if_modify_index.has_value() ? InTxn("delete-cas", remove.key, remove.if_modify_index)
                                                : InTxn("delete", remove.key);
    }
    json::object operator()(const DeletePrefixOperation& remove) const { return InTxn("delete-tree", remove.prefix); }
  };
  json::array body;
  for (const KvOperation& operation : operations) body.push_back(std::visit(Visitor(), operation));
  return json::serialize(body);
}

std::string TxnFindKeysBody(const std::vector<std::string>& keys) {
  json::array body;
  // No entry has this index.
  for (const std::string& key : keys) body.push_back(InTxn("check-index", key, 0));
  return json::serialize(body);
}

std::string AuthorizeBody(const std::vector<Permission>& permissions) {
  json::array body;
  for (const Permission& permission : permissions) {
    const bool write = permission.kind == Permission::Kind::kWriteService;
    const char* resource = "service";
    if (permission.kind == Permission::Kind::kReadKey) resource = "key";
    if (permission.kind == Permission::Kind::kReadNode) resource = "node";
    body.push_back(
        json::object{{"Resource", resource}, {"Segment", View(permission.name)}, {"Access", write ? "write" : "read"}});
  }
  return json::serialize(body);
}

std::string TxnGetInstancesBody(const std::vector<InstanceName>& instances) {
  json::array body;
  for (const InstanceName& instance : instances) {
    json::object get{
        {"Verb", "get"}, {"Node", View(instance.node)}, {"Service", json::object{{"ID", View(instance.id)}}}};
    body.push_back(json::object{{"Service", std::move(get)}});
  }
  return json::serialize(body);
}

std::string RegistrationBody(const Registration& registration, bool disable_redirects) {
  json::object body;
  body["ID"] = View(registration.id);
  body["Name"] = View(registration.service);
  body["Address"] = View(registration.address);
  body["Port"] = registration.port;
  json::array tags;
  for (const std::string& tag : registration.tags) tags.emplace_back(View(tag));
  body["Tags"] = std::move(tags);
  json::object meta;
  for (const auto& [name, value] : registration.meta) meta[View(name)] = View(value);
  body["Meta"] = std::move(meta);
  body["Weights"] = {{"Passing", registration.weight_passing}, {"Warning", registration.weight_warning}};
  json::array checks;
  for (size_t i = 0; i < registration.checks.size(); ++i)
    checks.emplace_back(CheckBody(registration, i, disable_redirects));
  body["Checks"] = std::move(checks);
  return json::serialize(body);
}

std::string CheckUpdateBody(Health health, const std::string& note) {
  return json::serialize(json::object{{"Status", StatusName(health)}, {"Output", View(note)}});
}

}  // namespace meshgate::consul::http
