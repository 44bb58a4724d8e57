// What goes through the relay unchanged, what does not, and what is said where Consul does not answer.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "consul/base/mutex.h"
#include "tests/consul/http/relay_fixture.h"
#include "tests/testing/scripted_agent.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::consul::http {
namespace {

using testing::ScriptedAgent;
using testing::TinyHttpServer;
using Connection = TinyHttpServer::Connection;
using Reply = ScriptedAgent::Reply;
using Then = Reply::Then;

constexpr char kProbe[] = "GET /v1/status/leader";

// All bytes that there are, and more than fits into a buffer.
std::string Binary() {
  std::string bytes;
  for (int i = 0; i < 300'000; ++i) bytes.push_back(static_cast<char>(i * 7 + i / 256));
  return bytes;
}

std::string Url(const TinyHttpServer& server) { return absl::StrCat("http://127.0.0.1:", server.port()); }

// An agent that is well but for what it answers to one request.
ScriptedAgent::Script Answering(const Reply& reply) {
  return [reply](const std::string& request) { return request == kProbe ? ScriptedAgent::Leader() : reply; };
}

// A caller's tool would not be understood by Consul, or store something else than it was given.
TEST_F(RelayTest, RequestsArriveAsTheyAre) {
  Mutex mu;
  std::vector<std::string> requests;
  TinyHttpServer server([&](Connection& connection) {
    while (true) {
      const std::string request = connection.ReadRequest();
      if (request.empty()) return;
      {
        MutexLock lock(mu);
        requests.push_back(request);
      }
      connection.Write(ScriptedAgent::Http(200, ""));
    }
  });
  Connect(Url(server));
  RelayRequest put = To("PUT", "/v1/kv/a%2Fb/../\xc3\xbc//c?flags=7&x=%20#{}", Binary());
  put.headers = {{"X-Odd-CASE", "  \xc3\xbc \"quoted\", a=b;c "},
                 {"Content-Type", "application/octet-stream"},
                 {"X-Twice", "1"},
                 {"X-Empty", ""},
                 {"X-Twice", "2"},
                 {"Connection", "close"},
                 {"Content-Length", "3"},
                 {"Accept-Encoding", "gzip"}};
  EXPECT_EQ(Fetch(put)->WaitForEnd(), "OK");
  Fetch(To("PUT", "/v1/agent/service/deregister/a"));
  Fetch(To("POST", "/v1/acl/token", "{}"));
  Fetch(To("DELETE", "/v1/kv/a?recurse", "no body"));
  RelayRequest get = To("GET", "/v1/kv/a", "no body");
  get.headers = {{"accept", "text/plain"}};
  Fetch(get);
  backend_->Shutdown();

  MutexLock lock(mu);
  ASSERT_EQ(requests.size(), 5u);
  const std::string host = absl::StrCat("Host: 127.0.0.1:", server.port(), "\r\n");
  EXPECT_EQ(requests[0], absl::StrCat("PUT /v1/kv/a%2Fb/../\xc3\xbc//c?flags=7&x=%20#{} HTTP/1.1\r\n", host,
                                      "X-Odd-CASE: \xc3\xbc \"quoted\", a=b;c\r\n"
                                      "Content-Type: application/octet-stream\r\nX-Twice: 1\r\nX-Empty:\r\n"
                                      "X-Twice: 2\r\nContent-Length: 300000\r\n\r\n",
                                      Binary()));
  EXPECT_EQ(requests[1],
            absl::StrCat("PUT /v1/agent/service/deregister/a HTTP/1.1\r\n", host, "Content-Length: 0\r\n\r\n"));
  EXPECT_EQ(requests[2], absl::StrCat("POST /v1/acl/token HTTP/1.1\r\n", host, "Content-Length: 2\r\n\r\n{}"));
  EXPECT_EQ(requests[3], absl::StrCat("DELETE /v1/kv/a?recurse HTTP/1.1\r\n", host, "\r\n"));
  EXPECT_EQ(requests[4], absl::StrCat("GET /v1/kv/a HTTP/1.1\r\n", host, "accept: text/plain\r\n\r\n"));
  EXPECT_EQ(server.connections(), 1) << "it is kept, whatever the caller does with its own";
}

// A caller's tool would see something else than Consul said; an error of Consul's is its own, too.
TEST_F(RelayTest, AnswersArriveAsTheyAre) {
  const std::string binary = Binary();
  for (const int code : {200, 204, 301, 400, 403, 404, 409, 413, 429, 500, 503}) {
    SCOPED_TRACE(code);
    const std::string body = code == 204 ? "" : binary;
    std::string bytes =
        ScriptedAgent::Http(code, body,
                            "X-Consul-Index: 17\r\nx-odd-CASE:  a:b \r\nVary: A\r\nVary: B\r\nEmpty:\r\n"
                            "Keep-Alive: timeout=5\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n");
    // What came before the answer is none.
    bytes = absl::StrCat("HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n", bytes);
    ScriptedAgent agent(Answering({bytes}));
    Connect(agent.url());
    const auto sink = Fetch(To("GET", "/v1/session/list"));
    EXPECT_EQ(sink->WaitForEnd(), "OK");
    EXPECT_EQ(sink->head().status, code);
    EXPECT_EQ(sink->head().headers, (HeaderList{{"X-Consul-Index", "17"},
                                                {"x-odd-CASE", "a:b"},
                                                {"Vary", "A"},
                                                {"Vary", "B"},
                                                {"Empty", ""},
                                                {"Content-Length", absl::StrCat(body.size())}}));
    EXPECT_TRUE(sink->body() == body);
    EXPECT_EQ(reported(Endpoint::kSession, code), 1);
    backend_->Shutdown();
  }
}

// An answer without a length would be cut, or what follows it be taken for a part of it.
TEST_F(RelayTest, ChunkedAnswersAndTrailers) {
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
  const std::string body = std::string("ab\0cd", 5) + "efg";
  ScriptedAgent agent(Answering({head + "5\r\n" + body.substr(0, 5) + "\r\n3;x=y\r\nefg\r\n0\r\nX-Sum: 9\r\n\r\n"}));
  Connect(agent.url());
  for (int i = 0; i < 2; ++i) {
    const auto sink = Fetch(To("GET", "/v1/kv/a"));
    EXPECT_EQ(sink->WaitForEnd(), "OK");
    EXPECT_EQ(sink->head().headers, HeaderList());
    EXPECT_EQ(sink->body(), body);
  }
  EXPECT_EQ(agent.connections(), 1);
}

// A caller without a token would act with the gateway's rights, or the other way round.
TEST_F(RelayTest, Tokens) {
  TinyHttpServer server;
  ConsulBackendOptions options;
  options.address = Url(server);
  options.token = "gateways-own";
  Connect(options);
  RelayRequest request = To("GET", "/v1/kv/a");
  request.headers = {{"X-Consul-Token", "smuggled"}, {"Authorization", "Bearer smuggled"}, {"X-Other", "1"}};
  Fetch(request);
  EXPECT_TRUE(absl::StrContains(server.last_request(), "\r\nX-Consul-Token: gateways-own\r\n"));
  EXPECT_FALSE(absl::StrContains(server.last_request(), "smuggled"));
  request.token = "callers";
  Fetch(request);
  EXPECT_TRUE(absl::StrContains(server.last_request(), "\r\nX-Consul-Token: callers\r\n"));
  EXPECT_FALSE(absl::StrContains(server.last_request(), "gateways-own"));
  request.token = "";
  Fetch(request);
  EXPECT_FALSE(absl::StrContains(server.last_request(), "Token")) << server.last_request();
  EXPECT_TRUE(absl::StrContains(server.last_request(), "\r\nX-Other: 1\r\n"));
}

// What is not a request must not reach Consul, nor hang.
TEST_F(RelayTest, WhatIsRefusedIsNotSent) {
  TinyHttpServer server;
  Connect(Url(server));
  RelayRequest injected = To("PUT", "/v1/kv/a", "x");
  injected.headers = {{"X-Name", "a\r\n\r\nGET /v1/kv/b HTTP/1.1"}};
  RelayRequest late = To("GET", "/v1/kv/a");
  late.timeout = absl::ZeroDuration();
  EXPECT_EQ(Fetch(injected)->WaitForEnd(), "INVALID_ARGUMENT INVALID_REQUEST");
  EXPECT_EQ(Fetch(To("PATCH", "/v1/kv/a"))->WaitForEnd(), "INVALID_ARGUMENT INVALID_REQUEST");
  EXPECT_EQ(Fetch(late)->WaitForEnd(), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED");
  const Sent refused = Send(injected);
  refused.call->Resume();
  refused.call->Cancel();
  EXPECT_EQ(refused.sink->WaitForEnd(), "INVALID_ARGUMENT INVALID_REQUEST");
  EXPECT_FALSE(refused.sink->has_head());
  EXPECT_EQ(server.connections(), 0);
}

// A caller would take for an answer what is none, or try a write again that was applied.
TEST_F(RelayTest, NoAnswer) {
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n";
  struct Case {
    const char* what;
    Reply reply;
    bool has_head;
    const char* read;
    const char* write;
  };
  const char* away = "UNAVAILABLE CONSUL_UNAVAILABLE";
  const char* unknown = "UNAVAILABLE WRITE_OUTCOME_UNKNOWN";
  for (const Case& c : std::vector<Case>{
           {"nothing", {"", Then::kReset}, false, "RESOURCE_EXHAUSTED CONSUL_OVERLOADED", unknown},
           {"cut in mid-body", {head + "[]", Then::kClose}, true, away, unknown},
           {"reset in mid-body", {head + "[]", Then::kReset}, true, away, unknown},
           {"cut within the headers", {"HTTP/1.1 200 OK\r\nX-Consul-Index: 9\r\n", Then::kClose}, false, away, unknown},
           {"a 100 alone", {"HTTP/1.1 100 Continue\r\n\r\n", Then::kClose}, false, away, unknown},
           {"not HTTP",
            {"+PONG\r\n", Then::kClose},
            false,
            "INTERNAL UNEXPECTED_ANSWER",
            "INTERNAL WRITE_OUTCOME_UNKNOWN"}}) {
    SCOPED_TRACE(c.what);
    for (const bool write : {false, true}) {
      ScriptedAgent agent(Answering(c.reply));
      Connect(agent.url());
      const auto sink = Fetch(To(write ? "PUT" : "GET", "/v1/txn", ""));
      EXPECT_EQ(sink->WaitForEnd(), write ? c.write : c.read) << sink->message();
      EXPECT_EQ(sink->has_head(), c.has_head);
      EXPECT_EQ(sink->body(), c.has_head ? "[]" : "");
      EXPECT_EQ(reported(Endpoint::kTxn, 200), 0);
      backend_->Shutdown();
    }
  }
  EXPECT_EQ(reported(Endpoint::kTxn, 0), 12);
}

// Callers would wait for an agent that is away, or be told that their writes may have been applied.
TEST_F(RelayTest, AgentAway) {
  std::string url;
  {
    ScriptedAgent gone(Answering({}));
    url = gone.url();
  }
  Connect(url);
  EXPECT_EQ(Fetch(To("PUT", "/v1/kv/a", "x"))->WaitForEnd(), "UNAVAILABLE CONSUL_UNAVAILABLE");
  // Until the breaker knows, too.
  std::string message;
  for (int i = 0; i < 1000 && !absl::StrContains(message, "nothing was sent"); ++i) {
    const auto sink = Fetch(To("PUT", "/v1/kv/a", "x"));
    EXPECT_EQ(sink->WaitForEnd(), "UNAVAILABLE CONSUL_UNAVAILABLE");
    message = sink->message();
  }
  EXPECT_TRUE(absl::StrContains(message, "nothing was sent")) << message;
}

// A write that was applied before its connection broke would be applied twice; a read over a connection that has been
// closed meanwhile would fail for nothing.
TEST_F(RelayTest, ReadsAreSentAgainAndWritesNever) {
  for (const std::string method : {"GET", "PUT", "POST", "DELETE"}) {
    SCOPED_TRACE(method);
    std::atomic<int> asked{0};
    ScriptedAgent agent([&asked](const std::string& request) -> Reply {
      if (request == kProbe) return ScriptedAgent::Leader();
      // The first one is answered, the second one on the kept connection is not.
      return ++asked == 2 ? Reply{"", Then::kClose} : Reply{ScriptedAgent::Http(200, "x")};
    });
    Connect(agent.url());
    EXPECT_EQ(Fetch(To("GET", "/v1/kv/a"))->body(), "x");
    const auto sink = Fetch(To(method, "/v1/kv/b", method == "PUT" ? "value" : ""));
    EXPECT_EQ(sink->WaitForEnd(), method == "GET" ? "OK" : "UNAVAILABLE WRITE_OUTCOME_UNKNOWN");
    EXPECT_EQ(agent.count(method + " /v1/kv/b"), method == "GET" ? 2 : 1);
    backend_->Shutdown();
  }
}

}  // namespace
}  // namespace meshgate::consul::http
