// A connection whose peer has said all before it is begun with.
#include "server/wire/connection.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "server/wire/stream.h"
#include "tests/server/wire/frames.h"
#include "tests/server/wire/h2_client.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server::wire {
namespace {

using testing::H2Client;

// Answers at once or, at /later, when what else there is to do has had its turn.
class Answered final : public Call {
 public:
  Answered(EventLoop* loop, Stream* stream) : loop_(loop), stream_(stream), later_(stream->head().path == "/later") {}

  void OnMessage(std::string) override {}
  void OnHalfClose() override {
    if (!later_) return stream_->Finish({});
    loop_->Post([this] { stream_->Finish({}); });
  }
  SharedBytes NextMessage() override { return nullptr; }
  Ending OnStalled(absl::Duration) override { return {}; }
  void OnClosed(Why) override {}

 private:
  EventLoop* const loop_;
  Stream* const stream_;
  const bool later_;
};

class ConnectionTest : public ::testing::Test {
 protected:
  ~ConnectionTest() override { loop_.Stop(); }

  // What is answered to a peer that sends `bytes` and no more, until the connection is closed.
  std::string AnswerTo(const std::string& bytes) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) abort();
    EXPECT_EQ(write(fds[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    shutdown(fds[1], SHUT_WR);
    const timeval patience = {30, 0};
    setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const int flags = fcntl(fds[0], F_GETFL);
    fcntl(fds[0], F_SETFL, flags | O_NONBLOCK);
    auto connection =
        std::make_shared<Connection>(&loop_, fds[0], "unix:", &options_, &calls_, tls::HandshakeBudget::Place(), [] {});
    loop_.Post([this, connection = std::move(connection)] {
      loop_.Add(connection);
      connection->Start();
    });
    loop_.Start();
    std::string answer;
    char some[1024];
    for (ssize_t got; (got = read(fds[1], some, sizeof some)) > 0;) answer.append(some, static_cast<size_t>(got));
    close(fds[1]);
    return answer;
  }

  testing::ManualScheduler clock_;
  consul::WatchReporter watches_;
  EventLoop loop_{&clock_, &watches_, {}};
  ConnectionOptions options_;
  CallFactory calls_ = [this](Stream* stream) { return std::make_shared<Answered>(&loop_, stream); };
};

// Ten thousand connections a second that are opened and closed would each cost a send that nobody reads.
TEST_F(ConnectionTest, NothingIsSaidToAPeerThatHasGreetedAndGone) {
  EXPECT_EQ(AnswerTo(testing::kPreface + testing::Settings()), "");
}

// Who asks and closes its side, as `nc -N` does, would go without an answer.
TEST_F(ConnectionTest, ACallIsAnsweredThoughItsPeerSendsNoMore) {
  H2Client client;
  const int32_t first = client.Begin(H2Client::Call("/answered"));
  client.End(first);
  // As streams are refused.
  const int32_t second = client.Begin(H2Client::Call("/later"));
  client.End(second);
  client.Receive(AnswerTo(client.Output()));
  EXPECT_EQ(client.response(first).code(), "0");
  EXPECT_EQ(client.response(second).code(), "0");
}

// Who breaks the protocol would not be told how.
TEST_F(ConnectionTest, AnErrorIsToldThoughItsPeerSendsNoMore) {
  H2Client client;
  client.Output();
  client.Receive(AnswerTo(testing::kPreface + testing::Settings() + testing::Frame(NGHTTP2_DATA, 0, 0, "x")));
  ASSERT_EQ(client.go_aways().size(), 1u);
  EXPECT_EQ(client.go_aways()[0].error, static_cast<uint32_t>(NGHTTP2_PROTOCOL_ERROR));
}

// The same of one who has made a call that is none.
TEST_F(ConnectionTest, ACallIsRefusedThoughItsPeerSendsNoMore) {
  const std::string headers = testing::Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1);
  const std::string refusal =
      testing::Frame(NGHTTP2_RST_STREAM, 0, 1, testing::Bytes32(static_cast<uint32_t>(NGHTTP2_PROTOCOL_ERROR)));
  EXPECT_NE(AnswerTo(testing::kPreface + testing::Settings() + headers).find(refusal), std::string::npos);
}

}  // namespace
}  // namespace meshgate::server::wire
