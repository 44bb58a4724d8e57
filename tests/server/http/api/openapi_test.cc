#include "server/http/api/openapi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "tests/server/http/api/api_harness.h"

namespace meshgate::server {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

class OpenApiTest : public ApiHarness {
 protected:
  OpenApiTest() {
    api::AddOpenApiRoute(routes_, "1.2.3", &router_);
    const HttpResponse response = Ask("GET", "/openapi.json");
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.content_type, "application/json");
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(response.body, &document_).ok());
  }

  static const Struct& In(const Struct& object, const std::string& name) {
    const auto found = object.fields().find(name);
    EXPECT_NE(found, object.fields().end()) << name;
    static const Struct none;
    return found == object.fields().end() ? none : found->second.struct_value();
  }

  // Every "$ref" below.
  static void CollectReferences(const Value& value, std::set<std::string>* references) {
    for (const Value& element : value.list_value().values()) CollectReferences(element, references);
    for (const auto& [name, member] : value.struct_value().fields()) {
      if (name == "$ref") references->insert(member.string_value());
      CollectReferences(member, references);
    }
  }

  Struct document_;
};

// Would break if the document left out what is served, or promised what is not.
TEST_F(OpenApiTest, HasEveryRouteAndNoOther) {
  std::set<std::string> documented, served;
  for (const auto& [path, operations] : In(document_, "paths").fields()) {
    for (const auto& [method, operation] : operations.struct_value().fields()) {
      documented.insert(absl::AsciiStrToUpper(method) + " " + path);
    }
  }
  for (const auto& [method, pattern] : router_.routes()) {
    if (!absl::StartsWith(pattern, "/api/")) continue;
    served.insert(method + " " + absl::StrReplaceAll(pattern, {{"=**", ""}}));
  }
  EXPECT_EQ(documented, served);
  EXPECT_EQ(documented.size(), routes_.size());
}

// Would break if a generator could not make a client of it: names that are not unique, or that lead nowhere.
TEST_F(OpenApiTest, IsConsistent) {
  EXPECT_EQ(document_.fields().at("openapi").string_value(), "3.0.3");
  EXPECT_EQ(In(document_, "info").fields().at("version").string_value(), "1.2.3");
  std::set<std::string> references, ids;
  Value whole;
  *whole.mutable_struct_value() = document_;
  CollectReferences(whole, &references);
  const Struct& schemas = In(In(document_, "components"), "schemas");
  for (const std::string& reference : references) {
    ASSERT_TRUE(absl::StartsWith(reference, "#/components/schemas/"));
    EXPECT_EQ(schemas.fields().count(reference.substr(21)), 1u) << reference;
  }
  EXPECT_EQ(references.size(), schemas.fields().size()) << "schemas that nothing uses";
  for (const auto& [path, operations] : In(document_, "paths").fields()) {
    for (const auto& [method, operation] : operations.struct_value().fields()) {
      const auto& fields = operation.struct_value().fields();
      EXPECT_TRUE(ids.insert(fields.at("operationId").string_value()).second) << path;
      EXPECT_NE(fields.at("summary").string_value(), "") << path;
      EXPECT_EQ(fields.at("responses").struct_value().fields().count("default"), 1u) << path;
      std::set<std::string> names;
      for (const Value& parameter : fields.at("parameters").list_value().values()) {
        const auto& one = parameter.struct_value().fields();
        EXPECT_TRUE(names.insert(one.at("name").string_value()).second) << path;
        const bool in_path = one.at("in").string_value() == "path";
        EXPECT_EQ(in_path, path.find("{" + one.at("name").string_value() + "}") != std::string::npos) << path;
        EXPECT_EQ(one.count("required"), in_path ? 1u : 0u);
      }
    }
  }
}

// Would break if a client sent a parameter that the document has, in the form that it has, and it were refused.
TEST_F(OpenApiTest, ParametersAreTaken) {
  for (const api::Route& route : routes_) {
    const std::string path =
        absl::StrReplaceAll(route.pattern, {{"{key=**}", "a"}, {"{service}", "web"}, {"{id}", "web-1"}});
    const Struct& operation = In(In(In(document_, "paths"), absl::StrReplaceAll(route.pattern, {{"=**", ""}})),
                                 absl::AsciiStrToLower(route.method));
    for (const Value& parameter : operation.fields().at("parameters").list_value().values()) {
      const auto& one = parameter.struct_value().fields();
      // A token is opaque: the document has no example of one.
      if (one.at("in").string_value() != "query" || one.at("name").string_value() == "after") continue;
      const auto& schema = one.at("schema").struct_value().fields();
      const std::string type = schema.at("type").string_value();
      std::string value = "1";
      if (type == "boolean") value = "true";
      if (schema.count("enum") > 0) value = schema.at("enum").list_value().values(0).string_value();
      if (schema.count("example") > 0) value = schema.at("example").string_value();
      const auto connection = Begin(route.method, path + "?" + one.at("name").string_value() + "=" + value);
      if (!connection->answered()) continue;
      EXPECT_THAT(connection->response().body, ::testing::Not(::testing::HasSubstr("unknown parameter"))) << path;
      EXPECT_THAT(connection->response().body, ::testing::Not(::testing::HasSubstr("must be")))
          << path << "?" << one.at("name").string_value();
    }
  }
}

}  // namespace
}  // namespace meshgate::server
