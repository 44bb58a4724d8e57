// The loop against a server that does what a real agent can't be made to do. What a real agent does is in
// tests/integration.
#include "consul/http/curl_loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/consul/http/curl_loop_fixture.h"
#include "tests/testing/pending.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::consul::http {
namespace {

// The answer's parts would not reach who judges it.
TEST(CurlLoopTest, AnswerWithHeadersAndBody) {
  TinyHttpServer server(
      Always("HTTP/1.1 404 Not Found\r\nx-consul-index:  17 \r\nX-Consul-KnownLeader: false\r\n"
             "X-CONSUL-LASTCONTACT: 250\r\nContent-Length: 4\r\n\r\nbody"));
  CurlLoop loop(OptionsFor(server));
  const Response response = Fetch(loop, Get("/v1/kv/a"));
  EXPECT_EQ(response.end, End::kAnswered);
  EXPECT_EQ(response.code, 404);
  EXPECT_EQ(response.headers.consul_index, "17");
  EXPECT_EQ(response.headers.consul_known_leader, "false");
  EXPECT_EQ(response.headers.consul_last_contact, "250");
  EXPECT_EQ(response.body, "body");
  EXPECT_TRUE(response.sent);
  EXPECT_TRUE(response.received);
}

// A path that is normalised on the way would read or write another key, a chunked body would pass Consul's size check,
// and a token in a URL would end up in logs.
TEST(CurlLoopTest, RequestsAreSentAsTheyAre) {
  TinyHttpServer server;
  CurlLoopOptions options = OptionsFor(server);
  options.token = "s3cret";
  CurlLoop loop(options);
  Fetch(loop, Get("/v1/kv/../agent/./self%2F?x=%20"));
  EXPECT_TRUE(absl::StartsWith(server.last_request(), "GET /v1/kv/../agent/./self%2F?x=%20 HTTP/1.1\r\n"));
  EXPECT_TRUE(absl::StrContains(server.last_request(), "\r\nX-Consul-Token: s3cret\r\n"));

  const std::string large(2 << 20, 'x');
  Fetch(loop, Put("/v1/kv/a", large));
  const std::string request = server.last_request();
  const std::string head = request.substr(0, request.find("\r\n\r\n"));
  EXPECT_TRUE(absl::StartsWith(head, "PUT /v1/kv/a HTTP/1.1\r\n"));
  EXPECT_TRUE(absl::StrContains(head, absl::StrCat("\r\nContent-Length: ", large.size()))) << head;
  EXPECT_FALSE(absl::StrContains(head, "Transfer-Encoding")) << head;
  EXPECT_FALSE(absl::StrContains(head, "Expect")) << head;
  EXPECT_EQ(request.size(), head.size() + 4 + large.size());

  Fetch(loop, Put("/v1/agent/service/deregister/a", ""));
  EXPECT_TRUE(absl::StrContains(server.last_request(), "\r\nContent-Length: 0\r\n"));
  Request remove = Get("/v1/kv/a");
  remove.method = Method::kDelete;
  Fetch(loop, remove);
  EXPECT_TRUE(absl::StartsWith(server.last_request(), "DELETE /v1/kv/a HTTP/1.1\r\n"));
}

// A redirected PUT would write the wrong key.
TEST(CurlLoopTest, RedirectsAreNotFollowed) {
  TinyHttpServer server(Always("HTTP/1.1 301 Moved\r\nLocation: /v1/kv/b\r\nContent-Length: 0\r\n\r\n"));
  CurlLoop loop(OptionsFor(server));
  EXPECT_EQ(Fetch(loop, Get("/v1/kv//b")).code, 301);
  EXPECT_EQ(server.connections(), 1);
}

// Each poll would cost a handshake, and a slot of Consul's limit.
TEST(CurlLoopTest, ConnectionsAreKept) {
  TinyHttpServer server(Always(Ok("x")));
  std::atomic<int> open{-1};
  CurlLoopOptions options = OptionsFor(server);
  options.on_connections = [&open](int now) { open = now; };
  CurlLoop loop(options);
  EXPECT_TRUE(Fetch(loop, Get("/a")).fresh_connection);
  for (int i = 0; i < 20; ++i) {
    const Response response = Fetch(loop, Get("/a"));
    EXPECT_EQ(response.body, "x");
    EXPECT_FALSE(response.fresh_connection);
  }
  EXPECT_EQ(server.connections(), 1);
  EXPECT_EQ(open, 1);
  loop.Stop();
  EXPECT_EQ(open, 0) << "what is open must be told to the end";
}

// Who plans by it would ask for more than there are connections, or leave most of HTTP/2 unused.
TEST(CurlLoopTest, SaysHowManyRunAtATime) {
  CurlLoopOptions options;
  options.base_url = "http://127.0.0.1:1";
  options.unary_connections = 3;
  options.watch_connections = 5;
  CurlLoop plain(options);
  EXPECT_EQ(plain.limit(Pool::kUnary), 3);
  EXPECT_EQ(plain.limit(Pool::kWatch), 5);
  options.base_url = "https://127.0.0.1:1";
  CurlLoop tls(options);
  EXPECT_EQ(tls.limit(Pool::kWatch), 5 * 250);
}

// Watches would starve Register(): with all of their connections taken, other calls must still go through; and what
// queues must start when a connection is free, and time out in the queue when none is.
TEST(CurlLoopTest, PoolsDoNotStarveEachOther) {
  TinyHttpServer waiting([](Connection& connection) {
    connection.ReadRequest();
    connection.AwaitClose();
  });
  CurlLoopOptions options = OptionsFor(waiting);
  options.watch_connections = 1;
  options.unary_connections = 1;
  CurlLoop loop(options);
  Request watch = Get("/watch");
  watch.pool = Pool::kWatch;
  Pending<Response> first;
  CurlLoop::TransferHandle running = loop.Start(watch, first.Callback());
  Request impatient = watch;
  impatient.timeout = absl::Milliseconds(50);
  const Response queued = Fetch(loop, impatient);
  EXPECT_EQ(queued.end, End::kTimedOut);
  EXPECT_FALSE(queued.sent) << "one connection is for one watch";
  // The server serves one connection at a time, so this request is on its way but not answered.
  const Response unary = Fetch(loop, Get("/unary", absl::Milliseconds(200)));
  EXPECT_EQ(unary.end, End::kTimedOut);
  EXPECT_TRUE(unary.sent) << "the other pool has a connection of its own";
  EXPECT_FALSE(first.ready());

  Pending<Response> next;
  loop.Start(watch, next.Callback());
  loop.Cancel(running);
  ASSERT_TRUE(first.Wait(kBound));
  EXPECT_EQ(first.Get(kBound)->end, End::kCancelled);
  loop.Stop();
  EXPECT_EQ(next.Get(kBound)->end, End::kCancelled);
  EXPECT_EQ(first.calls(), 1);
  EXPECT_EQ(next.calls(), 1);
}

// A cancelled call must answer once, wherever it was: before the loop saw it, in the queue, running, or ended.
TEST(CurlLoopTest, CancelAnywhere) {
  TinyHttpServer server([](Connection& connection) {
    connection.ReadRequest();
    connection.AwaitClose();
  });
  CurlLoopOptions options = OptionsFor(server);
  options.unary_connections = 1;
  CurlLoop loop(options);
  std::vector<Pending<Response>> pending(20);
  std::vector<CurlLoop::TransferHandle> transfers;
  for (auto& p : pending) transfers.push_back(loop.Start(Get("/a"), p.Callback()));
  for (auto it = transfers.rbegin(); it != transfers.rend(); ++it) {
    loop.Cancel(*it);
    loop.Cancel(*it);
  }
  for (auto& p : pending) {
    ASSERT_TRUE(p.Wait(kBound));
    EXPECT_EQ(p.Get(kBound)->end, End::kCancelled);
  }
  for (auto& transfer : transfers) loop.Cancel(transfer);
  loop.Stop();
  for (auto& transfer : transfers) loop.Cancel(transfer);
  for (auto& p : pending) EXPECT_EQ(p.calls(), 1);
  EXPECT_EQ(Fetch(loop, Get("/late")).end, End::kCancelled);
}

}  // namespace
}  // namespace meshgate::consul::http
