// Requests about whose end a proxy in front and this server could have two opinions: what one takes for a body would be
// another caller's request for the other (RFC 9112, 11.2).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "server/http/http_server.h"
#include "tests/server/http/raw_client.h"

namespace meshgate::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::RawClient;

class SmugglingTest : public ::testing::Test {
 protected:
  SmugglingTest() {
    options_.listen = "127.0.0.1:0";
    options_.max_body_bytes = 4096;
    options_.max_held_bytes = 6000;
    router_.Add("PUT", "/echo", [](const HttpRequest& request, HttpReply reply) {
      HttpResponse response;
      response.body = "<" + request.body + ">";
      reply(std::move(response));
    });
    router_.Add("PUT", "/headers", [](const HttpRequest& request, HttpReply reply) {
      HttpResponse response;
      for (const auto& [name, value] : request.headers) response.body += name + "=" + value + ";";
      reply(std::move(response));
    });
    router_.Add("PUT", "/later", [this](const HttpRequest&, HttpReply reply) { later_.set_value(std::move(reply)); });
    router_.Add("GET", "/smuggled", [this](const HttpRequest&, HttpReply reply) {
      ++smuggled_;
      reply({});
    });
    const auto large = [](const HttpRequest&, HttpReply reply) {
      HttpResponse response;
      response.body.assign(9000, 'x');
      response.headers = {{"X-Request-Id", "r"}, {"ETag", "\"1\""}};
      reply(std::move(response));
    };
    router_.Add("GET", "/api/large", large);
    router_.Add("PUT", "/api/large", large);
    router_.Add("GET", "/large", large);
    auto server = HttpServer::Start(options_, &router_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  HttpServerOptions options_;
  Router router_;
  std::promise<HttpReply> later_;
  std::atomic<int> smuggled_{0};
  std::unique_ptr<HttpServer> server_;
};

// Would break if a second request could be hidden in the body of a first one, or the connection went on after a request
// whose end is in doubt.
TEST_F(SmugglingTest, RefusesAmbiguousLengths) {
  const std::string hidden = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
  const std::string head = "PUT /echo HTTP/1.1\r\nHost: h\r\n";
  const std::string cases[] = {
      head + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      head + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
      head + "Content-Length: 0\r\nContent-Length: 34\r\n\r\n",
      head + "Content-Length: 34\r\nContent-Length: 0\r\n\r\n",
      head + "Content-Length: 0, 34\r\n\r\n",
      head + "Content-Length: -1\r\n\r\n",
      head + "Content-Length: +0\r\n\r\n",
      head + "Content-Length: 0x0\r\n\r\n",
      head + "Content-Length : 0\r\n\r\n",
      head + " Content-Length: 34\r\n\r\n",
      head + "X: a\r\n Content-Length: 34\r\n\r\n",
      head + "X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n",
      head + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
      head + "Transfer-Encoding: identity\r\n\r\n",
      head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      head + "Transfer-Encoding: chunked, identity\r\n\r\n",
      head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
      head +
          "Transfer-Encoding: \x0b"
          "chunked\r\n\r\n0\r\n\r\n",
      head + "Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
      head + "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
      head + "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
      head + "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nx\r\n",
      head + "Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
      head + "Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
      "PUT /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "PUT /echo HTTP/1.1\nHost: h\n\n",
  };
  for (const std::string& request : cases) {
    RawClient client(server_->address());
    client.Send(request + hidden);
    const auto response = client.Receive();
    EXPECT_THAT(response.status, ::testing::AnyOf(400, 413, 501)) << request;
    EXPECT_THAT(response.body, HasSubstr("MALFORMED_HTTP")) << request;
    EXPECT_TRUE(client.WaitForClose()) << request;
  }
  EXPECT_EQ(smuggled_, 0);
}

// Would break if what comes behind a body, which no proxy has looked at, could bring a token or a condition, or say
// what the body is or how the connection goes on.
TEST_F(SmugglingTest, TrailersAreNoHeaders) {
  RawClient client(server_->address());
  client.Send(
      "PUT /headers HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
      "X-Consul-Token: t\r\nIf-Match: \"1\"\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.Receive().body, "host=h;transfer-encoding=chunked;");
  EXPECT_EQ(client.Get("/nope").status, 404) << "the connection goes on";
}

// Would break if requests sent at once were answered out of order, or a body ran into the next request.
TEST_F(SmugglingTest, PipelinedRequestsStayApart) {
  RawClient client(server_->address());
  client.Send(
      "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
      "PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nd\r\n2;x=y\r\nef\r\n0\r\n\r\n"
      "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
      "GET /nope HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.Receive().body, "<abc>");
  EXPECT_EQ(client.Receive().body, "<def>");
  EXPECT_EQ(client.Receive().body, "<>");
  EXPECT_EQ(client.Receive().status, 404);
}

// Would break if many large requests at once could take any amount of memory, or what they took were not given back.
TEST_F(SmugglingTest, BoundsBodiesInProgress) {
  const std::string large = "PUT /later HTTP/1.1\r\nHost: h\r\nContent-Length: 4000\r\n\r\n" + std::string(4000, 'x');
  RawClient first(server_->address()), second(server_->address());
  first.Send(large);
  HttpReply reply = later_.get_future().get();
  second.Send(large);
  const auto refused = second.Receive();
  EXPECT_EQ(refused.status, 429);
  EXPECT_THAT(refused.head, HasSubstr("Retry-After: 1\r\n"));
  EXPECT_THAT(refused.body, HasSubstr("TOO_MUCH_AT_ONCE"));
  // In chunks a body counts as it comes, and no more than it has.
  const auto chunked = [](size_t bytes) {
    std::string request = "PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (size_t i = 0; i < bytes / 10; ++i) request += "a\r\n0123456789\r\n";
    return request + "0\r\n\r\n";
  };
  RawClient small(server_->address()), more(server_->address());
  small.Send(chunked(1000));
  EXPECT_EQ(small.Receive().status, 200);
  more.Send(chunked(3000));
  EXPECT_EQ(more.Receive().status, 429);
  reply({});
  EXPECT_EQ(first.Receive().status, 200);
  RawClient third(server_->address());
  third.Send("PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4000\r\n\r\n" + std::string(4000, 'x'));
  EXPECT_EQ(third.Receive().status, 200);
}

// Would break if peers that announce bodies and send none kept others from being served.
TEST_F(SmugglingTest, WhatIsAnnouncedCountsForNothing) {
  std::vector<std::unique_ptr<RawClient>> silent;
  for (int i = 0; i < 8; ++i) {
    silent.push_back(std::make_unique<RawClient>(server_->address()));
    silent.back()->Send("PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4000\r\nExpect: 100-continue\r\n\r\n");
    // It has been looked at.
    EXPECT_THAT(silent.back()->ReceiveUntil("\r\n\r\n"), HasSubstr("100 Continue"));
  }
  RawClient other(server_->address());
  other.Send("PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4000\r\n\r\n" + std::string(4000, 'x'));
  EXPECT_EQ(other.Receive().status, 200);
}

// Would break if a write that was done were answered as one that was not, or answers could take any amount of memory.
TEST_F(SmugglingTest, AnswersAreRefusedWhereNothingWasDone) {
  RawClient client(server_->address());
  EXPECT_EQ(client.Get("/api/large").status, 429);
  EXPECT_EQ(client.Get("/large").status, 200);
  client.Send("PUT /api/large HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
  EXPECT_EQ(client.Receive().status, 200);
  // All of it was given back.
  EXPECT_EQ(client.Get("/api/large").status, 429);
  const auto refused = client.Get("/api/large");
  EXPECT_THAT(refused.head, HasSubstr("X-Request-Id: r\r\n"));
  EXPECT_THAT(refused.head, Not(HasSubstr("ETag")));
  EXPECT_THAT(refused.head, HasSubstr("Retry-After: 1\r\n"));
}

}  // namespace
}  // namespace meshgate::server
