// Access control on the HTTP port: the same callers, the same answers as over gRPC.
#include <gmock/gmock.h>

#include <string>

#include "absl/strings/str_cat.h"
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
                   {"/api/v1/config/app/k",
                    Token("b\x01"
                          "d"),
                    401}};
    for (const auto& [target, header, status] : refused) {
      const auto answer = Call("GET", target + options, header);
      EXPECT_THAT(answer.status, ::testing::AnyOf(status, 400)) << target << header << answer.body;
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

}  // namespace
}  // namespace meshgate::testing
