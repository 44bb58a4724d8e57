// Responses that take their time: what a connection promises to an exchange.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/clock.h"
#include "consul/base/mutex.h"
#include "server/http/exchange.h"
#include "server/http/http_server.h"
#include "tests/server/http/raw_client.h"

namespace meshgate::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::RawClient;
using Why = HttpExchange::Why;

constexpr char kGet[] = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";

// Does what the test says, on its connection's thread.
class ScriptedExchange final : public HttpExchange, public std::enable_shared_from_this<ScriptedExchange> {
 public:
  ScriptedExchange(HttpConnection* connection, HttpReply reply) : connection_(connection), reply_(std::move(reply)) {}

  // ---- The test's side.
  void Open() { Do(&ScriptedExchange::ReplyStreamed); }
  void Answer() { Do(&ScriptedExchange::ReplyAtOnce); }
  void Say(std::string text, bool last = false) {
    Do([piece = Piece{std::make_shared<const std::string>(std::move(text)), last}](ScriptedExchange* self) {
      self->pieces_.push_back(piece);
      if (self->connection_ != nullptr) self->connection_->Ready();
    });
  }
  void WakeAfter(absl::Duration delay) {
    Do([delay](ScriptedExchange* self) { self->connection_->WakeAfter(delay); });
  }
  // How it ended, within 30 s.
  std::optional<Why> WaitForEnd() {
    WaitFor([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return closed_.has_value(); });
    MutexLock lock(mu_);
    return closed_;
  }
  int WaitForTimer() {
    WaitFor([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return timers_ > 0; });
    MutexLock lock(mu_);
    return timers_;
  }

  // On the connection's thread: it has no place.
  void Refuse() {
    HttpResponse response;
    response.status = 429;
    reply_(std::move(response));
  }

  // ---- The connection's.
  Piece Next() override {
    if (pieces_.empty()) return {};
    Piece piece = std::move(pieces_.front());
    pieces_.pop_front();
    return piece;
  }
  void OnTimer() override {
    MutexLock lock(mu_);
    ++timers_;
    changed_.NotifyAll();
  }
  void OnClosed(Why why) override {
    connection_ = nullptr;
    reply_ = nullptr;
    MutexLock lock(mu_);
    EXPECT_FALSE(closed_.has_value()) << "told twice";
    closed_ = why;
    changed_.NotifyAll();
  }

 private:
  class Step final : public consul::Work {
   public:
    explicit Step(absl::AnyInvocable<void()> task) : task_(std::move(task)) {}
    bool Run() override {
      task_();
      return false;
    }

   private:
    absl::AnyInvocable<void()> task_;
  };

  template <typename Task>
  void Do(Task task) {
    thread_->Schedule(std::make_shared<Step>([self = shared_from_this(), task] { std::invoke(task, self.get()); }));
  }
  void ReplyStreamed() {
    HttpResponse response;
    response.content_type = "text/event-stream";
    response.streamed = true;
    reply_(std::move(response));
  }
  void ReplyAtOnce() {
    HttpResponse response;
    response.body = "at once";
    reply_(std::move(response));
  }
  template <typename Condition>
  void WaitFor(Condition condition) {
    MutexLock lock(mu_);
    const absl::Time until = absl::Now() + absl::Seconds(30);
    while (!condition() && absl::Now() < until) changed_.WaitUntil(mu_, until);
  }

  HttpConnection* connection_;
  consul::ReaderThread* const thread_ = connection_->thread();
  HttpReply reply_;
  std::deque<Piece> pieces_;
  Mutex mu_;
  CondVar changed_;
  std::optional<Why> closed_ ABSL_GUARDED_BY(mu_);
  int timers_ ABSL_GUARDED_BY(mu_) = 0;
};

class HttpExchangeTest : public ::testing::Test {
 protected:
  HttpExchangeTest() {
    options_.listen = "127.0.0.1:0";
    router_.Add("GET", "/x", [this](const HttpRequest& request, HttpReply reply) {
      auto exchange = std::make_shared<ScriptedExchange>(request.connection, std::move(reply));
      if (!request.connection->Attach(exchange)) return exchange->Refuse();
      begun_.set_value(exchange);
    });
    router_.Add("GET", "/plain", [](const HttpRequest&, HttpReply reply) {
      HttpResponse response;
      response.body = "plain";
      reply(std::move(response));
    });
  }
  void Start() {
    auto server = HttpServer::Start(options_, &router_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<RawClient>(server_->address());
  }
  std::shared_ptr<ScriptedExchange> Begin(const std::string& request = kGet) {
    client_->Send(request);
    return begun_.get_future().get();
  }

  HttpServerOptions options_;
  Router router_;
  std::promise<std::shared_ptr<ScriptedExchange>> begun_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<RawClient> client_;
};

// Would break if a piece were lost, came late, or was not framed as a client expects; or if the connection could not be
// used for what the client has sent behind.
TEST_F(HttpExchangeTest, StreamsPieceByPiece) {
  Start();
  auto exchange = Begin();
  exchange->Open();
  const auto head = client_->Receive(false);
  EXPECT_EQ(head.status, 200);
  EXPECT_THAT(head.head, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(head.head, HasSubstr("Content-Type: text/event-stream\r\n"));
  EXPECT_THAT(head.head, Not(HasSubstr("Content-Length")));
  exchange->Say("one");
  EXPECT_EQ(client_->ReceiveBytes(8), "3\r\none\r\n");
  client_->Send("GET /plain HTTP/1.1\r\nHost: h\r\n\r\n");
  exchange->Say(std::string(300, 'x'));
  EXPECT_EQ(client_->ReceiveBytes(307), "12c\r\n" + std::string(300, 'x') + "\r\n");
  exchange->Say("two", /*last=*/true);
  EXPECT_EQ(client_->ReceiveBytes(13), "3\r\ntwo\r\n0\r\n\r\n");
  EXPECT_EQ(client_->Receive().body, "plain");
  EXPECT_EQ(exchange->WaitForEnd(), Why::kDone);
}

// Would break if a client of HTTP/1.0, which knows no chunks, got their sizes among the data or waited for ever.
TEST_F(HttpExchangeTest, WithoutChunksForOldClients) {
  Start();
  auto exchange = Begin("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  exchange->Open();
  EXPECT_THAT(client_->Receive(false).head, Not(HasSubstr("Transfer-Encoding")));
  exchange->Say("one");
  exchange->Say("two", /*last=*/true);
  EXPECT_EQ(client_->ReceiveBytes(6), "onetwo");
  EXPECT_TRUE(client_->WaitForClose());
}

// Would break if HEAD opened a stream, or left the connection in the middle of one.
TEST_F(HttpExchangeTest, HeadEndsAtOnce) {
  Start();
  auto exchange = Begin("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
  exchange->Open();
  EXPECT_EQ(client_->Receive(false).status, 200);
  EXPECT_EQ(exchange->WaitForEnd(), Why::kDone);
  EXPECT_EQ(client_->Get("/plain").body, "plain");
}

// Would break if a poll that is answered late could not be followed by the next one, sent before or after the answer.
TEST_F(HttpExchangeTest, AnswersAfterAWait) {
  Start();
  auto exchange = Begin();
  client_->Send("GET /plain HTTP/1.1\r\nHost: h\r\n\r\n");
  exchange->Answer();
  EXPECT_EQ(client_->Receive().body, "at once");
  EXPECT_EQ(client_->Receive().body, "plain");
  EXPECT_EQ(exchange->WaitForEnd(), Why::kDone);
  EXPECT_EQ(client_->Get("/plain").body, "plain");
}

// The same for a client that is silent meanwhile: the wait for it must not swallow its next request.
TEST_F(HttpExchangeTest, AnswersASilentClient) {
  Start();
  auto exchange = Begin();
  exchange->Answer();
  EXPECT_EQ(client_->Receive().body, "at once");
  EXPECT_EQ(client_->Get("/plain").body, "plain");
}

// Would break if what a stream or a poll costs were kept for readers that have gone.
TEST_F(HttpExchangeTest, NoticesThatThePeerHasGone) {
  Start();
  auto waiting = Begin();
  client_ = std::make_unique<RawClient>(server_->address());
  EXPECT_EQ(waiting->WaitForEnd(), Why::kGone);
  begun_ = {};
  auto open = Begin();
  open->Open();
  open->Say("one");
  client_->Receive(false);
  EXPECT_EQ(client_->ReceiveBytes(8), "3\r\none\r\n");
  client_ = std::make_unique<RawClient>(server_->address());
  EXPECT_EQ(open->WaitForEnd(), Why::kGone);
  // What comes too late is dropped.
  open->Say("two");
  EXPECT_EQ(client_->Get("/plain").body, "plain");
}

// Would break if those who wait could take every connection, and a probe or a write found none.
TEST_F(HttpExchangeTest, KeepsConnectionsForOthers) {
  options_.max_connections = 3;
  Start();
  const auto first = Begin();
  begun_ = {};
  RawClient second(server_->address());
  second.Send(kGet);
  const auto other = begun_.get_future().get();
  begun_ = {};
  RawClient third(server_->address());
  third.Send(kGet);
  EXPECT_EQ(third.Receive().status, 429);
  EXPECT_EQ(third.Get("/plain").status, 200);
  other->Answer();
  EXPECT_EQ(second.Receive().body, "at once");
  third.Send(kGet);
  begun_.get_future().get()->Answer();
  EXPECT_EQ(third.Receive().body, "at once") << "the place is free again";
}

// Would break if a client of a gateway that drains went on with a connection that is about to be closed.
TEST_F(HttpExchangeTest, AnswersAreTheLastOnesInADrain) {
  Start();
  EXPECT_EQ(client_->Get("/plain").status, 200);
  server_->BeginDrain();
  EXPECT_THAT(client_->Get("/plain").head, HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(client_->WaitForClose());
}

// Would break if a reader that does not read could hold a message for ever.
TEST_F(HttpExchangeTest, EndsReadersThatStall) {
  options_.stream_write_timeout = absl::Milliseconds(300);
  Start();
  auto exchange = Begin();
  exchange->Open();
  // More than the sockets between take.
  exchange->Say(std::string(16 << 20, 'x'));
  EXPECT_EQ(exchange->WaitForEnd(), Why::kStalled);
}

// Would break if a stream could not say anything by itself: that it lives, or that a wait is over.
TEST_F(HttpExchangeTest, WakesInTime) {
  Start();
  auto exchange = Begin();
  exchange->WakeAfter(absl::Hours(1));
  exchange->WakeAfter(absl::Milliseconds(1));
  EXPECT_EQ(exchange->WaitForTimer(), 1);
}

// Would break if a stream that has nothing to say, or a poll, kept the process from stopping.
TEST_F(HttpExchangeTest, StopsWithStreamsOpen) {
  Start();
  auto exchange = Begin();
  exchange->Open();
  client_->Receive(false);
  server_->Stop();
  EXPECT_EQ(exchange->WaitForEnd(), Why::kGone);
  EXPECT_TRUE(client_->WaitForClose());
}

}  // namespace
}  // namespace meshgate::server
