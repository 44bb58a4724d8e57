// The loop against a server that does what a real agent can't be made to do. What a real agent does is in
// tests/integration.
#include "consul/http/curl_loop.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/testing/pending.h"
#include "tests/testing/scripted_agent.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::consul::http {
namespace {

using testing::Pending;
using testing::TinyHttpServer;
using Connection = testing::TinyHttpServer::Connection;
using End = Response::End;

constexpr absl::Duration kBound = absl::Seconds(30);

CurlLoopOptions OptionsFor(const TinyHttpServer& server) {
  CurlLoopOptions options;
  options.base_url = absl::StrCat("http://127.0.0.1:", server.port());
  return options;
}

Request Get(const std::string& target, absl::Duration timeout = kBound) {
  Request request;
  request.target = target;
  request.timeout = timeout;
  return request;
}

Request Put(const std::string& target, const std::string& body) {
  Request request = Get(target);
  request.method = Method::kPut;
  request.body = body;
  return request;
}

Response Fetch(CurlLoop& loop, Request request) {
  Pending<Response> pending;
  loop.Start(std::move(request), pending.Callback());
  std::optional<Response> response = pending.Get(kBound);
  EXPECT_TRUE(response.has_value()) << "no answer";
  return response.value_or(Response{});
}

// A server whose every connection answers each request with the same bytes.
TinyHttpServer::Script Always(const std::string& bytes) {
  return [bytes](Connection& connection) {
    while (!connection.ReadRequest().empty()) {
      if (!connection.Write(bytes)) return;
    }
  };
}

std::string Ok(const std::string& body) {
  return absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
}

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

// A body that was cut would be taken for the whole.
TEST(CurlLoopTest, CutAnswersAreBroken) {
  for (const char* bytes : {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{\"Key\"", "HTTP/1.1 200 OK\r\nContent-Le",
                            "HTTP/1.1 404 Not Found\r\nX-Consul-Index: 17\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"}) {
    TinyHttpServer server([bytes](Connection& connection) {
      connection.ReadRequest();
      connection.Write(bytes);
    });
    CurlLoop loop(OptionsFor(server));
    const Response response = Fetch(loop, Get("/a"));
    EXPECT_EQ(response.end, End::kBroken) << bytes;
    EXPECT_TRUE(response.sent);
    EXPECT_TRUE(response.received);
    EXPECT_FALSE(response.closed_unanswered);
    EXPECT_EQ(response.body, "");
  }
}

// The way Consul's limit of connections shows would be lost.
TEST(CurlLoopTest, ClosedWithoutAnAnswer) {
  for (const bool reset : {false, true}) {
    TinyHttpServer server([reset](Connection& connection) {
      connection.ReadRequest();
      if (reset) connection.ResetOnClose();
    });
    CurlLoop loop(OptionsFor(server));
    const Response response = Fetch(loop, Get("/a"));
    EXPECT_EQ(response.end, End::kBroken);
    EXPECT_TRUE(response.sent);
    EXPECT_FALSE(response.received);
    EXPECT_TRUE(response.fresh_connection);
    EXPECT_TRUE(response.closed_unanswered);
    EXPECT_NE(response.error, "");
  }
}

// A write that was applied before its connection broke would be applied twice, over whatever came in between.
TEST(CurlLoopTest, AWriteIsNeverSentTwice) {
  Request remove = Get("/a");
  remove.method = Method::kDelete;
  for (const Request& write : {Put("/a", "value"), Put("/a", ""), remove}) {
    std::atomic<int> writes{0};
    TinyHttpServer server([&writes](Connection& connection) {
      while (true) {
        const std::string request = connection.ReadRequest();
        if (request.empty()) return;
        if (!absl::StartsWith(request, "GET")) {
          ++writes;
          return;  // Read, perhaps applied, and not answered.
        }
        connection.Write(Ok("x"));
      }
    });
    CurlLoop loop(OptionsFor(server));
    // The connection is kept, so that the write takes one that has worked before: such a request libcurl would send
    // again.
    EXPECT_EQ(Fetch(loop, Get("/a")).body, "x");
    const Response response = Fetch(loop, write);
    EXPECT_EQ(response.end, End::kBroken);
    EXPECT_TRUE(response.sent);
    EXPECT_NE(response.error, "");
    EXPECT_EQ(writes, 1);
  }
}

// A read over a kept connection that the server has closed meanwhile would fail for nothing.
TEST(CurlLoopTest, AReadIsSentAgain) {
  std::atomic<int> reads{0};
  TinyHttpServer server([&reads](Connection& connection) {
    while (!connection.ReadRequest().empty()) {
      if (++reads == 2) return;
      connection.Write(Ok("x"));
    }
  });
  CurlLoop loop(OptionsFor(server));
  EXPECT_EQ(Fetch(loop, Get("/a")).body, "x");
  EXPECT_EQ(Fetch(loop, Get("/a")).body, "x");
  EXPECT_EQ(reads, 3);
}

// A shared connection to a peer that has vanished would take every call with it until TCP gives up.
TEST(CurlLoopTest, VanishedPeersAreFoundOut) {
  TinyHttpServer server(Always(Ok("x")));
  CurlLoop loop(OptionsFor(server));
  ASSERT_EQ(Fetch(loop, Get("/a")).body, "x");
  const auto get = [](int fd, int level, int option) {
    int value = -1;
    socklen_t size = sizeof(value);
    return getsockopt(fd, level, option, &value, &size) == 0 ? value : -1;
  };
  int found = 0;
  for (int fd = 0; fd < 1024; ++fd) {
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0 || ntohs(peer.sin_port) != server.port()) {
      continue;
    }
    ++found;
    EXPECT_EQ(get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 20'000);
    EXPECT_EQ(get(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_LE(get(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
  }
  EXPECT_EQ(found, 1) << "the loop's connection";
}

// Something that is not HTTP would hang the call or read as an answer.
TEST(CurlLoopTest, NotHttp) {
  TinyHttpServer server(Always("SSH-2.0-OpenSSH_9.2\r\n"));
  CurlLoop loop(OptionsFor(server));
  EXPECT_EQ(Fetch(loop, Get("/a")).end, End::kNotHttp);
}

// One answer could take all memory.
TEST(CurlLoopTest, LargeAnswersAreCutOff) {
  TinyHttpServer server(Always(Ok(std::string(100'001, 'x'))));
  CurlLoopOptions options = OptionsFor(server);
  options.max_body_bytes = 100'000;
  CurlLoop loop(options);
  const Response response = Fetch(loop, Get("/a"));
  EXPECT_EQ(response.end, End::kTooLarge);
  EXPECT_EQ(response.body, "");
  options.max_body_bytes = 100'001;
  CurlLoop larger(options);
  EXPECT_EQ(Fetch(larger, Get("/a")).body.size(), 100'001u);
  // A request can ask for less than the loop allows, and not for more.
  Request small = Get("/a");
  small.max_body_bytes = 50'000;
  EXPECT_EQ(Fetch(larger, small).end, End::kTooLarge);
  Request large = Get("/a");
  large.max_body_bytes = 200'000;
  EXPECT_EQ(Fetch(loop, large).end, End::kTooLarge);
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

// A server that never answers, or that sends a byte now and then, would hold a call for ever.
TEST(CurlLoopTest, TimeoutsHoldForSilenceAndForDrips) {
  TinyHttpServer silent([](Connection& connection) {
    connection.ReadRequest();
    connection.AwaitClose();
  });
  CurlLoop loop(OptionsFor(silent));
  const Response response = Fetch(loop, Get("/a", absl::Milliseconds(100)));
  EXPECT_EQ(response.end, End::kTimedOut);
  EXPECT_TRUE(response.sent);
  EXPECT_FALSE(response.received);
  EXPECT_GE(response.took, absl::Milliseconds(100));

  TinyHttpServer dripping([](Connection& connection) {
    connection.ReadRequest();
    // As fast as it is taken, and without end.
    if (!connection.Write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")) return;
    while (connection.Write("1\r\nx\r\n")) {
    }
  });
  CurlLoop second(OptionsFor(dripping));
  const Response drip = Fetch(second, Get("/a", absl::Milliseconds(200)));
  EXPECT_EQ(drip.end, End::kTimedOut);
  EXPECT_TRUE(drip.received);
}

// Nobody listens: the caller must hear that nothing was sent.
TEST(CurlLoopTest, RefusedConnection) {
  CurlLoopOptions options;
  {
    TinyHttpServer gone;
    options = OptionsFor(gone);
  }
  CurlLoop loop(options);
  const Response response = Fetch(loop, Put("/a", "value"));
  EXPECT_EQ(response.end, End::kBroken);
  EXPECT_FALSE(response.sent);
  EXPECT_FALSE(response.closed_unanswered);
  EXPECT_NE(response.error, "");
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

// Takes an answer, or nothing of it.
class TestReceiver final : public Receiver {
 public:
  explicit TestReceiver(bool takes) : takes_(takes) {}
  void OnHead(int, HeaderList) override {}
  bool OnBody(std::string_view bytes) override {
    body_(std::string(bytes));
    return takes_;
  }
  Pending<std::string> body;

 private:
  const bool takes_;
  absl::AnyInvocable<void(std::string)> body_ = body.Callback();
};

// A log that is quiet for a while, or a reader that pauses, would be taken for an agent that is away; and an answer
// that stops within its headers never for that.
TEST(CurlLoopTest, StreamedAnswersMayBeSilent) {
  testing::ScriptedAgent agent([](const std::string& request) -> testing::ScriptedAgent::Reply {
    if (request == "GET /v1/status/leader") return testing::ScriptedAgent::Leader();
    const bool whole_head = request != "GET /cut";
    return {absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n", whole_head ? "\r\nabc" : ""),
            testing::ScriptedAgent::Reply::Then::kHold};
  });
  CurlLoopOptions options;
  options.base_url = agent.url();
  options.stall_timeout = absl::Milliseconds(50);
  CurlLoop loop(options);
  Request streamed = Get("/log", absl::InfiniteDuration());
  streamed.pool = Pool::kStreamed;
  const auto silent = std::make_shared<TestReceiver>(true);
  const auto paused = std::make_shared<TestReceiver>(false);
  Pending<Response> ends[2];
  streamed.receiver = silent;
  const CurlLoop::TransferHandle first = loop.Start(streamed, ends[0].Callback());
  streamed.receiver = paused;
  loop.Start(streamed, ends[1].Callback());
  ASSERT_EQ(silent->body.Get(kBound), "abc");
  ASSERT_EQ(paused->body.Get(kBound), "abc");
  // Others stall all that time, one after the other.
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Fetch(loop, Get("/a")).error, "an answer began and did not go on");
  streamed.target = "/cut";
  EXPECT_EQ(Fetch(loop, streamed).error, "an answer began and did not go on");
  EXPECT_FALSE(ends[0].ready());
  EXPECT_FALSE(ends[1].ready());
  loop.Cancel(first);
  EXPECT_EQ(ends[0].Get(kBound)->end, End::kCancelled);
  loop.Stop();
  EXPECT_EQ(ends[1].Get(kBound)->end, End::kCancelled);
}

}  // namespace
}  // namespace meshgate::consul::http
