// What a session sends, and when.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/server/wire/session_fixture.h"

namespace meshgate::server::wire {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::StartsWith;

class SessionResponseTest : public SessionFixture {
 protected:
  SessionResponseTest() { Open(); }
};

// Would break if a call that fails were not answered in gRPC's shortest form, or with another message than it has.
TEST_F(SessionResponseTest, TrailersOnly) {
  const int32_t id = Request("x");
  call().stream().Finish({5, "no key '\xc3\xa4'\n100%", {{"grpc-status-details-bin", "CAU"}}});
  Pump();
  EXPECT_TRUE(response(id).trailers_only);
  EXPECT_EQ(response(id).status(), "200");
  EXPECT_EQ(response(id).code(), "5");
  EXPECT_EQ(response(id).message(), "no key '%C3%A4'%0A100%25");
  EXPECT_THAT(response(id).headers, Contains(Pair("grpc-status-details-bin", "CAU")));
}

// Would break if headers that go with what comes first were lost where that is the end.
TEST_F(SessionResponseTest, HeadersGoWithTheEnd) {
  const int32_t id = Request("x");
  call().stream().SetHeaders({{"x-request-id", "7"}});
  call().stream().Finish({5, "", {}});
  Pump();
  EXPECT_FALSE(response(id).trailers_only);
  EXPECT_THAT(response(id).headers, Contains(Pair("x-request-id", "7")));
  EXPECT_EQ(response(id).code(), "5");
  EXPECT_EQ(response(id).trailers.count("grpc-message"), 0u);
}

// Would break if a caller learned only with the first message that its stream stands.
TEST_F(SessionResponseTest, HeadersComeAtOnce) {
  const int32_t id = BeginCall();
  call().stream().SendHeaders({{"x-request-id", "7"}});
  Pump();
  EXPECT_THAT(response(id).headers, Contains(Pair("x-request-id", "7")));
  EXPECT_FALSE(response(id).ended);
  call().Say("1");
  call().Say("2");
  Pump();
  EXPECT_THAT(response(id).messages(), ElementsAre("1", "2"));
}

// Would break if a call were asked for a message before its reader has room: it would no longer be the latest.
TEST_F(SessionResponseTest, AsksWhenThereIsRoom) {
  Open(0);
  const int32_t id = BeginCall();
  call().Say("old");
  Pump();
  EXPECT_EQ(call().asked, 0);
  call().to_send = {"new"};
  client_->OpenWindow(id, 100);
  Pump();
  EXPECT_THAT(response(id).messages(), ElementsAre("new"));
}

// Would break if a message were put together wrongly where the room ends within it or its prefix.
TEST_F(SessionResponseTest, ByTheByte) {
  Open(1);
  const int32_t id = BeginCall();
  const std::vector<std::string> messages = {"ab", "", "cde", "f"};
  for (const std::string& message : messages) call().Say(message);
  call().stream().Finish({});
  for (int i = 0; i < 100 && !response(id).ended; ++i) {
    Pump();
    client_->OpenWindow(id, 1);
  }
  EXPECT_EQ(response(id).messages(), messages);
  EXPECT_EQ(response(id).code(), "0");
  EXPECT_THAT(call().closed, ElementsAre(Why::kFinished));
}

// Would break if a message larger than a frame, a batch or a window came out as another.
TEST_F(SessionResponseTest, LargeMessages) {
  Open(3'000'000);
  client_->OpenWindow(0, 3'000'000);
  std::string large;
  for (int i = 0; i < 500'000; ++i) large += static_cast<char>(i % 251);
  const int32_t id = Request("x");
  call().to_send = {large, "small", large};
  call().stream().Finish({});
  while (true) {
    const std::string out = Produce(1'000);
    if (out.empty()) break;
    EXPECT_LE(out.size(), size_t{1'000 + 16'384 + 9});
    client_->Receive(out);
  }
  EXPECT_THAT(response(id).messages(), ElementsAre(large, "small", large));
  EXPECT_EQ(response(id).code(), "0");
}

// Would break if each of thousands of calls were waited for until it has come from memory.
TEST_F(SessionResponseTest, CallsArePreparedBeforeTheirTurn) {
  for (const size_t count : {1u, 2u, 3u, 5u, 7u, 8u, 9u, 50u}) {
    SCOPED_TRACE(count);
    Open();
    while (calls_.size() < count) BeginCall();
    for (const auto& each : calls_) each->Say("x");
    const int begun = ScriptedCall::turns;
    Pump();
    for (const auto& each : calls_) {
      if (count == 1) {
        EXPECT_THAT(each->prepared, IsEmpty()) << "for nothing";
        continue;
      }
      // They are asked again whether there is more.
      ASSERT_GE(each->prepared.size(), 2u);
      // Of the first ones there is nobody before whose turn they could be prepared.
      EXPECT_THAT(each->prepared[0], Pair(0, std::max(begun, each->asked_at - 4)));
      EXPECT_THAT(each->prepared[1], Pair(1, std::max(begun, each->asked_at - 2)));
    }
  }
}

// Would break if what one call does to others while it is asked kept any from their turn, or had one asked that is
// over.
TEST_F(SessionResponseTest, OneEndsOthersWhileItIsAsked) {
  std::vector<int32_t> ids;
  for (int i = 0; i < 50; ++i) ids.push_back(BeginCall());
  for (const auto& each : calls_) each->Say("x");
  call(10).on_next = [&] {
    for (const size_t i : {11, 13, 19, 49}) call(i).stream().Cut({14, "cut", {}});
    for (const size_t i : {9, 12, 20}) call(i).stream().Finish({});
    call(3).Say("y");
    call(10).stream().Finish({});
  };
  Pump();
  for (size_t i = 0; i < calls_.size(); ++i) {
    SCOPED_TRACE(i);
    const bool cut = i == 11 || i == 13 || i == 19 || i == 49;
    const bool finished = i == 9 || i == 10 || i == 12 || i == 20;
    EXPECT_THAT(response(ids[i]).messages(), SizeIs(cut ? 0 : i == 3 ? 2 : 1));
    EXPECT_EQ(response(ids[i]).code(), cut ? "14" : finished ? "0" : "");
    EXPECT_EQ(calls_[i]->closed.size(), cut || finished ? 1u : 0u);
  }
}

// Would break if an end waited for a reader that does not read.
TEST_F(SessionResponseTest, AnEndNeedsNoRoom) {
  Open(0);
  const int32_t id = BeginCall();
  call().stream().SendHeaders({});
  Pump();
  call().stream().Finish({14, "draining", {}});
  Pump();
  EXPECT_EQ(response(id).code(), "14");
  EXPECT_EQ(response(id).closed, NGHTTP2_NO_ERROR);
}

// Would break if the end of one stream waited for the room that another has used up.
TEST_F(SessionResponseTest, AnEndNeedsNoRoomOnTheConnection) {
  Open(1'000'000);
  const int32_t hog = BeginCall(), other = BeginCall();
  call(0).Say(std::string(100'000, 'x'));
  call(1).stream().SendHeaders({});
  Pump();
  EXPECT_EQ(response(hog).data.size(), 65'535u);
  call(1).stream().Finish({14, "draining", {}});
  Pump();
  EXPECT_EQ(response(other).code(), "14");
}

// Would break if the rest of a message held up the end of a reader that has stopped in its middle.
TEST_F(SessionResponseTest, CutInMidMessage) {
  Open(7);
  const int32_t id = BeginCall();
  call().Say("message");
  Pump();
  EXPECT_TRUE(call().stream().sending());
  call().stream().Cut({14, "too slow", {}});
  Pump();
  EXPECT_THAT(response(id).messages(), ElementsAre("+7"));
  EXPECT_EQ(response(id).code(), "14");
  EXPECT_EQ(response(id).closed, NGHTTP2_NO_ERROR);
  EXPECT_EQ(loop_.writing().oldest(), nullptr);
}

// Would break if a stream could be cut, by its deadline or with its connection's age, only between frames: the socket
// had no more room when nghttp2 had one ready.
TEST_F(SessionResponseTest, CutWhileAFrameWaitsForTheSocket) {
  Open(1'000'000);
  client_->OpenWindow(0, 1'000'000);
  const int32_t id = BeginCall();
  call().Say(std::string(100'000, 'x'));
  client_->Receive(Produce(1'000));
  session_->CutAll({14, "old", {}});
  Pump();
  EXPECT_EQ(response(id).code(), "14");
  EXPECT_THAT(response(id).messages(), ElementsAre(StartsWith("+")));
  EXPECT_EQ(response(id).closed, NGHTTP2_NO_ERROR);
  // The connection is whole.
  Request("x");
  EXPECT_EQ(calls_.size(), 2u);
}
TEST_F(SessionResponseTest, DeadlineWhileAFrameWaitsForTheSocket) {
  Open(1'000'000);
  client_->OpenWindow(0, 1'000'000);
  const int32_t id = BeginCall({{"grpc-timeout", "1S"}});
  call().Say(std::string(100'000, 'x'));
  client_->Receive(Produce(1'000));
  call().stream().OnDeadline();
  Pump();
  EXPECT_EQ(response(id).code(), "4");
}

// Would break if a peer that goes away just then left the frame behind.
TEST_F(SessionResponseTest, ResetWhileAFrameWaitsForTheSocket) {
  Open(1'000'000);
  client_->OpenWindow(0, 1'000'000);
  const int32_t id = BeginCall();
  call().Say(std::string(100'000, 'x'));
  client_->Receive(Produce(1'000));
  client_->Reset(id);
  Pump();
  EXPECT_THAT(call().closed, ElementsAre(Why::kCancelled));
  Request("x");
  EXPECT_EQ(calls_.size(), 2u);
}

// Would break if a call that had answered with OK were told so while half of its answer is missing.
TEST_F(SessionResponseTest, HalfAnAnswerIsNotOk) {
  for (const bool stalled : {true, false}) {
    Open(7);
    const int32_t id = Request("x", {{"grpc-timeout", "1S"}});
    call().to_send = {"message"};
    call().stream().Finish({});
    Pump();
    stalled ? call().stream().OnStalled(absl::Minutes(2)) : call().stream().OnDeadline();
    Pump();
    EXPECT_EQ(response(id).code(), stalled ? "14" : "4");
  }
}

// Would break if what a reader is told of the end were not the first thing that was said of it.
TEST_F(SessionResponseTest, TheFirstEndWins) {
  const int32_t id = BeginCall();
  Stream& stream = call().stream();
  stream.Finish({5, "first", {}});
  stream.Finish({13, "second", {}});
  stream.Cut({14, "third", {}});
  Pump();
  EXPECT_EQ(response(id).code(), "5");
  EXPECT_EQ(response(id).message(), "first");
}

// Would break if the sweep could not find a reader that does not read, or found one that does.
TEST_F(SessionResponseTest, OnlyWhatIsInFlightIsTimed) {
  Open(0);
  const int32_t id = BeginCall();
  call().stream().SendHeaders({});
  Pump();
  EXPECT_EQ(loop_.writing().oldest(), nullptr) << "nothing to say";
  call().Say("1");
  ASSERT_EQ(loop_.writing().oldest(), &call().stream());
  const absl::Time since = loop_.now();
  Advance(absl::Seconds(1));
  call().Say("2");
  Pump();
  EXPECT_EQ(call().stream().since(), since) << "since it was first kept waiting";
  client_->OpenWindow(id, 100);
  Pump();
  EXPECT_EQ(loop_.writing().oldest(), nullptr);
  EXPECT_THAT(response(id).messages(), ElementsAre("1", "2"));
}

// Would break if a stalled reader held up, or were told by, anybody but itself.
TEST_F(SessionResponseTest, AStalledStreamLeavesItsNeighboursAlone) {
  Open(10);
  const int32_t stalled = BeginCall(), other = BeginCall();
  call(0).Say(std::string(1'000, 'x'));
  for (int i = 0; i < 50; ++i) {
    call(1).Say("hello");
    Pump();
    client_->OpenWindow(other, 10);
  }
  EXPECT_EQ(response(other).messages().size(), 50u);
  call(0).stream().OnStalled(absl::Minutes(2));
  Pump();
  EXPECT_EQ(response(stalled).code(), "14");
  EXPECT_FALSE(response(other).ended);
}

}  // namespace
}  // namespace meshgate::server::wire
