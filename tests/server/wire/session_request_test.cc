// What a session makes of requests.
#include <gmock/gmock.h>
#include <zlib.h>

#include <string>

#include "tests/server/wire/session_fixture.h"

namespace meshgate::server::wire {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class SessionRequestTest : public SessionFixture {
 protected:
  SessionRequestTest() { Open(); }

  // A request with these headers alone, ended.
  const Client::Response& Ask(const Client::Headers& headers) {
    const int32_t id = client_->Begin(headers);
    client_->End(id);
    EXPECT_TRUE(Pump());
    return response(id);
  }
};

// Would break if a handler got something else than its caller has sent, or a caller another answer.
TEST_F(SessionRequestTest, Unary) {
  const int32_t id = Request("request", {{"x-request-id", "7"}, {"trace-bin", "AAE"}});
  ASSERT_EQ(calls_.size(), 1u);
  EXPECT_EQ(call().head.path, "/test.Service/Method");
  EXPECT_EQ(call().head.authority, "test");
  EXPECT_THAT(call().head.metadata, Contains(Pair("x-request-id", "7")));
  EXPECT_THAT(call().head.metadata, Contains(Pair("trace-bin", "AAE")));
  EXPECT_EQ(call().stream().peer(), "ipv4:127.0.0.1:9");
  EXPECT_EQ(call().stream().deadline(), absl::InfiniteFuture());
  EXPECT_THAT(call().received, ElementsAre("request"));
  EXPECT_TRUE(call().half_closed);
  EXPECT_EQ(session_->streams(), 1u);

  call().to_send = {"reply"};
  call().stream().Finish({});
  EXPECT_EQ(wanted_, 1);
  EXPECT_TRUE(Pump());
  EXPECT_EQ(response(id).status(), "200");
  EXPECT_THAT(response(id).headers, Contains(Pair("content-type", "application/grpc")));
  EXPECT_THAT(response(id).headers, Contains(Pair("grpc-accept-encoding", "identity, deflate, gzip")));
  EXPECT_THAT(response(id).messages(), ElementsAre("reply"));
  EXPECT_EQ(response(id).code(), "0");
  EXPECT_EQ(response(id).closed, NGHTTP2_NO_ERROR);
  EXPECT_THAT(call().closed, ElementsAre(Why::kFinished));
  EXPECT_EQ(session_->streams(), 0u);
}

// Would break if a client that cancels while it sends, or does not end its side, confused the ends of a request.
TEST_F(SessionRequestTest, StreamsOfMessages) {
  const int32_t id = BeginCall();
  EXPECT_THAT(call().received, IsEmpty());
  client_->Send(id, Client::Framed("1") + Client::Framed("2").substr(0, 3));
  Pump();
  EXPECT_THAT(call().received, ElementsAre("1"));
  client_->Send(id, Client::Framed("2").substr(3));
  Pump();
  EXPECT_THAT(call().received, ElementsAre("1", "2"));
  EXPECT_FALSE(call().half_closed);
  client_->End(id);
  Pump();
  EXPECT_TRUE(call().half_closed);
  EXPECT_THAT(call().closed, IsEmpty());
}

// Would break if a browser or a probe on the wrong port were told nothing of use, or made a call.
TEST_F(SessionRequestTest, RefusesWhatIsNotGrpc) {
  const Client::Headers get = {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "test"}};
  const Client::Response& not_post = Ask(get);
  EXPECT_EQ(not_post.status(), "405");
  EXPECT_THAT(not_post.headers, Contains(Pair("allow", "POST")));
  EXPECT_THAT(not_post.data, HasSubstr("POST"));
  EXPECT_TRUE(not_post.ended);
  EXPECT_EQ(not_post.closed, NGHTTP2_NO_ERROR);

  Client::Headers json = Client::Call("/test.Service/Method");
  json.back().second = "application/json";
  EXPECT_EQ(Ask(json).status(), "415");
  json.pop_back();
  EXPECT_EQ(Ask(json).status(), "415");
  EXPECT_THAT(calls_, IsEmpty());
  EXPECT_EQ(session_->streams(), 0u);
}

// Would break if such a refusal were lost where the peer has little room, or did not stop a large request.
TEST_F(SessionRequestTest, RefusesByTheByte) {
  Open(1);
  Client::Headers json = Client::Call("/test.Service/Method");
  json.back().second = "application/json";
  const int32_t id = client_->Begin(json);
  client_->Send(id, "{}");
  Pump();
  for (int i = 0; i < 100 && !response(id).ended; ++i) {
    client_->OpenWindow(id, 1);
    Pump();
  }
  EXPECT_THAT(response(id).data, HasSubstr("application/grpc"));
  EXPECT_EQ(response(id).closed, NGHTTP2_NO_ERROR);
}

// Would break if a request that cannot be read were passed on as something else.
TEST_F(SessionRequestTest, RefusesEncodingsItDoesNotKnow) {
  const int32_t id = Request("x", {{"grpc-encoding", "snappy"}});
  EXPECT_EQ(response(id).code(), "12");
  EXPECT_THAT(response(id).headers, Contains(Pair("grpc-accept-encoding", "identity, deflate, gzip")));
  EXPECT_THAT(calls_, IsEmpty());
}

// Would break if a client that compresses were not understood.
TEST_F(SessionRequestTest, TakesCompressedRequests) {
  const std::string text(10'000, 'a');
  std::string packed(compressBound(text.size()), 0);
  uLongf size = packed.size();
  ASSERT_EQ(compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(text.data()),
                     text.size()),
            Z_OK);
  packed.resize(size);
  const int32_t id = BeginCall({{"grpc-encoding", "deflate"}});
  client_->Send(id, Client::Framed(packed, 1));
  Pump();
  EXPECT_THAT(call().received, ElementsAre(text));
}

// Would break if a nonsense deadline were taken for none: the caller waits for a time that we would not know.
TEST_F(SessionRequestTest, RefusesMalformedTimeouts) {
  const int32_t id = Request("x", {{"grpc-timeout", "soon"}});
  EXPECT_EQ(response(id).code(), "3");
  EXPECT_THAT(calls_, IsEmpty());
}

// Would break if a caller's deadline did not end its call, or the call were told twice.
TEST_F(SessionRequestTest, DeadlineEndsTheCall) {
  const int32_t id = BeginCall({{"grpc-timeout", "1500m"}});
  EXPECT_EQ(call().stream().deadline(), loop_.now() + absl::Milliseconds(1500));
  call().stream().OnDeadline();
  EXPECT_THAT(call().closed, ElementsAre(Why::kDeadline));
  Pump();
  EXPECT_EQ(response(id).code(), "4");
  EXPECT_EQ(response(id).closed, NGHTTP2_NO_ERROR);
  EXPECT_THAT(call().closed, ElementsAre(Why::kDeadline));
}

// Would break if a request that was cut off were taken for one that is whole.
TEST_F(SessionRequestTest, EndedInMidMessage) {
  const int32_t id = BeginCall();
  client_->Send(id, Client::Framed("message").substr(0, 8));
  client_->End(id);
  Pump();
  EXPECT_THAT(call().received, IsEmpty());
  EXPECT_FALSE(call().half_closed);
  EXPECT_EQ(response(id).code(), "13");
  EXPECT_THAT(call().closed, ElementsAre(Why::kFinished));
}

// Would break if one request could take any amount of memory, or its sender were not told to stop.
TEST_F(SessionRequestTest, MessageTooLarge) {
  options_.max_request_bytes = 100;
  const int32_t id = BeginCall();
  client_->Send(id, Client::Framed(std::string(101, 'x')));
  Pump();
  EXPECT_EQ(response(id).code(), "8");
  EXPECT_THAT(response(id).message(), HasSubstr("larger than max (101 vs. 100)"));
  // RST_STREAM with NO_ERROR: the response is whole, the rest of the request is not wanted.
  EXPECT_EQ(response(id).closed, NGHTTP2_NO_ERROR);
  EXPECT_THAT(call().closed, ElementsAre(Why::kFinished));
}

// Would break if headers could take any amount of memory, or a call with a little too many took its connection along.
TEST_F(SessionRequestTest, HeadersTooLarge) {
  const int32_t id = Request("x", {{"a", std::string(8'000, 'x')}, {"b", std::string(9'000, 'x')}});
  EXPECT_EQ(response(id).code(), "8");
  EXPECT_THAT(response(id).message(), HasSubstr("at most 16384"));
  EXPECT_THAT(calls_, IsEmpty());
  Request("x");
  EXPECT_EQ(calls_.size(), 1u);
}

// Would break if a few bytes could name a header from the table over and over, and take any amount of memory like that.
TEST_F(SessionRequestTest, HeadersFarTooLarge) {
  Client::Headers bomb = Client::Call("/test.Service/Method");
  for (int i = 0; i < 100; ++i) bomb.emplace_back("a", std::string(2'900, 'x'));
  client_->Begin(bomb);
  const std::string bytes = client_->Output();
  EXPECT_LT(bytes.size(), size_t{10'000});
  EXPECT_FALSE(session_->Receive(bytes));
  client_->Receive(Produce());
  ASSERT_EQ(client_->go_aways().size(), 1u);
  EXPECT_EQ(client_->go_aways()[0].error, NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_THAT(calls_, IsEmpty());
}

// Would break if a call got messages, or its stream were used, after its caller has gone.
TEST_F(SessionRequestTest, ResetByThePeer) {
  const int32_t id = BeginCall();
  call().Say("first");
  Pump();
  client_->Reset(id);
  Pump();
  EXPECT_THAT(call().closed, ElementsAre(Why::kCancelled));
  EXPECT_EQ(session_->streams(), 0u);
  // With a message in flight.
  Open(7);
  const int32_t stuck = BeginCall();
  call().Say("first");
  Pump();
  client_->Reset(stuck);
  Pump();
  EXPECT_THAT(call().closed, ElementsAre(Why::kCancelled));
  EXPECT_EQ(loop_.writing().oldest(), nullptr);
}

// Would break if the calls of a connection that is gone were not told, or told twice.
TEST_F(SessionRequestTest, CloseTellsEveryCall) {
  for (int i = 0; i < 3; ++i) BeginCall({{"grpc-timeout", "1H"}});
  call(1).Say("first");
  EXPECT_FALSE(session_->CloseSome(2));
  EXPECT_TRUE(session_->CloseSome(2));
  session_.reset();
  for (const auto& call : calls_) EXPECT_THAT(call->closed, ElementsAre(Why::kCancelled));
  EXPECT_EQ(loop_.writing().oldest(), nullptr);
}

// Would break if a call that is behind could not hold its sender back, or the rest never came.
TEST_F(SessionRequestTest, APausedRequestIsHeldBack) {
  const int32_t id = BeginCall();
  call().stream().PauseRequest();
  const std::string message = Client::Framed(std::string(1'000, 'x'));
  constexpr size_t kMessages = 3'000;
  for (size_t i = 0; i < kMessages; ++i) client_->Send(id, message);
  Pump();
  EXPECT_GT(call().received.size(), size_t{500});
  EXPECT_LE(call().received.size(), (1 << 20) / message.size());
  // Others on the connection go on.
  Request("x");
  EXPECT_EQ(calls_.size(), 2u);
  call().stream().ResumeRequest();
  Pump();
  EXPECT_EQ(call().received.size(), kMessages);
}

// Would break if bytes of requests that nobody reads any more used up the connection's room: it would stand still.
TEST_F(SessionRequestTest, UnreadRequestsGiveTheirRoomBack) {
  for (size_t i = 0; i < 20; ++i) {
    const int32_t id = client_->Begin(Client::Call("/test.Service/Method"));
    client_->Send(id, Client::Framed("x") + std::string(900'000, 0));
    // All of it arrives before the answer leaves.
    const std::string bytes = client_->Output();
    ASSERT_GT(bytes.size(), size_t{900'000}) << i;
    factory_ = [this](Stream* stream) {
      calls_.push_back(std::make_shared<ScriptedCall>(stream));
      calls_.back()->on_message = [this] { calls_.back()->stream().Finish({3, "no", {}}); };
      return calls_.back();
    };
    ASSERT_TRUE(session_->Receive(bytes));
    Pump();
    ASSERT_EQ(response(id).code(), "3");
    ASSERT_THAT(call(i).received, ElementsAre("x"));
  }
}

// Would break if one connection could have any number of calls open.
TEST_F(SessionRequestTest, BoundsTheCallsOfAConnection) {
  options_.max_streams = 2;
  Open();
  for (int i = 0; i < 3; ++i) BeginCall();
  EXPECT_EQ(calls_.size(), 2u);
  call(0).stream().Finish({});
  Pump();
  EXPECT_EQ(calls_.size(), 3u);
}

}  // namespace
}  // namespace meshgate::server::wire
