// The loop where servers fail: they cut their answers, vanish, or say nothing.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "consul/http/curl_loop.h"
#include "tests/consul/http/curl_loop_fixture.h"
#include "tests/testing/pending.h"
#include "tests/testing/scripted_agent.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::consul::http {
namespace {

// A body that was cut would be taken for the whole.
TEST(CurlLoopFailureTest, CutAnswersAreBroken) {
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
TEST(CurlLoopFailureTest, ClosedWithoutAnAnswer) {
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
TEST(CurlLoopFailureTest, AWriteIsNeverSentTwice) {
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
TEST(CurlLoopFailureTest, AReadIsSentAgain) {
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
TEST(CurlLoopFailureTest, VanishedPeersAreFoundOut) {
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
TEST(CurlLoopFailureTest, NotHttp) {
  TinyHttpServer server(Always("SSH-2.0-OpenSSH_9.2\r\n"));
  CurlLoop loop(OptionsFor(server));
  EXPECT_EQ(Fetch(loop, Get("/a")).end, End::kNotHttp);
}

// One answer could take all memory.
TEST(CurlLoopFailureTest, LargeAnswersAreCutOff) {
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

// A server that never answers, or that sends a byte now and then, would hold a call for ever.
TEST(CurlLoopFailureTest, TimeoutsHoldForSilenceAndForDrips) {
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
TEST(CurlLoopFailureTest, RefusedConnection) {
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
TEST(CurlLoopFailureTest, StreamedAnswersMayBeSilent) {
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
