#include "consul/embedded/curl_prober.h"

#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/testing/pending.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::consul::embedded {
namespace {

using testing::TinyHttpServer;

CheckDefinition Http(const std::string& url) {
  CheckDefinition check;
  check.probe = HttpProbe{url, "", {}, false};
  return check;
}

std::string Url(const TinyHttpServer& server) { return absl::StrCat("http://127.0.0.1:", server.port(), "/"); }

ProbeResult Probe(Prober& prober, const CheckDefinition& check, absl::Duration timeout = absl::Seconds(30)) {
  testing::Pending<ProbeResult> done;
  prober.Probe(check, timeout, done.Callback());
  return done.Get(absl::Seconds(60)).value_or(ProbeResult{Health::kMaintenance, "no answer"});
}

// Consul's reading of a status decides about the traffic an instance gets.
TEST(CurlProberTest, HttpStatuses) {
  CurlProber prober(CheckAllowList::OfThisHost());
  TinyHttpServer server;
  for (const auto& [status, health] : std::vector<std::pair<int, Health>>{{200, Health::kPassing},
                                                                          {204, Health::kPassing},
                                                                          {299, Health::kPassing},
                                                                          {304, Health::kCritical},
                                                                          {404, Health::kCritical},
                                                                          {429, Health::kWarning},
                                                                          {500, Health::kCritical},
                                                                          {503, Health::kCritical}}) {
    server.set_status(status);
    const ProbeResult result = Probe(prober, Http(Url(server)));
    EXPECT_EQ(result.health, health) << status << " " << result.output;
    EXPECT_NE(result.output.find(std::to_string(status)), std::string::npos) << result.output;
  }
  EXPECT_EQ(server.last_request().rfind("GET / HTTP/1.1\r\n", 0), 0u) << server.last_request();
}

// Method and headers must arrive as they were registered, also empty ones.
TEST(CurlProberTest, MethodAndHeaders) {
  CurlProber prober(CheckAllowList::OfThisHost());
  TinyHttpServer server;
  CheckDefinition check = Http(Url(server) + "ready?deep=1");
  auto& http = std::get<HttpProbe>(check.probe);
  http.method = "PUT";
  http.headers = {{"Host", "inner.example"}, {"X-Empty", ""}, {"X-Probe", "a b"}};
  EXPECT_EQ(Probe(prober, check).health, Health::kPassing);
  const std::string request = server.last_request();
  EXPECT_EQ(request.rfind("PUT /ready?deep=1 HTTP/1.1\r\n", 0), 0u) << request;
  EXPECT_NE(request.find("Host: inner.example\r\n"), std::string::npos) << request;
  EXPECT_NE(request.find("X-Probe: a b\r\n"), std::string::npos) << request;
  EXPECT_NE(request.find("X-Empty:"), std::string::npos) << request;
  EXPECT_NE(request.find("Content-Length: 0\r\n"), std::string::npos) << request;
  EXPECT_EQ(request.find("Content-Type"), std::string::npos) << request;
  http.method = "HEAD";
  EXPECT_EQ(Probe(prober, check).health, Health::kPassing);
  EXPECT_EQ(server.last_request().rfind("HEAD /ready?deep=1 HTTP/1.1\r\n", 0), 0u) << server.last_request();
}

// An instance that answers too much must not take memory or time.
TEST(CurlProberTest, LongAnswersAreCut) {
  TinyHttpServer server([](TinyHttpServer::Connection& connection) {
    connection.ReadRequest();
    connection.Write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    const std::string chunk(64 << 10, 'x');
    while (connection.Write(chunk)) {
    }
  });
  CurlProber prober(CheckAllowList::OfThisHost());
  const ProbeResult result = Probe(prober, Http(Url(server)));
  EXPECT_EQ(result.health, Health::kPassing) << result.output.substr(0, 100);
  EXPECT_LT(result.output.size(), 5000u);
}

// An instance would send the gateway to wherever it likes, and have the answer kept as the check's output.
TEST(CurlProberTest, RedirectsAreNotFollowed) {
  TinyHttpServer target;
  std::string location;
  TinyHttpServer server([&](TinyHttpServer::Connection& connection) {
    connection.ReadRequest();
    connection.Write("HTTP/1.1 302 Found\r\nLocation: " + location +
                     "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  });
  CurlProber prober(CheckAllowList::OfThisHost());
  for (const std::string& to : {Url(target), std::string("http://169.254.169.254/"), std::string("file:///etc/passwd"),
                                std::string("/elsewhere")}) {
    location = to;
    const ProbeResult result = Probe(prober, Http(Url(server)));
    EXPECT_EQ(result.health, Health::kCritical) << to;
    EXPECT_EQ(result.output, "HTTP 302 ") << to;
  }
  EXPECT_EQ(target.last_request(), "");
}

// An instance that accepts and then hangs must be critical after the timeout, not for ever unknown.
TEST(CurlProberTest, Timeout) {
  TinyHttpServer server([](TinyHttpServer::Connection& connection) { connection.AwaitClose(); });
  CurlProber prober(CheckAllowList::OfThisHost());
  EXPECT_EQ(Probe(prober, Http(Url(server)), absl::Milliseconds(50)).health, Health::kCritical);
}

// A connection is all that a TCP check asks for; a port without a listener must be noticed.
TEST(CurlProberTest, Tcp) {
  CurlProber prober(CheckAllowList::OfThisHost());
  auto server =
      std::make_unique<TinyHttpServer>([](TinyHttpServer::Connection& connection) { connection.AwaitClose(); });
  CheckDefinition check;
  check.probe = TcpProbe{absl::StrCat("127.0.0.1:", server->port())};
  EXPECT_EQ(Probe(prober, check).health, Health::kPassing);
  server = nullptr;
  const ProbeResult result = Probe(prober, check);
  EXPECT_EQ(result.health, Health::kCritical);
  EXPECT_NE(result.output, "");
}

// The process could not end while an instance hangs.
TEST(CurlProberTest, ShutdownEndsProbes) {
  TinyHttpServer server([](TinyHttpServer::Connection& connection) { connection.AwaitClose(); });
  CurlProber prober(CheckAllowList::OfThisHost());
  testing::Pending<ProbeResult> hanging, late;
  prober.Probe(Http(Url(server)), absl::Minutes(10), hanging.Callback());
  prober.Shutdown();
  EXPECT_EQ(hanging.calls(), 1);
  prober.Probe(Http(Url(server)), absl::Minutes(10), late.Callback());
  EXPECT_EQ(late.calls(), 1);
  EXPECT_EQ(late.Get(absl::ZeroDuration())->health, Health::kCritical);
  prober.Shutdown();
}

}  // namespace
}  // namespace meshgate::consul::embedded
