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

std::string Text(object from, const char* name) {
  std::string_view text;
  return from[name].get(text) == simdjson::SUCCESS ? std::string(text) : "";
}

absl::Status ReadOperation(const std::string& field, element from, v1::CommitConfigRequest::Operation* operation) {
  object kv;
  if (from["KV"].get(kv) != simdjson::SUCCESS) {
    return InvalidField(field, "must be an object with KV: only keys are written here");
  }
  const std::string verb = Text(kv, "Verb");
  uint64_t index = 0;
  static_cast<void>(kv["Index"].get(index));
  if (verb == "set" || verb == "cas") {
    v1::PutConfigRequest* put = operation->mutable_put();
    put->set_key(Text(kv, "Key"));
    std::string value;
    if (!absl::Base64Unescape(Text(kv, "Value"), &value)) {
      return InvalidField(absl::StrCat(field, ".KV.Value"), "must be in base64");
    }
    put->set_value(std::move(value));
    uint64_t flags = 0;
    if (kv["Flags"].get(flags) == simdjson::SUCCESS) put->set_flags(flags);
    if (verb == "cas") put->set_if_modify_index(index);
    return absl::OkStatus();
  }
  if (verb == "delete" || verb == "delete-cas") {
    operation->mutable_delete_()->set_key(Text(kv, "Key"));
    if (verb == "delete-cas") operation->mutable_delete_()->set_if_modify_index(index);
    return absl::OkStatus();
  }
  if (verb == "delete-tree") {
    operation->mutable_delete_()->set_prefix(Text(kv, "Key"));
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
