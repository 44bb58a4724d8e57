// The proxy does the harm that it is asked for: a scenario behind one that does none would prove nothing.
#include "tests/testing/tcp_proxy.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/fault/consul_client.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::fault {
namespace {

using Mode = testing::TcpProxy::Mode;
using testing::TinyHttpServer;

constexpr absl::Duration kPatient = absl::Seconds(30);

class TcpProxyTest : public ::testing::Test {
 protected:
  static std::string Body() { return std::string(200, 'x'); }

  ConsulClient::Answer Get(absl::Duration timeout = kPatient) {
    return ConsulClient(proxy_.url(), timeout).Call("GET", "/");
  }

  TinyHttpServer server_{[](TinyHttpServer::Connection& connection) {
    if (!connection.ReadRequest().empty()) {
      connection.Write(absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", Body().size(), "\r\n\r\n", Body()));
    }
  }};
  testing::TcpProxy proxy_{server_.port()};
};

// Everything would be harm.
TEST_F(TcpProxyTest, PassesWhatComes) {
  const auto answer = Get();
  EXPECT_EQ(answer.code, 200);
  EXPECT_EQ(answer.body, Body());
}

// Late and slow answers are whole.
TEST_F(TcpProxyTest, DelaysAndDrips) {
  for (const Mode mode : {Mode::kDelay, Mode::kDrip}) {
    proxy_.SetMode(mode);
    const absl::Time begin = absl::Now();
    EXPECT_EQ(Get().body, Body());
    EXPECT_GE(absl::Now() - begin, absl::Milliseconds(100));
  }
}

// A part of the body arrives, and then the end.
TEST_F(TcpProxyTest, CutsBodies) {
  for (const Mode mode : {Mode::kCutBody, Mode::kHalfClose}) {
    proxy_.SetMode(mode);
    const auto answer = Get();
    EXPECT_EQ(answer.code, 0);
    EXPECT_EQ(answer.body, Body().substr(0, 100));
  }
}

// The server is not asked.
TEST_F(TcpProxyTest, AnswersInstead) {
  proxy_.SetMode(Mode::kHtml);
  auto answer = Get();
  EXPECT_EQ(answer.code, 200);
  EXPECT_TRUE(absl::StrContains(answer.body, "<html>"));
  proxy_.SetMode(Mode::kEmptyJson);
  answer = Get();
  EXPECT_EQ(answer.code, 200);
  EXPECT_EQ(answer.body, "[]");
}

// Nobody answers, for two reasons.
TEST_F(TcpProxyTest, RefusesAndIsSilent) {
  proxy_.SetMode(Mode::kRefuse);
  EXPECT_EQ(Get().code, 0);
  proxy_.SetMode(Mode::kSilent);
  EXPECT_EQ(Get(absl::Milliseconds(200)).code, 0);
  proxy_.BreakAll();
  proxy_.SetMode(Mode::kPass);
  EXPECT_EQ(Get().code, 200);
  EXPECT_EQ(proxy_.accepted(), 3);
}

}  // namespace
}  // namespace meshgate::fault
