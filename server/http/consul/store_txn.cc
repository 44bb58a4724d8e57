#include <simdjson.h>

#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"
#include "server/http/consul/json_text.h"
#include "server/http/consul/store_handlers.h"
#include "server/http/consul/store_reply.h"

namespace meshgate::server::consul_api {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr absl::string_view kOperations = "operations[";

// The members of an operation's KV; the first that does not fit is the error. What is not there, or null, is empty or
// 0.
class Members {
 public:
  Members(std::string field, object from) : field_(std::move(field)), from_(from) {}

  std::string Text(const char* name) { return std::string(Get<std::string_view>(name, "must be a string")); }
  uint64_t Number(const char* name) { return Get<uint64_t>(name, "must be a whole number that is not negative"); }
  const absl::Status& status() const { return status_; }

 private:
  template <typename T>
  T Get(const char* name, std::string_view what) {
    T value = {};
    element found;
    if (from_[name].get(found) != simdjson::SUCCESS || found.is_null()) return value;
    if (found.get(value) != simdjson::SUCCESS && status_.ok()) {
      status_ = InvalidField(absl::StrCat(field_, ".KV.", name), what);
    }
    return value;
  }

  const std::string field_;
  const object from_;
  absl::Status status_;
};

absl::Status ReadOperation(const std::string& field, element from, v1::CommitConfigRequest::Operation* operation) {
  object kv;
  if (from["KV"].get(kv) != simdjson::SUCCESS) {
    return InvalidField(field, "must be an object with KV: only keys are written here");
  }
  Members members(field, kv);
  const std::string verb = members.Text("Verb");
  const std::string key = members.Text("Key");
  const std::string encoded = members.Text("Value");
  const uint64_t flags = members.Number("Flags");
  // 0 is for a comparison "only if there is no such key".
  const uint64_t index = members.Number("Index");
  if (!members.status().ok()) return members.status();
  if (verb == "set" || verb == "cas") {
    v1::PutConfigRequest* put = operation->mutable_put();
    put->set_key(key);
    std::string value;
    if (!absl::Base64Unescape(encoded, &value)) {
      return InvalidField(absl::StrCat(field, ".KV.Value"), "must be in base64");
    }
    put->set_value(std::move(value));
    put->set_flags(flags);
    if (verb == "cas") put->set_if_modify_index(index);
    return absl::OkStatus();
  }
  if (verb == "delete" || verb == "delete-cas") {
    operation->mutable_delete_()->set_key(key);
    if (verb == "delete-cas") operation->mutable_delete_()->set_if_modify_index(index);
    return absl::OkStatus();
  }
  if (verb == "delete-tree") {
    operation->mutable_delete_()->set_prefix(key);
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kUnimplemented, kNotServed,
                   absl::StrCat(field, ".KV.Verb: set, cas, delete, delete-cas and delete-tree are served here"));
}

absl::Status ReadOperations(const std::string& body, v1::CommitConfigRequest* request) {
  simdjson::dom::parser parser;
  array operations;
  element root;
  if (parser.parse(body).get(root) != simdjson::SUCCESS || root.get(operations) != simdjson::SUCCESS) {
    return InvalidField("body", "must be a JSON list of operations");
  }
  int number = 0;
  for (const element one : operations) {
    const absl::Status read = ReadOperation(absl::StrCat("[", number++, "]"), one, request->add_operations());
    if (!read.ok()) return read;
  }
  return absl::OkStatus();
}

// Which operation it was, and everything was rolled back.
HttpResponse Conflict(const absl::Status& status) {
  absl::string_view what = status.message();
  uint64_t number = 0;
  if (absl::ConsumePrefix(&what, kOperations)) {
    const size_t end = what.find(']');
    static_cast<void>(absl::SimpleAtoi(what.substr(0, end), &number));
    what.remove_prefix(std::min(end, what.size() - 1) + 1);
    absl::ConsumePrefix(&what, ": ");
  }
  JsonText json;
  json.BeginObject().Key("Results").Null().Key("Errors").BeginArray();
  json.BeginObject().Key("OpIndex").Number(number).Key("What").String(ToStd(what)).EndObject();
  json.EndArray().EndObject();
  HttpResponse response = JsonAnswer(json.Take());
  response.status = 409;
  return response;
}

HttpResponse Committed(const v1::CommitConfigResponse& response) {
  JsonText json;
  json.BeginObject().Key("Results").BeginArray();
  for (const v1::ConfigEntry& entry : response.entries()) {
    json.BeginObject().Key("KV").BeginObject();
    json.Key("LockIndex").Number(0).Key("Key").String(entry.key()).Key("Flags").Number(entry.flags());
    json.Key("Value").Null();
    json.Key("CreateIndex").Number(entry.create_index()).Key("ModifyIndex").Number(entry.modify_index());
    json.EndObject().EndObject();
  }
  json.EndArray().Key("Errors").Null().EndObject();
  return JsonAnswer(json.Take());
}

}  // namespace

void StoreCommit(const SharedRequest& request) {
  v1::CommitConfigRequest commit;
  if (absl::Status read = ReadOperations(request->http().body, &commit); !read.ok()) return request->Fail(read);
  commit.set_datacenter(request->parameters().value("dc"));
  request->sources().config->CommitConfig(
      commit, request->caller(),
      ReplyWith<v1::CommitConfigResponse>(request, [](const absl::StatusOr<v1::CommitConfigResponse>& response) {
        if (absl::IsAborted(response.status())) return Conflict(response.status());
        return response.ok() ? Committed(*response) : ErrorAnswer(response.status());
      }));
}

}  // namespace meshgate::server::consul_api
