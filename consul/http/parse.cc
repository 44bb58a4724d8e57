#include "consul/http/parse.h"

#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"

namespace meshgate::consul::http {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

// The shape of one document. The first thing that is wrong is remembered, and every later read gives something empty:
// callers check once, at the end.
class Document {
 public:
  explicit Document(std::string body) : body_(std::move(body)) {
    const size_t size = body_.size();
    body_.reserve(size + simdjson::SIMDJSON_PADDING);
    if (parser_.parse(body_.data(), size, /*realloc_if_needed=*/false).get(root_) != simdjson::SUCCESS) {
      Fail("it is not valid JSON");
    }
  }

  element root() const { return root_; }
  bool ok() const { return ok_; }

  absl::Status status() const {
    if (ok_) return absl::OkStatus();
    return MakeError(absl::StatusCode::kInternal, reason::kNotConsul,
                     absl::StrCat("the answer is not one that Consul gives: ", what_,
                                  "; check that --consul_address is a Consul agent's"));
  }

  void Fail(absl::string_view what) {
    if (!ok_) return;
    ok_ = false;
    what_ = std::string(what);
  }

  template <typename T>
  T As(element value, absl::string_view what) {
    T out{};
    if (!ok_) return out;
    if (value.get(out) != simdjson::SUCCESS) Fail(absl::StrCat(what, " has another type"));
    return out;
  }

  // A field that has to be there.
  element Field(object from, const char* name) {
    element out;
    if (ok_ && from[name].get(out) != simdjson::SUCCESS) Fail(absl::StrCat(name, " is missing"));
    return out;
  }
  template <typename T>
  T Get(object from, const char* name) {
    const element value = Field(from, name);
    return As<T>(value, name);
  }
  std::string String(object from, const char* name) { return std::string(Get<std::string_view>(from, name)); }

  // A field that may be absent or null.
  std::optional<element> Maybe(object from, const char* name) {
    element out;
    if (!ok_ || from[name].get(out) != simdjson::SUCCESS || out.is_null()) return std::nullopt;
    return out;
  }

  std::vector<std::string> Strings(element list, absl::string_view what) {
    std::vector<std::string> out;
    const array values = As<array>(list, what);
    if (!ok_) return out;
    for (const element value : values) out.emplace_back(As<std::string_view>(value, what));
    return out;
  }

 private:
  std::string body_;
  simdjson::dom::parser parser_;
  element root_;
  bool ok_ = true;
  std::string what_;
};

// A number within 0..max; any other number is 0.
template <typename T>
T Bounded(Document& document, object from, const char* name) {
  const element value = document.Field(from, name);
  if (!document.ok()) return 0;
  uint64_t number = 0;
  if (value.get(number) == simdjson::SUCCESS) {
    return number <= static_cast<uint64_t>(std::numeric_limits<T>::max()) ? static_cast<T>(number) : 0;
  }
  if (!value.is_number()) document.Fail(absl::StrCat(name, " has another type"));
  return 0;
}

KvEntry ReadEntry(Document& document, element from) {
  KvEntry entry;
  const object fields = document.As<object>(from, "an entry");
  if (!document.ok()) return entry;
  entry.key = document.String(fields, "Key");
  entry.flags = document.Get<uint64_t>(fields, "Flags");
  entry.create_index = document.Get<uint64_t>(fields, "CreateIndex");
  entry.modify_index = document.Get<uint64_t>(fields, "ModifyIndex");
  if (const auto lock_index = document.Maybe(fields, "LockIndex")) {
    entry.lock_index = document.As<uint64_t>(*lock_index, "LockIndex");
  }
  if (const auto session = document.Maybe(fields, "Session")) {
    entry.session = std::string(document.As<std::string_view>(*session, "Session"));
  }
  const element value = document.Field(fields, "Value");
  // An empty value is null.
  if (document.ok() && !value.is_null()) {
    const std::string_view text = document.As<std::string_view>(value, "Value");
    if (document.ok() && !absl::Base64Unescape(ToAbsl(text), &entry.value)) document.Fail("Value is not base64");
  }
  return entry;
}

Health ReadHealth(std::string_view check_id, std::string_view status) {
  constexpr std::string_view kServiceMaintenance = "_service_maintenance:";
  if (check_id == "_node_maintenance" || check_id.substr(0, kServiceMaintenance.size()) == kServiceMaintenance) {
    return Health::kMaintenance;
  }
  if (status == "passing") return Health::kPassing;
  if (status == "warning") return Health::kWarning;
  return Health::kCritical;
}

Instance ReadInstance(Document& document, element from) {
  Instance instance;
  const object entry = document.As<object>(from, "an instance");
  if (!document.ok()) return instance;
  const object node = document.Get<object>(entry, "Node");
  const object service = document.Get<object>(entry, "Service");
  const array checks = document.Get<array>(entry, "Checks");
  if (!document.ok()) return instance;

  instance.node = document.String(node, "Node");
  if (auto datacenter = document.Maybe(node, "Datacenter")) {
    instance.datacenter = document.As<std::string_view>(*datacenter, "Datacenter");
  }
  instance.id = document.String(service, "ID");
  instance.service = document.String(service, "Service");
  instance.address = document.String(service, "Address");
  if (instance.address.empty()) instance.address = document.String(node, "Address");
  instance.port = Bounded<uint16_t>(document, service, "Port");
  if (auto tags = document.Maybe(service, "Tags")) instance.tags = document.Strings(*tags, "Tags");
  if (auto meta = document.Maybe(service, "Meta")) {
    const object fields = document.As<object>(*meta, "Meta");
    if (!document.ok()) return instance;
    for (const auto field : fields) {
      instance.meta.emplace(field.key, document.As<std::string_view>(field.value, "Meta"));
    }
  }
  if (auto weights = document.Maybe(service, "Weights")) {
    const object fields = document.As<object>(*weights, "Weights");
    if (!document.ok()) return instance;
    instance.weight_passing = Bounded<int32_t>(document, fields, "Passing");
    instance.weight_warning = Bounded<int32_t>(document, fields, "Warning");
  }
  instance.create_index = document.Get<uint64_t>(service, "CreateIndex");
  instance.modify_index = document.Get<uint64_t>(service, "ModifyIndex");
  if (!document.ok()) return instance;
  for (const element item : checks) {
    const object check = document.As<object>(item, "a check");
    if (!document.ok()) break;
    const auto id = document.Get<std::string_view>(check, "CheckID");
    const auto status = document.Get<std::string_view>(check, "Status");
    instance.health = std::max(instance.health, ReadHealth(id, status));
  }
  return instance;
}

// The elements of an array, each read by `read`.
template <typename T>
absl::StatusOr<std::vector<T>> ReadAll(Document& document, T (*read)(Document&, element)) {
  std::vector<T> out;
  const array items = document.As<array>(document.root(), "the whole");
  if (document.ok()) {
    out.reserve(items.size());
    for (const element item : items) {
      out.push_back(read(document, item));
      if (!document.ok()) break;
    }
  }
  if (!document.ok()) return document.status();
  return out;
}

TxnInstance ReadTxnInstance(Document& document, element from) {
  TxnInstance instance;
  const object fields = document.As<object>(from, "an instance");
  if (!document.ok()) return instance;
  instance.id = document.String(fields, "ID");
  instance.service = document.String(fields, "Service");
  return instance;
}

// The results of a transaction, all of one kind.
template <typename T>
absl::StatusOr<std::vector<T>> ReadTxn(std::string body, const char* kind, T (*read)(Document&, element)) {
  Document document(std::move(body));
  std::vector<T> out;
  const object fields = document.As<object>(document.root(), "the whole");
  if (document.ok()) {
    // Deletions alone have no results.
    if (auto results = document.Maybe(fields, "Results")) {
      const array items = document.As<array>(*results, "Results");
      if (document.ok()) {
        for (const element item : items) {
          const object result = document.As<object>(item, "a result");
          if (!document.ok()) break;
          const element value = document.Field(result, kind);
          if (!document.ok()) break;
          out.push_back(read(document, value));
        }
      }
    } else {
      document.Field(fields, "Results");
    }
  }
  if (!document.ok()) return document.status();
  return out;
}

}  // namespace

absl::StatusOr<std::vector<KvEntry>> ParseEntries(std::string body) {
  Document document(std::move(body));
  auto entries = ReadAll<KvEntry>(document, &ReadEntry);
  if (entries.ok()) {
    std::sort(entries->begin(), entries->end(), [](const KvEntry& a, const KvEntry& b) { return a.key < b.key; });
  }
  return entries;
}

absl::StatusOr<std::vector<Instance>> ParseInstances(std::string body) {
  Document document(std::move(body));
  return ReadAll<Instance>(document, &ReadInstance);
}

absl::StatusOr<std::vector<ServiceSummary>> ParseCatalog(std::string body) {
  Document document(std::move(body));
  std::vector<ServiceSummary> services;
  const object fields = document.As<object>(document.root(), "the whole");
  if (document.ok()) {
    for (const auto field : fields) {
      ServiceSummary service;
      service.name = std::string(field.key);
      if (!field.value.is_null()) service.tags = document.Strings(field.value, "the tags of a service");
      std::sort(service.tags.begin(), service.tags.end());
      services.push_back(std::move(service));
    }
  }
  if (!document.ok()) return document.status();
  std::sort(services.begin(), services.end(),
            [](const ServiceSummary& a, const ServiceSummary& b) { return a.name < b.name; });
  return services;
}

absl::StatusOr<std::vector<KvEntry>> ParseTxn(std::string body) { return ReadTxn(std::move(body), "KV", &ReadEntry); }

absl::StatusOr<std::vector<TxnInstance>> ParseTxnInstances(std::string body) {
  return ReadTxn(std::move(body), "Service", &ReadTxnInstance);
}

std::vector<TxnError> ParseTxnErrors(std::string body) {
  Document document(std::move(body));
  std::vector<TxnError> all;
  const auto errors = document.Get<array>(document.As<object>(document.root(), "the whole"), "Errors");
  if (!document.ok()) return all;
  for (const element item : errors) {
    const object fields = document.As<object>(item, "an error");
    TxnError error;
    error.operation = document.Get<uint64_t>(fields, "OpIndex");
    error.what = document.String(fields, "What");
    if (!document.ok()) break;
    all.push_back(std::move(error));
  }
  return all;
}

absl::StatusOr<std::vector<bool>> ParseAuthorized(std::string body) {
  Document document(std::move(body));
  std::vector<bool> allowed;
  const array answers = document.As<array>(document.root(), "the whole");
  if (document.ok()) {
    for (const element item : answers) {
      const object answer = document.As<object>(item, "an answer");
      allowed.push_back(document.ok() && document.Get<bool>(answer, "Allow"));
    }
  }
  if (!document.ok()) return document.status();
  return allowed;
}

absl::StatusOr<std::vector<std::string>> ParseTtlChecks(std::string body, const std::string& instance_id) {
  Document document(std::move(body));
  std::vector<std::string> ids;
  const object checks = document.As<object>(document.root(), "the whole");
  if (document.ok()) {
    for (const auto field : checks) {
      const object check = document.As<object>(field.value, "a check");
      if (!document.ok()) break;
      if (document.Get<std::string_view>(check, "ServiceID") != instance_id) continue;
      const std::optional<element> type = document.Maybe(check, "Type");
      if (type.has_value() && document.As<std::string_view>(*type, "Type") == "ttl") ids.emplace_back(field.key);
    }
  }
  if (!document.ok()) return document.status();
  return ids;
}

absl::StatusOr<std::string> ParseAgentService(std::string body) {
  Document document(std::move(body));
  std::string service = document.String(document.As<object>(document.root(), "the whole"), "Service");
  if (document.ok() && service.empty()) document.Fail("an instance has no service");
  if (!document.ok()) return document.status();
  return service;
}

absl::StatusOr<std::string> ParseLeader(std::string body) {
  Document document(std::move(body));
  const auto leader = document.As<std::string_view>(document.root(), "the whole");
  if (!document.ok()) return document.status();
  return std::string(leader);
}

}  // namespace meshgate::consul::http
