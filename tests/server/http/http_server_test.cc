#include "server/http/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "tests/server/http/raw_client.h"

namespace meshgate::server {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using testing::RawClient;

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() {
    options_.listen = "127.0.0.1:0";
    router_.Add("GET", "/hello", [](const HttpRequest& request, HttpReply reply) {
      HttpResponse response;
      response.body = "hello " + request.query;
      reply(std::move(response));
    });
    router_.Add("PUT", "/echo", [](const HttpRequest& request, HttpReply reply) {
      HttpResponse response;
      response.body = std::string(request.header("x-id")) + " " + request.peer + " " + request.body;
      reply(std::move(response));
    });
    router_.Add("GET", "/later", [this](const HttpRequest&, HttpReply reply) { pending_.set_value(std::move(reply)); });
    router_.Add("GET", "/dropped", [](const HttpRequest&, HttpReply) {});
  }

  void Start() {
    auto server = HttpServer::Start(options_, &router_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  HttpServerOptions options_;
  Router router_;
  std::promise<HttpReply> pending_;
  std::unique_ptr<HttpServer> server_;
};

// Would break if a connection could serve one request only, or bytes of one got into the next.
TEST_F(HttpServerTest, KeepsConnectionsAlive) {
  Start();
  RawClient client(server_->address());
  for (int i = 0; i < 3; ++i) {
    const auto response = client.Get("/hello?n=" + std::to_string(i));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "hello n=" + std::to_string(i));
    EXPECT_THAT(response.head, HasSubstr("Content-Type: text/plain; charset=utf-8\r\n"));
    EXPECT_THAT(response.head, Not(HasSubstr("Connection: close")));
  }
  // Two at once, answered in order.
  client.Send("GET /hello?a HTTP/1.1\r\nHost: h\r\n\r\nGET /hello?b HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.Receive().body, "hello a");
  EXPECT_EQ(client.Receive().body, "hello b");
}

// Would break if a client that says it is done were kept waiting, or an HTTP/1.0 one did not get its answer.
TEST_F(HttpServerTest, ClosesWhenAsked) {
  Start();
  RawClient client(server_->address());
  client.Send("GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.Receive().head, HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(client.WaitForClose());
  RawClient old(server_->address());
  old.Send("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.Receive().status, 200);
  EXPECT_TRUE(old.WaitForClose());
  // Health checkers and benchmarks of that age wait for the end unless they are told.
  RawClient kept(server_->address());
  for (int i = 0; i < 2; ++i) {
    kept.Send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_THAT(kept.Receive().head, HasSubstr("Connection: keep-alive\r\n"));
  }
}

// Would break if HEAD sent a body, which the client would take for the next response.
TEST_F(HttpServerTest, HeadHasNoBody) {
  Start();
  RawClient client(server_->address());
  client.Send("HEAD /hello?x HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto head = client.Receive(false);
  EXPECT_EQ(head.status, 200);
  EXPECT_THAT(head.head, HasSubstr("Content-Length: 7\r\n"));
  EXPECT_EQ(client.Get("/hello?x").body, "hello x");
  // What cannot be read is no HEAD, whatever came before.
  client.Send("HEAD /hello HTTP/1.1\r\nHost: h\r\n\r\n");
  client.Receive(false);
  client.Send("junk\r\n\r\n");
  EXPECT_THAT(client.Receive().body, HasSubstr("MALFORMED_HTTP"));
}

// Would break if a client that was told to use a proxy, and sends the whole URL, found nothing.
TEST_F(HttpServerTest, AcceptsWholeUrls) {
  Start();
  RawClient client(server_->address());
  EXPECT_EQ(client.Get("http://h/hello?x").body, "hello x");
  EXPECT_EQ(client.Get("HTTPS://h:1/hello?http://h/").body, "hello http://h/");
  EXPECT_EQ(client.Get("http://h").status, 404);
}

// Would break if a client that asks before it sends a body, as curl does with large ones, waited for its answer.
TEST_F(HttpServerTest, AnswersBeforeTheBodyIsSent) {
  options_.max_body_bytes = 1000;
  Start();
  RawClient client(server_->address());
  client.Send("PUT /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(client.Receive().status, 100);
  client.Send("body");
  EXPECT_THAT(client.Receive().body, HasSubstr(" body"));
  client.Send("PUT /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n");
  EXPECT_EQ(client.Receive().status, 413);
}

// Would break if a handler did not get the body, the headers or the peer.
TEST_F(HttpServerTest, PassesTheRequestOn) {
  Start();
  RawClient client(server_->address());
  client.Send("PUT /echo HTTP/1.1\r\nHost: h\r\nX-ID: 7\r\nContent-Length: 4\r\n\r\nbody");
  EXPECT_THAT(client.Receive().body, MatchesRegex("7 ipv4:127\\.0\\.0\\.1:[0-9]+ body"));
  client.Send("PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  EXPECT_THAT(client.Receive().body, HasSubstr(" abc"));
}

// Would break if an error of routing closed the connection or were not the documented one.
TEST_F(HttpServerTest, RoutingErrors) {
  Start();
  RawClient client(server_->address());
  EXPECT_EQ(client.Get("/nope").status, 404);
  client.Send("DELETE /hello HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto response = client.Receive();
  EXPECT_EQ(response.status, 405);
  EXPECT_THAT(response.head, HasSubstr("Allow: GET, HEAD\r\n"));
  client.Send("BREW /hello HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.Receive().status, 405);
  EXPECT_EQ(client.Get("/hello").status, 200);
}

// Would break if what is not HTTP, or too large, were taken in, or refused without saying why.
TEST_F(HttpServerTest, RefusesMalformedRequests) {
  options_.max_body_bytes = 1000;
  Start();
  const std::string head = "GET /hello HTTP/1.1\r\nHost: h\r\n";
  const std::pair<std::string, int> cases[] = {
      {head + "X: " + std::string(20000, 'x') + "\r\n\r\n", 431},
      {"GET /" + std::string(20000, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n", 431},
      {"PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n" + std::string(1001, 'x'), 413},
      {"PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400},
      {"\x16\x03\x01\x02junk\r\n\r\n", 400},
      {"GET /hello HTTP/2.0\r\nHost: h\r\n\r\n", 400},
      {head + "bad header\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\n\r\n", 400},
      {head + "Host: other\r\n\r\n", 400},
  };
  for (const auto& [request, want] : cases) {
    RawClient client(server_->address());
    client.Send(request);
    const auto response = client.Receive();
    EXPECT_EQ(response.status, want) << request.substr(0, 60);
    EXPECT_THAT(response.body, HasSubstr("MALFORMED_HTTP")) << request.substr(0, 60);
  }
  RawClient client(server_->address());
  EXPECT_EQ(client.Get("/hello").status, 200);
}

// Would break if a peer could have any number of headers kept, where each comes with the first byte of the next.
TEST_F(HttpServerTest, BoundsHeadsThatComeInPieces) {
  Start();
  RawClient client(server_->address());
  // The server reads 1,024 bytes at a time: each read ends behind the first byte of a field. One field more than the
  // limit has room for; more would find the connection closed.
  std::string head = "GET /hello HTTP/1.1\r\nHost: h\r\nX: ";
  head += std::string(1024 - 3 - head.size(), 'x') + "\r\nX";
  const std::string field = ": " + std::string(1019, 'x') + "\r\nX";
  while (head.size() <= options_.max_header_bytes) head += field;
  client.Send(head);
  EXPECT_EQ(client.Receive().status, 431);
  EXPECT_TRUE(client.WaitForClose());
}

// Would break if a body were taken for headers where the end of the head comes by itself: the server reads 1,024 bytes
// at a time.
TEST_F(HttpServerTest, ABodyIsNoPartOfTheHead) {
  Start();
  const std::string body = "a\r\n b";
  std::string head = "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\nX: ";
  head += std::string(1024 - head.size() - 2, 'x') + "\r\n";
  ASSERT_EQ(head.size(), 1024u);
  RawClient client(server_->address());
  client.Send(head + "\r\n" + body);
  const auto response = client.Receive();
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_THAT(response.body, HasSubstr(body));
}

// Would break if a client that sends on while it is refused never read why.
TEST_F(HttpServerTest, RefusalsReachWhoStillSends) {
  options_.max_body_bytes = 1000;
  Start();
  RawClient client(server_->address());
  client.Send("PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n");
  // Each piece would be answered with a reset by a socket that is closed.
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(client.Send(std::string(50000, 'x'))) << i;
  EXPECT_EQ(client.Receive().status, 413);
  EXPECT_TRUE(client.WaitForClose());
}

// Would break if a peer that sends a byte now and then, or nothing, could hold a connection for ever.
TEST_F(HttpServerTest, SlowPeersAreCutOff) {
  options_.read_timeout = absl::Milliseconds(300);
  Start();
  RawClient silent(server_->address());
  RawClient slow(server_->address());
  RawClient idle(server_->address());
  EXPECT_EQ(idle.Get("/hello").status, 200);
  const absl::Time began = absl::Now();
  slow.Send("GET /hello HTTP/1.1\r\nHost: h\r\n");
  // Sending goes on for longer than the limit: each byte must not begin it anew.
  std::thread dribble([&] {
    while (absl::Now() < began + absl::Seconds(20) && slow.Send("x")) absl::SleepFor(absl::Milliseconds(20));
  });
  EXPECT_TRUE(silent.WaitForClose());
  EXPECT_TRUE(idle.WaitForClose());
  dribble.join();
  EXPECT_LT(absl::Now() - began, absl::Seconds(15));
}

// Would break if connections could use up the process's file descriptors.
TEST_F(HttpServerTest, BoundsConnections) {
  class Counts final : public metrics::ConnectionReporter {
   public:
    void OnConnections(int delta) override { open += delta; }
    void OnRefused() override { ++refused; }
    std::atomic<int> open{0}, refused{0};
  };
  Counts counts;
  options_.max_connections = 2;
  options_.reporter = &counts;
  Start();
  RawClient a(server_->address()), b(server_->address());
  EXPECT_EQ(a.Get("/hello").status, 200);
  EXPECT_EQ(b.Get("/hello").status, 200);
  RawClient c(server_->address());
  EXPECT_TRUE(c.WaitForClose());
  EXPECT_EQ(a.Get("/hello").status, 200);
  EXPECT_EQ(counts.refused, 1);
  EXPECT_EQ(counts.open, 2);
  server_ = nullptr;
  EXPECT_EQ(counts.open, 0);
}

// Would break if a handler could not answer later, or one that forgets to answer hung its client.
TEST_F(HttpServerTest, AnswersLaterOrNotAtAll) {
  Start();
  RawClient client(server_->address());
  client.Send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
  HttpReply reply = pending_.get_future().get();
  HttpResponse late;
  late.body = "late";
  reply(late);
  EXPECT_EQ(client.Receive().body, "late");
  EXPECT_EQ(client.Get("/dropped").status, 503);
}

// Would break if a stop waited for idle connections, cut a response in two, or left the port open.
TEST_F(HttpServerTest, StopsInOrder) {
  Start();
  RawClient idle(server_->address()), busy(server_->address());
  EXPECT_EQ(idle.Get("/hello").status, 200);
  busy.Send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
  HttpReply reply = pending_.get_future().get();
  const absl::Time began = absl::Now();
  std::thread stopping([this] { server_->Stop(); });
  EXPECT_TRUE(idle.WaitForClose());
  // Once the port is closed, too, nothing else is left to run, and the threads would end were they allowed to.
  const absl::Time end = began + absl::Seconds(30);
  while (RawClient(server_->address()).Send("x") && absl::Now() < end) std::this_thread::yield();
  HttpResponse late;
  late.body = "late";
  reply(late);
  const auto response = busy.Receive();
  EXPECT_EQ(response.body, "late");
  EXPECT_THAT(response.head, HasSubstr("Connection: close\r\n"));
  stopping.join();
  EXPECT_LT(absl::Now() - began, absl::Seconds(20));
  RawClient refused(server_->address());
  EXPECT_FALSE(refused.Send("x"));
}

// Would break if a handler that does not answer made the process hang when it stops.
TEST_F(HttpServerTest, StopDoesNotWaitForHandlers) {
  Start();
  RawClient client(server_->address());
  client.Send("GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
  HttpReply reply = pending_.get_future().get();
  server_->Stop();
  EXPECT_TRUE(client.WaitForClose());
  reply = nullptr;
}

// Would break if many clients at once could confuse it.
TEST_F(HttpServerTest, ManyClients) {
  Start();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this, t] {
      RawClient client(server_->address());
      for (int i = 0; i < 50; ++i) {
        const std::string query = std::to_string(t) + "." + std::to_string(i);
        ASSERT_EQ(client.Get("/hello?" + query).body, "hello " + query);
      }
    });
  }
  for (auto& t : threads) t.join();
}

// Would break if a port in use were reported unclearly or shared.
TEST_F(HttpServerTest, SaysThatThePortIsTaken) {
  Start();
  HttpServerOptions second;
  second.listen = server_->address();
  auto other = HttpServer::Start(second, &router_);
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.status().message(),
            "cannot listen for HTTP on " + server_->address() + ": Address already in use (--http_listen)");
}

}  // namespace
}  // namespace meshgate::server
