// HTTP over TLS: what is particular to this listener; tests/integration/tls_test.cc has what both share.
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "consul/base/thread_pool_scheduler.h"
#include "server/http/exchange.h"
#include "server/http/http_server.h"
#include "server/http/router.h"
#include "tests/server/tls/test_endpoint.h"
#include "tests/testing/tls_client.h"

namespace meshgate::server {
namespace {

using metrics::HandshakeFailure;
using testing::TestEndpoint;
using testing::TlsClient;

class TlsHttpTest : public ::testing::Test {
 protected:
  TlsHttpTest() {
    test_.options().context.listener = "http";
    test_.options().context.protocol = "http/1.1";
    router_.Add("GET", "/who", [](const HttpRequest& request, auto reply) {
      reply({200, "text/plain", "<" + request.tls_identity + ">", {}});
    });
    router_.Add("GET", "/stream", [this](const HttpRequest& request, auto reply) {
      const auto exchange = std::make_shared<OnePiece>(&closed_);
      request.connection->Attach(exchange);
      HttpResponse response;
      response.streamed = true;
      reply(std::move(response));
    });
    router_.Add("GET", "/wait", [this](const HttpRequest& request, auto reply) {
      request.connection->Attach(std::make_shared<OnePiece>(&closed_));
      held_.set_value(std::move(reply));
    });
    router_.Add("GET", "/large", [](const HttpRequest&, auto reply) {
      reply({200, "text/plain", std::string(1 << 20, 'x'), {}});
    });
  }
  void Start() {
    options_.listen = "127.0.0.1:0";
    options_.tls = test_.Open();
    auto server = HttpServer::Start(options_, &router_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  std::unique_ptr<TlsClient> Connect(const TlsClient::Options& options = {}) {
    return std::make_unique<TlsClient>(server_->address(), options);
  }
  // All that comes for a request that ends the connection.
  static std::string Get(TlsClient* client, const std::string& path) {
    client->Write("GET " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    std::string all;
    for (std::string some; !(some = client->Read()).empty();) all += some;
    return all;
  }
  int Failures(HandshakeFailure failure) { return test_.notes().failures(failure); }

  // A stream of one piece, which says how it ended.
  class OnePiece final : public HttpExchange {
   public:
    explicit OnePiece(std::promise<Why>* closed) : closed_(closed) {}
    Piece Next() override { return {std::make_shared<const std::string>("piece"), /*last=*/true}; }
    void OnTimer() override {}
    void OnClosed(Why why) override { closed_->set_value(why); }

   private:
    std::promise<Why>* const closed_;
  };

  std::promise<HttpExchange::Why> closed_;
  std::promise<HttpReply> held_;
  ThreadPoolScheduler scheduler_{1, "test"};
  TestEndpoint test_{&scheduler_, 20};
  Router router_;
  HttpServerOptions options_;
  std::unique_ptr<HttpServer> server_;
};

// Would break if a handler did not know whose request it is, or a body were cut at the end of a record.
TEST_F(TlsHttpTest, ServesRequestsOfWhomItKnows) {
  test_.options().context.files.client_ca_file = test_.authority().ca_file();
  Start();
  testing::CertificateAuthority::Wanted wanted;
  wanted.alternative_names = "URI:spiffe://example/prometheus";
  const auto files = test_.authority().Sign("prometheus", wanted);
  TlsClient::Options options;
  options.cert_file = files.cert_file;
  options.key_file = files.key_file;
  auto client = Connect(options);
  ASSERT_TRUE(client->Handshake()) << client->error();
  EXPECT_TRUE(absl::EndsWith(Get(client.get(), "/who"), "\r\n\r\n<spiffe://example/prometheus>"));
  auto again = Connect(options);
  ASSERT_TRUE(again->Handshake()) << again->error();
  EXPECT_TRUE(absl::EndsWith(Get(again.get(), "/large"), "\r\n\r\n" + std::string(1 << 20, 'x')));
}

// Would break if who never finishes a handshake kept a connection and its place.
TEST_F(TlsHttpTest, SlowHandshakesAreClosed) {
  test_.options().handshake_timeout = absl::Seconds(1);
  Start();
  auto established = Connect();
  ASSERT_TRUE(established->Handshake());
  std::vector<std::unique_ptr<TlsClient>> slow;
  for (int i = 0; i < 9; ++i) slow.push_back(Connect());
  for (int i = 3; i < 6; ++i) ASSERT_TRUE(slow[i]->WriteRaw("\x16\x03\x01\x02"));
  for (int i = 6; i < 9; ++i) ASSERT_TRUE(slow[i]->SendHello());
  for (const auto& client : slow) EXPECT_TRUE(client->WaitForClose());
  EXPECT_TRUE(TestEndpoint::Eventually(
      [&] { return test_.budget().taken() == 0 && Failures(HandshakeFailure::kTimeout) == 9; }));
  EXPECT_TRUE(absl::EndsWith(Get(established.get(), "/who"), "\r\n\r\n<>"));
}

// Would break if there were no end to handshakes that strangers begin, or a place were not given back.
TEST_F(TlsHttpTest, RefusesMoreHandshakesThanMayBe) {
  Start();
  std::vector<std::unique_ptr<TlsClient>> slow;
  for (int i = 0; i < 20; ++i) slow.push_back(Connect());
  EXPECT_TRUE(Connect()->WaitForClose());
  EXPECT_EQ(Failures(HandshakeFailure::kTooMany), 1);
  ASSERT_TRUE(slow[0]->Handshake());
  slow.pop_back();
  EXPECT_TRUE(TestEndpoint::Eventually([&] { return test_.budget().taken() == 18; }));
}

// Would break if a stream that has ended kept its connection: in TLS the wait for its peer is a read, and so is the
// goodbye.
TEST_F(TlsHttpTest, AnEndedStreamClosesTheConnection) {
  Start();
  auto client = Connect();
  ASSERT_TRUE(client->Handshake()) << client->error();
  const std::string all = Get(client.get(), "/stream");
  EXPECT_TRUE(absl::EndsWith(all, "5\r\npiece\r\n0\r\n\r\n")) << all;
  EXPECT_EQ(closed_.get_future().get(), HttpExchange::Why::kDone);
  // Though this client does not say goodbye.
  EXPECT_TRUE(client->WaitForClose());
}

// Would break if what a stream or a poll costs were kept for a reader that has gone.
TEST_F(TlsHttpTest, NoticesThatThePeerHasGone) {
  Start();
  auto client = Connect();
  ASSERT_TRUE(client->Handshake()) << client->error();
  client->Write("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  HttpReply reply = held_.get_future().get();
  client.reset();
  EXPECT_EQ(closed_.get_future().get(), HttpExchange::Why::kGone);
}

// Would break if a stop waited for handshakes, or for clients that do not say that they are done.
TEST_F(TlsHttpTest, AStopEndsThem) {
  Start();
  auto established = Connect(), silent = Connect();
  ASSERT_TRUE(established->Handshake());
  server_->Stop();
  EXPECT_TRUE(established->WaitForClose());
  EXPECT_TRUE(silent->WaitForClose());
}

}  // namespace
}  // namespace meshgate::server
