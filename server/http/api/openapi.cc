#include "server/http/api/openapi.h"

#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/wrappers.pb.h"
#include "google/rpc/status.pb.h"
#include "server/http/api/fields.h"

namespace meshgate::server::api {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;

std::string Quoted(const std::string& text) {
  google::protobuf::StringValue value;
  value.set_value(text);
  std::string quoted;
  static_cast<void>(google::protobuf::util::MessageToJsonString(value, &quoted));
  return quoted;
}

// Values are JSON already.
std::string Object(const std::vector<std::pair<std::string, std::string>>& members) {
  return absl::StrCat("{",
                      absl::StrJoin(members, ",",
                                    [](std::string* out, const auto& member) {
                                      absl::StrAppend(out, Quoted(member.first), ":", member.second);
                                    }),
                      "}");
}

std::string Array(const std::vector<std::string>& elements) {
  return absl::StrCat("[", absl::StrJoin(elements, ","), "]");
}

std::string Typed(const std::string& type, const std::string& format = "") {
  if (format.empty()) return Object({{"type", Quoted(type)}});
  return Object({{"type", Quoted(type)}, {"format", Quoted(format)}});
}

std::string EnumSchema(const EnumDescriptor& type, bool short_names) {
  std::vector<std::string> values;
  for (int i = 0; i < type.value_count(); ++i) {
    // In a query what is not said is left out.
    if (short_names && type.value(i)->number() == 0) continue;
    values.push_back(Quoted(short_names ? ShortName(*type.value(i)) : type.value(i)->name()));
  }
  return Object({{"type", Quoted("string")}, {"enum", Array(values)}});
}

class Document {
 public:
  Document(const std::vector<Route>& routes, std::string_view version) {
    for (const Route& route : routes) AddOperation(route);
    std::vector<std::pair<std::string, std::string>> paths;
    for (const auto& [path, operations] : paths_) paths.emplace_back(path, Object(operations));
    Need(google::rpc::Status::descriptor());
    text_ =
        Object({{"openapi", Quoted("3.0.3")},
                {"info",
                 Object({{"title", Quoted("meshgate")},
                         {"version", Quoted(std::string(version))},
                         {"description", Quoted("Configuration and services, in front of Consul. Messages are those of "
                                                "meshgate.v1 in protobuf's JSON with the fields' own names.")}})},
                {"security", Array({"{}", Object({{"consul_token", "[]"}}), Object({{"bearer", "[]"}})})},
                {"paths", Object(paths)},
                {"components",
                 Object({{"schemas", Object(Schemas())},
                         {"securitySchemes",
                          Object({{"consul_token", Object({{"type", Quoted("apiKey")},
                                                           {"in", Quoted("header")},
                                                           {"name", Quoted("X-Consul-Token")}})},
                                  {"bearer", Object({{"type", Quoted("http")}, {"scheme", Quoted("bearer")}})}})}})}});
  }
  std::string Take() { return std::move(text_); }

 private:
  // A reference to the schema of a message, which is then part of the document.
  std::string Need(const Descriptor* type) {
    if (needed_.insert(type).second) waiting_.push_back(type);
    return Object({{"$ref", Quoted("#/components/schemas/" + type->full_name())}});
  }

  std::string ValueSchema(const FieldDescriptor* field, bool in_query) {
    switch (field->type()) {
      case FieldDescriptor::TYPE_BYTES:
        return Typed("string", "byte");
      case FieldDescriptor::TYPE_STRING:
        return Typed("string");
      case FieldDescriptor::TYPE_BOOL:
        return Typed("boolean");
      case FieldDescriptor::TYPE_INT32:
        return Typed("integer", "int32");
      case FieldDescriptor::TYPE_UINT32:
        return Typed("integer", "int64");
      case FieldDescriptor::TYPE_ENUM:
        return EnumSchema(*field->enum_type(), in_query);
      case FieldDescriptor::TYPE_MESSAGE:
        if (field->message_type()->full_name() == "google.protobuf.Duration") {
          return Object({{"type", Quoted("string")}, {"example", Quoted("1.5s")}});
        }
        if (field->message_type()->full_name() == "google.protobuf.Any") return Typed("object");
        return Need(field->message_type());
      default:
        // Of 64 bits, which a JSON number does not hold.
        return Typed("string", in_query ? "" : "uint64");
    }
  }

  std::string FieldSchema(const FieldDescriptor* field, bool in_query) {
    if (field->is_map()) {
      return Object({{"type", Quoted("object")},
                     {"additionalProperties", ValueSchema(field->message_type()->FindFieldByNumber(2), in_query)}});
    }
    if (!field->is_repeated()) return ValueSchema(field, in_query);
    return Object({{"type", Quoted("array")}, {"items", ValueSchema(field, in_query)}});
  }

  std::vector<std::pair<std::string, std::string>> Schemas() {
    std::map<std::string, std::string> schemas;
    while (!waiting_.empty()) {
      const Descriptor* type = waiting_.back();
      waiting_.pop_back();
      std::vector<std::pair<std::string, std::string>> properties;
      for (int i = 0; i < type->field_count(); ++i) {
        properties.emplace_back(type->field(i)->name(), FieldSchema(type->field(i), /*in_query=*/false));
      }
      schemas[type->full_name()] = Object({{"type", Quoted("object")}, {"properties", Object(properties)}});
    }
    return {schemas.begin(), schemas.end()};
  }

  std::string ParameterSchema(const Route& route, const Parameter& parameter) {
    if (!parameter.field.empty()) return FieldSchema(FieldAt(route.request, parameter.field), /*in_query=*/true);
    if (parameter.flag) return Typed("boolean");
    if (parameter.example.empty()) return Typed("string");
    return Object({{"type", Quoted("string")}, {"example", Quoted(parameter.example)}});
  }

  std::string ParameterObject(const Route& route, const Parameter& parameter, bool in_path) {
    std::vector<std::pair<std::string, std::string>> members = {{"name", Quoted(parameter.name)},
                                                                {"in", Quoted(in_path ? "path" : "query")}};
    if (in_path) members.emplace_back("required", "true");
    if (!parameter.help.empty()) members.emplace_back("description", Quoted(parameter.help));
    members.emplace_back("schema", ParameterSchema(route, parameter));
    return Object(members);
  }

  std::string Content(const std::vector<std::pair<std::string, std::string>>& schemas) {
    std::vector<std::pair<std::string, std::string>> content;
    for (const auto& [type, schema] : schemas) content.emplace_back(type, Object({{"schema", schema}}));
    return Object(content);
  }

  std::string Responses(const Route& route) {
    std::vector<std::pair<std::string, std::string>> content = {{"application/json", Need(route.response)}};
    bool has_raw = false, has_tag = false;
    // A flag of a read asks for the value alone, and a condition of a read may come out as nothing new.
    const bool reads = route.method == "GET";
    for (const Parameter& parameter : route.parameters) has_raw |= parameter.flag && reads;
    for (const std::string& condition : route.conditions) has_tag |= condition == "If-None-Match" && reads;
    if (has_raw) content.emplace_back("application/octet-stream", Typed("string", "binary"));
    if (route.streams) {
      content.emplace_back("text/event-stream", Typed("string"));
      content.emplace_back("application/x-ndjson", Typed("string"));
    }
    std::vector<std::pair<std::string, std::string>> responses = {
        {"200", Object({{"description", Quoted("OK")}, {"content", Content(content)}})}};
    if (has_tag) responses.emplace_back("304", Object({{"description", Quoted("The client has the current one.")}}));
    responses.emplace_back(
        "default", Object({{"description", Quoted("An error, with the HTTP status that stands for its code.")},
                           {"content", Content({{"application/json", Need(google::rpc::Status::descriptor())}})}}));
    return Object(responses);
  }

  void AddOperation(const Route& route) {
    std::vector<std::string> parameters;
    for (const Parameter& variable : route.variables) parameters.push_back(ParameterObject(route, variable, true));
    for (const Parameter& parameter : route.parameters) parameters.push_back(ParameterObject(route, parameter, false));
    std::vector<std::string> headers = route.conditions;
    if (route.streams) headers.emplace_back("Last-Event-ID");
    for (const std::string& header : headers) {
      parameters.push_back(Object({{"name", Quoted(header)}, {"in", Quoted("header")}, {"schema", Typed("string")}}));
    }
    // Methods that are served at two paths have two operations.
    const int uses = ++uses_[route.rpc];
    std::vector<std::pair<std::string, std::string>> operation = {
        {"operationId", Quoted(uses == 1 ? route.rpc : absl::StrCat(route.rpc, uses))},
        {"tags", Array({Quoted(route.service)})},
        {"summary", Quoted(route.summary)},
        {"parameters", Array(parameters)}};
    if (route.body != Route::Body::kNone) {
      std::vector<std::pair<std::string, std::string>> content = {{"application/json", Need(route.request)}};
      if (route.body == Route::Body::kValue) {
        content.emplace_back("application/octet-stream", Typed("string", "binary"));
      }
      operation.emplace_back("requestBody", Object({{"required", route.body == Route::Body::kJson ? "true" : "false"},
                                                    {"content", Content(content)}}));
    }
    operation.emplace_back("responses", Responses(route));
    paths_[absl::StrReplaceAll(route.pattern, {{"=**}", "}"}})].emplace_back(absl::AsciiStrToLower(route.method),
                                                                             Object(operation));
  }

  std::map<std::string, std::vector<std::pair<std::string, std::string>>> paths_;
  std::map<std::string, int> uses_;
  std::set<const Descriptor*> needed_;
  std::vector<const Descriptor*> waiting_;
  std::string text_;
};

}  // namespace

std::string OpenApiDocument(const std::vector<Route>& routes, std::string_view version) {
  return Document(routes, version).Take();
}

void AddOpenApiRoute(const std::vector<Route>& routes, std::string_view version, Router* router) {
  router->Add("GET", "/openapi.json",
              [document = OpenApiDocument(routes, version) + "\n"](const HttpRequest&, HttpReply reply) {
                HttpResponse response;
                response.content_type = "application/json";
                response.body = document;
                reply(std::move(response));
              });
}

}  // namespace meshgate::server::api
