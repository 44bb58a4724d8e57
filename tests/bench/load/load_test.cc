#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/bench/load/http1_parser.h"
#include "tests/bench/load/http2_channel.h"
#include "tests/bench/load/stamp.h"

namespace meshgate::bench {
namespace {

using ::testing::ElementsAre;

class Recorder final : public ChannelListener {
 public:
  void OnMessage(int call, std::string_view message) override {
    said.push_back(absl::StrCat(call, ":", std::string(message)));
  }
  void OnEnd(int call, bool answered) override { said.push_back(absl::StrCat(call, answered ? " ended" : " refused")); }
  void OnFailure(const std::string& what) override { said.push_back(what); }

  std::vector<std::string> said;
};

// A client's channel and the server's end of its connection, which the test plays.
class Connection {
 public:
  Connection() {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends_), 0);
    channel_.emplace(&loop_, ends_[0], &headers_, /*half_close=*/true, &recorder_);
  }
  ~Connection() { close(ends_[1]); }

  void Call(int call) { channel_->Call(call, "request"); }

  // Sends in pieces of so many bytes; each is taken before the next.
  void Serve(const std::string& bytes, size_t piece = 1000) {
    for (size_t at = 0; at < bytes.size(); at += piece) {
      const std::string part = bytes.substr(at, piece);
      EXPECT_EQ(write(ends_[1], part.data(), part.size()), static_cast<ssize_t>(part.size()));
      int rounds = 0;
      loop_.RunUntil([&] { return rounds++ > 0; }, absl::Seconds(10));
    }
  }

  const std::vector<std::string>& said() const { return recorder_.said; }

 private:
  Loop loop_;
  Recorder recorder_;
  const RequestHeaders headers_ = MakeRequestHeaders("/a.B/C");
  int ends_[2];
  std::optional<Http2Channel> channel_;
};

std::string Message(const std::string& text) {
  std::string framed;
  http2::AppendMessageHeader(text.size(), &framed);
  return framed + text;
}

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string frame;
  http2::AppendFrame(type, flags, stream, payload, &frame);
  return frame;
}

// Servers cut messages into frames, and the kernel cuts frames, as they like: a message that is lost or told twice
// would falsify every figure.
TEST(Http2ChannelTest, TakesMessagesHoweverTheyAreCut) {
  const std::string messages = Message("one") + Message("") + Message("three");
  for (const size_t frame : {1u, 4u, 6u, 100u}) {
    for (const size_t piece : {1u, 7u, 1000u}) {
      Connection connection;
      connection.Call(7);
      connection.Call(8);
      std::string bytes = Frame(http2::kHeaders, http2::kEndHeaders, 1, "\x88");
      for (size_t at = 0; at < messages.size(); at += frame) {
        bytes += Frame(http2::kData, 0, 1, messages.substr(at, frame));
      }
      bytes += Frame(http2::kData, http2::kPadded, 3, std::string("\x02", 1) + Message("other") + std::string(2, '\0'));
      bytes += Frame(http2::kHeaders, http2::kEndHeaders | http2::kEndStream, 1, "");
      connection.Serve(bytes, piece);
      EXPECT_THAT(connection.said(), ElementsAre("7:one", "7:", "7:three", "8:other", "7 ended"))
          << "frames of " << frame << ", pieces of " << piece;
    }
  }
}

// A call that fails must not count as a fast one.
TEST(Http2ChannelTest, TellsFailures) {
  Connection connection;
  for (int call = 1; call <= 2; ++call) connection.Call(call);
  connection.Serve(Frame(http2::kHeaders, http2::kEndHeaders | http2::kEndStream, 1, "\x88"));
  connection.Serve(Frame(http2::kRstStream, 0, 3, std::string("\0\0\0\x08", 4)));
  // Of a stream that has ended already: no failure.
  connection.Serve(Frame(http2::kRstStream, 0, 1, std::string(4, '\0')));
  connection.Serve(Frame(http2::kGoAway, 0, 0, std::string("\0\0\0\0\0\0\0\x0b", 8) + "calm"));
  EXPECT_THAT(connection.said(),
              ElementsAre("1 refused", "a stream was reset with error 8", "GOAWAY with error 11 calm"));
}

// Consul answers with a length or, where the answer is large, in chunks.
TEST(Http1ParserTest, TakesAnswersHoweverTheyAreCut) {
  const std::string answers =
      "HTTP/1.1 200 OK\r\nX-Consul-Index: 42\r\nContent-Length: 4\r\n\r\nfour"
      "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
  for (const size_t piece : {1u, 5u, 1000u}) {
    Http1Parser parser;
    std::vector<std::string> said;
    for (size_t at = 0; at < answers.size(); at += piece) {
      parser.Add(std::string_view(answers).substr(at, piece));
      while (parser.Next()) said.push_back(absl::StrCat(parser.code(), " ", parser.consul_index(), " ", parser.body()));
    }
    EXPECT_FALSE(parser.broken());
    EXPECT_THAT(said, ElementsAre("200 42 four", "404 42 ", "200 42 abc0123456789")) << "pieces of " << piece;
  }
}

// Something that is no answer ends the measurement instead of hanging it.
TEST(Http1ParserTest, SaysWhatIsBroken) {
  Http1Parser parser;
  parser.Add("HTTP/1.1 200 OK\r\n\r\nuntil the end");
  EXPECT_FALSE(parser.Next());
  EXPECT_TRUE(parser.broken());
}

// The change is found wherever a server's message has the value.
TEST(StampTest, IsFoundInAMessage) {
  EXPECT_EQ(FindStamp(StampedValue(17, 1024)), 17u);
  EXPECT_EQ(FindStamp("\n\x09"
                      "bench/key\x12" +
                      StampedValue(1234567, 0) + "\x20"),
            1234567u);
  EXPECT_EQ(FindStamp("bench/key"), std::nullopt);
  EXPECT_EQ(FindStamp("@@change123"), std::nullopt);
  EXPECT_EQ(StampedValue(1, 1024).size(), 1024u);
}

}  // namespace
}  // namespace meshgate::bench
