// How a session ends, by either side's will.
#include <gmock/gmock.h>

#include <functional>
#include <random>
#include <string>

#include "tests/server/wire/frames.h"
#include "tests/server/wire/session_fixture.h"

namespace meshgate::server::wire {
namespace {

using testing::Bytes32;
using ::testing::ElementsAre;
using testing::Frame;
using ::testing::IsEmpty;
using testing::kPreface;
using testing::Settings;

class SessionEndTest : public SessionFixture {
 protected:
  SessionEndTest() { Open(); }

  // Feeds what `next` makes, over and over, until the session has had enough. `reads`: whether the peer takes what it
  // is sent. Returns after how many.
  int EndsAfter(const std::function<std::string()>& next, bool reads = true) {
    constexpr int kFar = 100'000;
    for (int i = 1; i < kFar; ++i) {
      const bool goes_on = session_->Receive(next());
      if (reads || !goes_on) client_->Receive(Produce());
      if (!goes_on || session_->Done()) return i;
    }
    return kFar;
  }
  int EndsAfter(const std::string& frame, bool reads = true) {
    return EndsAfter([&] { return frame; }, reads);
  }
};

// Would break if a drain lost calls that were on their way, or a client were not told where to stop.
TEST_F(SessionEndTest, GoAwayHasTwoSteps) {
  BeginCall();
  // On its way while we say goodbye.
  const int32_t late = client_->Begin(Client::Call("/test.Service/Method"));
  const std::string on_its_way = client_->Output();
  session_->GoAway();
  EXPECT_TRUE(session_->going_away());
  client_->Receive(Produce());
  ASSERT_EQ(client_->go_aways().size(), 1u);
  EXPECT_EQ(client_->go_aways()[0].last_stream, 0x7fffffff);
  EXPECT_EQ(client_->go_aways()[0].error, NGHTTP2_NO_ERROR);
  EXPECT_EQ(client_->pings(), 1);
  ASSERT_TRUE(session_->Receive(on_its_way));
  EXPECT_EQ(calls_.size(), 2u);
  Pump();
  ASSERT_EQ(client_->go_aways().size(), 2u);
  EXPECT_EQ(client_->go_aways()[1].last_stream, late);

  call(0).Say("on");
  call(0).stream().Finish({});
  Pump();
  EXPECT_EQ(response(1).code(), "0");
  EXPECT_FALSE(session_->Done()) << "a call is open";
  call(1).stream().Finish({});
  Pump();
  EXPECT_TRUE(session_->Done());
}

// Would break if a client that does not answer pings held a drain up.
TEST_F(SessionEndTest, GoAwayWithoutAnAnswer) {
  session_->GoAway();
  session_->FinishGoAway();
  session_->FinishGoAway();
  client_->Receive(Produce());
  EXPECT_EQ(client_->go_aways().size(), 2u);
  EXPECT_TRUE(session_->Done());
}

// Would break if a connection that reaches its age left a call without an end.
TEST_F(SessionEndTest, CutsAllCalls) {
  const int32_t first = BeginCall(), second = BeginCall();
  session_->FinishGoAway();
  session_->CutAll({14, "old", {}});
  Pump();
  EXPECT_EQ(response(first).code(), "14");
  EXPECT_EQ(response(second).code(), "14");
  for (const auto& call : calls_) EXPECT_THAT(call->closed, ElementsAre(Why::kFinished));
  EXPECT_TRUE(session_->Done());
}

// Would break if a peer that is gone were not noticed, or one that answers were taken for it.
TEST_F(SessionEndTest, PingsItsPeer) {
  session_->Ping();
  EXPECT_FALSE(session_->ping_answered());
  Pump();
  EXPECT_TRUE(session_->ping_answered());
}

// Would break if a client's keepalive at a sane pace cost it its connection.
TEST_F(SessionEndTest, SomePingsAreFine) {
  for (int i = 0; i < 100; ++i) {
    client_->Ping();
    ASSERT_TRUE(Pump());
    Advance(options_.least_ping_interval);
  }
  EXPECT_EQ(client_->pongs(), 100);
  // Twice too soon, as a network may bunch them up, and as often as there is something to measure.
  for (int i = 0; i < 50; ++i) {
    client_->Ping();
    ASSERT_TRUE(Pump());
    const int32_t id = Request("x");
    calls_.back()->stream().Finish({});
    Pump();
    ASSERT_EQ(response(id).code(), "0");
  }
}

// Would break if a client with a broken keepalive were not told as gRPC's clients understand it.
TEST_F(SessionEndTest, TooManyPings) {
  BeginCall();
  for (int i = 0; i < 3; ++i) {
    client_->Ping();
    ASSERT_TRUE(Pump());
  }
  client_->Ping();
  EXPECT_FALSE(Pump());
  ASSERT_FALSE(client_->go_aways().empty());
  EXPECT_EQ(client_->go_aways()[0].error, NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_EQ(client_->go_aways()[0].debug, "too_many_pings");
  EXPECT_FALSE(session_->Receive(client_->Output()));
  session_.reset();
  EXPECT_THAT(call().closed, ElementsAre(Why::kCancelled));
}

// Would break if what does not speak HTTP/2, such as HTTP/1 or TLS, were kept connected.
TEST_F(SessionEndTest, OtherProtocols) {
  for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\nHost: test\r\n\r\n"),
                                   std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11)}) {
    Open();
    session_ = std::make_unique<Session>(SessionEnvironment{&loop_, &options_, &factory_}, "", [] {});
    EXPECT_FALSE(session_->Receive(bytes));
    EXPECT_FALSE(session_->Receive(bytes));
  }
}

// Would break if a peer could keep a thread busy with frames that carry nothing, whether or not it reads our answers.
TEST_F(SessionEndTest, FloodsOfIdleFrames) {
  const std::pair<const char*, std::string> kinds[] = {
      {"empty DATA", Frame(NGHTTP2_DATA, 0, 1)},
      {"PRIORITY", Frame(NGHTTP2_PRIORITY, 0, 1, Bytes32(0) + "\x10")},
      {"SETTINGS", Settings()},
      {"PING", Frame(NGHTTP2_PING, 0, 0, "12345678")},
      {"PING answer", Frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "12345678")},
      {"WINDOW_UPDATE", Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, Bytes32(1))},
      {"WINDOW_UPDATE of a stream", Frame(NGHTTP2_WINDOW_UPDATE, 0, 1, Bytes32(1))},
      {"unknown", Frame(0x77, 0, 0, "x")},
      {"RST_STREAM of none", testing::RstStream(99)}};
  for (const auto& [name, frame] : kinds) {
    for (const bool reads : {true, false}) {
      Open();
      BeginCall();
      EXPECT_LE(EndsAfter(frame, reads), 20'000) << name;
      session_.reset();
      EXPECT_THAT(call().closed, ElementsAre(Why::kCancelled)) << name;
    }
  }
}

// Would break if the blocks of one request's headers could go on for ever.
TEST_F(SessionEndTest, FloodOfContinuations) {
  // "x: y", literal without indexing; and nothing at all.
  for (const std::string& block : {std::string("\0\1x\1y", 5), std::string()}) {
    Open();
    ASSERT_TRUE(session_->Receive(Frame(NGHTTP2_HEADERS, 0, 1, std::string("\x83\x86", 2))));
    EXPECT_LE(EndsAfter(Frame(NGHTTP2_CONTINUATION, 0, 1, block)), 1'000);
    EXPECT_THAT(calls_, IsEmpty());
  }
}

// Would break if calls that are begun and reset at once, which costs a peer next to nothing, were served without end.
TEST_F(SessionEndTest, RapidReset) {
  for (const bool reads : {true, false}) {
    Open();
    const int ended = EndsAfter(
        [&] {
          const int32_t id = client_->Begin(Client::Call("/test.Service/Method"));
          std::string bytes = client_->Output();
          client_->Reset(id);
          return bytes + client_->Output();
        },
        reads);
    EXPECT_LE(ended, FrameGuard::kBurst + 1'000);
    for (const auto& call : calls_) ASSERT_THAT(call->closed, ElementsAre(Why::kCancelled));
  }
}

// Would break if a client that drops all its watches at once, or whose calls meet their deadlines, lost the connection
// and everything else on it.
TEST_F(SessionEndTest, ManyResetsAreNoFlood) {
  Open();
  const int32_t stays = BeginCall();
  std::vector<int32_t> ids;
  for (int i = 0; i < 4'000; ++i) ids.push_back(client_->Begin(Client::Call("/test.Service/Method")));
  ASSERT_TRUE(Pump());
  for (const int32_t id : ids) client_->Reset(id);
  ASSERT_TRUE(Pump());
  // Answers are a reason for as many again.
  for (int i = 0; i < 4'000; ++i) {
    const int32_t id = BeginCall();
    calls_.back()->stream().SendHeaders({});
    ASSERT_TRUE(Pump());
    client_->Reset(id);
    ASSERT_TRUE(Pump()) << i;
  }
  EXPECT_FALSE(response(stays).closed);
}

// Would break if an end whose headers HTTP/2 cannot carry left its caller waiting for ever.
TEST_F(SessionEndTest, TrailersBeyondWhatHttp2Takes) {
  Open();
  const int32_t id = BeginCall();
  call().stream().Finish({13, "too much", {{"x-large", std::string(70'000, 'x')}}});
  ASSERT_TRUE(Pump());
  EXPECT_EQ(response(id).closed, NGHTTP2_INTERNAL_ERROR);
  EXPECT_THAT(call().closed, ElementsAre(Why::kFinished));
}

// Would break if a call that came with the answer to a GOAWAY's ping, or after it, were served though its caller is
// told that it was not, and makes it again.
TEST_F(SessionEndTest, NoCallIsServedThatAGoAwayDenies) {
  Open();
  // A client begins nothing after the first GOAWAY: these are on their way when it comes.
  const int32_t with = client_->Begin(Client::Call("/test.Service/Method"));
  const std::string first = client_->Output();
  const int32_t after = client_->Begin(Client::Call("/test.Service/Method"));
  const std::string second = client_->Output();
  session_->GoAway();
  client_->Receive(Produce());
  ASSERT_TRUE(session_->Receive(client_->Output() + first));
  // Before the second GOAWAY has gone.
  ASSERT_TRUE(session_->Receive(second));
  client_->Receive(Produce());
  ASSERT_EQ(client_->go_aways().size(), 2u);
  EXPECT_EQ(client_->go_aways()[1].last_stream, with);
  EXPECT_EQ(calls_.size(), 1u);
  EXPECT_FALSE(response(with).closed);
  EXPECT_EQ(response(after).closed, NGHTTP2_REFUSED_STREAM);
}

// Would break if a peer that reads nothing could pile up answers to streams beyond those that it may have: each of them
// is refused, and takes many times the memory that it took to send.
TEST_F(SessionEndTest, RefusedStreamsThatAreNotReadOf) {
  options_.max_streams = 100;
  Open();
  // As long as the limit is not acknowledged, streams beyond it are not an error of the connection's.
  session_ = std::make_unique<Session>(SessionEnvironment{&loop_, &options_, &factory_}, "", [] {});
  ASSERT_TRUE(session_->Receive(kPreface + Settings()));
  uint32_t id = 1;
  const int ended = EndsAfter(
      [&] {
        // POST, http, /
        id += 2;
        return Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, "\x83\x86\x84");
      },
      /*reads=*/false);
  EXPECT_LE(ended, 6 * 100);
}

// Would break if any bytes could harm the process: what a client may send, with some of it changed.
TEST_F(SessionEndTest, SurvivesAnyBytes) {
  std::string good;
  {
    const int32_t first = client_->Begin(Client::Call("/test.Service/Method", {{"grpc-timeout", "1S"}}));
    client_->Send(first, Client::Framed("request"));
    client_->End(first);
    const int32_t second = client_->Begin(Client::Call("/test.Service/Method", {{"grpc-encoding", "gzip"}}));
    client_->Send(second, Client::Framed("x", 1) + Client::Framed("y"));
    good = client_->Output();
    client_->Reset(second);
    client_->Ping();
    good += client_->Output();
  }
  std::mt19937 random(1);
  for (int round = 0; round < 3'000; ++round) {
    Open(5);
    std::string bad = good;
    for (unsigned changes = 1 + random() % 3; changes > 0; --changes) {
      bad[random() % bad.size()] = static_cast<char>(random());
    }
    const size_t split = random() % bad.size();
    if (session_->Receive(bad.substr(0, split))) {
      for (const auto& call : calls_) {
        if (call->closed.empty()) call->Say("some answer");
      }
      Produce(random() % 100);
      session_->Receive(bad.substr(split));
    }
    Produce();
    session_.reset();
    for (const auto& call : calls_) ASSERT_EQ(call->closed.size(), 1u);
  }
}

}  // namespace
}  // namespace meshgate::server::wire
