// Access control on the HTTP port: the same callers, the same answers as over gRPC.
#include <gmock/gmock.h>

#include <set>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "tests/integration/auth_fixture.h"
#include "tests/server/http/raw_client.h"

namespace meshgate::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class AuthHttpTest : public AuthFixture {
 protected:
  void SetUp() override {
    AuthFixture::SetUp();
    MakePolicy("reader", R"(key_prefix "app/" { policy = "read" })");
    MakeToken(Secret(1), "reader");
    Put("app/k", "visible");
    Put("other/k", "h1dden");
  }
  static std::string Request(const std::string& method, const std::string& target, const std::string& header,
                             const std::string& body = "") {
    return absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: h\r\n", header, header.empty() ? "" : "\r\n",
                        "Content-Length: ", body.size(), "\r\n\r\n", body);
  }
  RawClient::Response Call(const std::string& method, const std::string& target, const std::string& header,
                           const std::string& body = "") {
    RawClient client(gateway_->http_address());
    client.Send(Request(method, target, header, body));
    return client.Receive();
  }
  static std::string Token(const std::string& token) { return "X-Consul-Token: " + token; }
};

// Would break if the HTTP port were a way around what Consul lets a caller do.
TEST_F(AuthHttpTest, EachCallerMayDoWhatItsTokenMay) {
  for (const char* consistency : {"cached", "default"}) {
    const std::string options = absl::StrCat("?raw&consistency=", consistency);
    EXPECT_EQ(Call("GET", "/api/v1/config/app/k" + options, Token(Secret(1))).body, "visible");
    EXPECT_EQ(Call("GET", "/api/v1/config/app/k" + options, "Authorization: Bearer " + Secret(1)).body, "visible");
    const struct {
      std::string target, header;
      int status;
    } refused[] = {{"/api/v1/config/app/k", "", 403},
                   {"/api/v1/config/other/k", Token(Secret(1)), 403},
                   {"/api/v1/config/app/k", Token(kUnknown), 401},
                   // No header may hold this.
                   {"/api/v1/config/app/k",
                    Token("b\x01"
                          "d"),
                    400}};
    for (const auto& [target, header, status] : refused) {
      const auto answer = Call("GET", target + options, header);
      EXPECT_EQ(answer.status, status) << target << header << answer.body;
      EXPECT_THAT(answer.body, Not(HasSubstr("visible")));
      EXPECT_THAT(answer.body, Not(HasSubstr("h1dden")));
    }
  }
  EXPECT_EQ(Call("PUT", "/api/v1/config/app/k", Token(Secret(1)), "x").status, 403);
  EXPECT_EQ(Call("DELETE", "/api/v1/config/app/k", Token(Secret(1))).status, 403);
  const auto list = Call("GET", "/api/v1/config?prefix=", Token(Secret(1)));
  EXPECT_THAT(list.body, HasSubstr("app/k"));
  EXPECT_THAT(list.body, Not(HasSubstr("other")));
  // A token has no place in a URL, where logs keep it.
  EXPECT_EQ(Call("GET", "/api/v1/config/app/k?token=" + Secret(1), "").status, 400);
}

// What may be called over HTTP, from the gateway's own description: "GET /api/v1/services".
std::set<std::string> Operations(const std::string& openapi) {
  google::protobuf::Struct description;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(openapi, &description).ok());
  std::set<std::string> operations;
  for (const auto& [path, methods] : description.fields().at("paths").struct_value().fields()) {
    for (const auto& [method, operation] : methods.struct_value().fields()) {
      operations.insert(absl::AsciiStrToUpper(method) + " " + path);
    }
  }
  return operations;
}

// Would break if there were a path that asks nobody for a token, or that tells somebody what it may not see. A new one
// needs its row.
TEST_F(AuthHttpTest, EveryPathAsksWhoCalls) {
  MakePolicy("all", R"(key_prefix "app/" { policy = "write" } service_prefix "web" { policy = "write" })"
                    R"( node_prefix "" { policy = "read" })");
  MakePolicy("else", R"(key_prefix "else/" { policy = "write" } service "else" { policy = "write" })");
  MakeToken(Secret(2), "all");
  MakeToken(Secret(3), "else");
  Put("app/c", "c4n4ry");
  RegisterAtConsul("web", "web-1");
  const std::string json = "Content-Type: application/json";
  const std::string instance = R"({"instance": {"id": "web-2", "service": "web"}, "checks": [{"ttl": "60s"}]})";
  const struct {
    std::string operation, target, header, body;
  } rows[] = {
      {"GET /api/v1/config/{key}", "/api/v1/config/app/c", "", ""},
      {"GET /api/v1/config", "/api/v1/config?prefix=app/", "", ""},
      {"PUT /api/v1/config/{key}", "/api/v1/config/app/put", "", "x"},
      {"DELETE /api/v1/config/{key}", "/api/v1/config/app/put", "", ""},
      {"DELETE /api/v1/config", "/api/v1/config?prefix=app/put", "", ""},
      {"POST /api/v1/commit", "/api/v1/commit", json,
       R"({"operations": [{"put": {"key": "app/commit", "value": "eA=="}}]})"},
      {"GET /api/v1/services", "/api/v1/services", "", ""},
      {"GET /api/v1/services/{service}", "/api/v1/services/web", "", ""},
      {"POST /api/v1/instances", "/api/v1/instances", json, instance},
      {"PUT /api/v1/instances/{id}", "/api/v1/instances/web-2", json, instance},
      {"PUT /api/v1/instances/{id}/heartbeat", "/api/v1/instances/web-1/heartbeat", "", ""},
      {"DELETE /api/v1/instances/{id}", "/api/v1/instances/web-1", "", ""},
      {"GET /api/v1/watch/config/{key}", "/api/v1/watch/config/app/c?wait=10s", "", ""},
      {"GET /api/v1/watch/config", "/api/v1/watch/config?prefix=app/&wait=10s", "", ""},
      {"GET /api/v1/watch/services/{service}", "/api/v1/watch/services/web?wait=10s", "", ""},
  };
  std::set<std::string> left = Operations(Call("GET", "/openapi.json", "").body);
  for (const auto& row : rows) {
    EXPECT_EQ(left.erase(row.operation), 1u) << row.operation << " is not served";
    const auto call = [&](const std::string& token) {
      std::string header = token.empty() ? "" : Token(token);
      if (!row.header.empty()) absl::StrAppend(&header, header.empty() ? "" : "\r\n", row.header);
      return Call(row.operation.substr(0, row.operation.find(' ')), row.target, header, row.body);
    };
    const std::pair<std::string, int> refused[] = {{"", 403}, {kUnknown, 401}, {Secret(3), 403}};
    for (const auto& [token, status] : refused) {
      const auto answer = call(token);
      EXPECT_EQ(answer.status, status) << row.operation << " by " << token << answer.body;
      EXPECT_EQ(status == 401, answer.head.find("WWW-Authenticate: Bearer") != std::string::npos) << answer.head;
      for (const char* secret : {"c4n4ry", "YzRuNHJ5"}) EXPECT_THAT(answer.body, Not(HasSubstr(secret)));
    }
    EXPECT_EQ(call(Secret(2)).status, 200) << row.operation;
  }
  for (const std::string& operation : left) ADD_FAILURE() << operation << " has no row";
}

// Would break if a stream told what its token may not read, or went on when the token was gone.
TEST_F(AuthHttpTest, StreamsAreChecked) {
  for (const char* suffix : {"", "?wait=5s"}) {
    EXPECT_EQ(Call("GET", absl::StrCat("/api/v1/watch/config/other/k", suffix), Token(Secret(1))).status, 403);
    EXPECT_EQ(Call("GET", absl::StrCat("/api/v1/watch/config/app/k", suffix), Token(kUnknown)).status, 401);
  }
  RawClient stream(gateway_->http_address());
  stream.Send(Request("GET", "/api/v1/watch/config/app/k", Token(Secret(1))));
  EXPECT_THAT(stream.ReceiveUntil("dmlzaWJsZQ=="), HasSubstr("data: "));
  DeleteToken(Secret(1));
  Put("app/k", "written after");
  const std::string rest = stream.ReceiveUntil("\r\n0\r\n\r\n");
  EXPECT_THAT(rest, HasSubstr("event: end\n"));
  EXPECT_THAT(rest, HasSubstr(R"("code":16)"));
  EXPECT_THAT(rest, Not(HasSubstr("d3JpdHRlbiBhZnRlcg==")));
}

// Would break if a stream of some path went on when its token was gone or may do less, or told what came after that.
TEST_F(AuthHttpTest, EachStreamEndsWithItsPermission) {
  constexpr char kAllowed[] =
      R"(key_prefix "app/" { policy = "read" } service "web" { policy = "read" } node_prefix "" { policy = "read" })";
  RegisterAtConsul("web", "web-1");
  int number = 10;
  for (const char* target : {"config/app/k", "config?prefix=app/", "services/web"}) {
    for (const bool revoked : {true, false}) {
      SCOPED_TRACE(absl::StrCat(target, revoked ? ", revoked" : ", narrowed"));
      const std::string policy = absl::StrCat("stream-", ++number);
      MakePolicy(policy, kAllowed);
      MakeToken(Secret(number), policy);
      RawClient stream(gateway_->http_address());
      stream.Send(Request("GET", absl::StrCat("/api/v1/watch/", target), Token(Secret(number))));
      EXPECT_THAT(stream.ReceiveUntil("data: "), HasSubstr("data: "));
      stream.ReceiveUntil("\n\n\r\n");
      const std::string after = absl::StrCat("after-", number);
      revoked ? DeleteToken(Secret(number)) : MakePolicy(policy, R"(key "nothing" { policy = "read" })");
      Put("app/k", after);
      RegisterAtConsul("web", after);
      const std::string rest = stream.ReceiveUntil("\r\n0\r\n\r\n");
      EXPECT_THAT(rest, HasSubstr("event: end\n"));
      EXPECT_THAT(rest, HasSubstr(revoked ? R"("code":16)" : R"("code":7)"));
      EXPECT_THAT(rest, Not(HasSubstr(absl::Base64Escape(after))));
      EXPECT_THAT(rest, Not(HasSubstr(after)));
    }
  }
}

}  // namespace
}  // namespace meshgate::testing
