#include "server/wire/frame_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/server/wire/frames.h"

namespace meshgate::server::wire {
namespace {

using testing::Bytes32;
using ::testing::ElementsAre;
using testing::Frame;
using ::testing::IsEmpty;
using testing::kPreface;
using ::testing::Pair;
using testing::RstStream;
using testing::Settings;

const absl::Time kStart = absl::UnixEpoch();

class FrameGuardTest : public ::testing::Test {
 protected:
  // What gets through, or nothing when the peer is flooding.
  std::optional<std::string> Feed(std::string_view bytes) {
    std::string passed;
    const auto pass = [&](std::string_view some) {
      EXPECT_FALSE(some.empty());
      passed += some;
      return true;
    };
    const bool fine = guard_.Feed(
        bytes, now_, pass, [&](int32_t stream, uint32_t increment) { windows_.emplace_back(stream, increment); });
    EXPECT_EQ(fine, !guard_.flooded());
    if (!fine) return std::nullopt;
    return passed;
  }
  // How many of `frame` get through, at most `most`.
  int Count(const std::string& frame, int most) {
    for (int i = 0; i < most; ++i) {
      if (!Feed(frame).has_value()) return i;
    }
    return most;
  }

  absl::Time now_ = kStart;
  FrameGuard guard_;
  // Given, as far as they are not for nghttp2: streams and increments.
  std::vector<std::pair<int32_t, uint32_t>> windows_;
};

// A session as C-core may make it: a call cancelled before its HEADERS have left among others.
struct Conversation {
  std::string sent, passes;
  void Add(const std::string& frame, bool through = true) {
    sent += frame;
    if (through) passes += frame;
  }
};

Conversation Talk() {
  Conversation talk;
  talk.Add(kPreface);
  talk.Add(Settings());
  talk.Add(Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, "header block"));
  talk.Add(RstStream(3), false);
  talk.Add(Frame(NGHTTP2_DATA, 0, 1, "some data"));
  talk.Add(Frame(NGHTTP2_WINDOW_UPDATE, 0, 1, Bytes32(0x01020304)), false);
  talk.Add(RstStream(5), false);
  talk.Add(Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, Bytes32(7)), false);
  talk.Add(RstStream(7), false);
  talk.Add(RstStream(1));
  talk.Add(Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 9, ""));
  talk.Add(RstStream(9));
  talk.Add(Frame(NGHTTP2_PING, 0, 0, "12345678"));
  return talk;
}

// Would break if where reads end made a difference to what nghttp2 sees.
TEST_F(FrameGuardTest, SplitAnywhere) {
  const Conversation talk = Talk();
  for (size_t first = 0; first <= talk.sent.size(); ++first) {
    for (size_t second = first; second <= talk.sent.size(); ++second) {
      guard_ = FrameGuard();
      windows_.clear();
      const std::string_view sent = talk.sent;
      std::string passed;
      for (const auto piece : {sent.substr(0, first), sent.substr(first, second - first), sent.substr(second)}) {
        const auto some = Feed(piece);
        ASSERT_TRUE(some.has_value());
        passed += *some;
      }
      ASSERT_EQ(passed, talk.passes) << first << " " << second;
      ASSERT_THAT(windows_, ElementsAre(Pair(1, 0x01020304), Pair(0, 7))) << first << " " << second;
    }
  }
  guard_ = FrameGuard();
  std::string passed;
  for (const char c : talk.sent) passed += *Feed(std::string_view(&c, 1));
  EXPECT_EQ(passed, talk.passes);
}

// Would break if a read of 64 KiB came to nghttp2 frame by frame, which costs.
TEST_F(FrameGuardTest, PassesInOnePieceWhatItLeavesAlone) {
  std::string bytes = kPreface + Settings();
  for (int i = 0; i < 100; ++i) bytes += Frame(NGHTTP2_DATA, 0, 1, "some data");
  int pieces = 0;
  EXPECT_TRUE(guard_.Feed(
      bytes, kStart, [&](std::string_view) { return ++pieces > 0; }, [](int32_t, uint32_t) {}));
  EXPECT_EQ(pieces, 1);
}

// Would break if what nghttp2 refuses were fed on to it.
TEST_F(FrameGuardTest, StopsWhenItsTakerDoes) {
  const Conversation talk = Talk();
  int pieces = 0;
  EXPECT_FALSE(guard_.Feed(
      talk.sent, kStart, [&](std::string_view) { return ++pieces < 2; }, [](int32_t, uint32_t) {}));
  EXPECT_EQ(pieces, 2);
  EXPECT_FALSE(guard_.flooded());
}

// Would break if a frame that only looks like the one that is dropped got lost: nghttp2 has to see what is wrong.
TEST_F(FrameGuardTest, DropsNoOther) {
  Feed(kPreface + Settings());
  for (const std::string& frame :
       {RstStream(0), Frame(NGHTTP2_RST_STREAM, 0, 3, "12345"), Frame(NGHTTP2_DATA, 0, 3, "x"),
        Frame(NGHTTP2_WINDOW_UPDATE, 0, 3, Bytes32(1)), Frame(NGHTTP2_HEADERS, 0, 1, "x")}) {
    EXPECT_EQ(Feed(frame), frame);
  }
}

// Would break if a WINDOW_UPDATE that is an error, for what it says or where it is, were taken for one: nghttp2 knows
// what follows from it.
TEST_F(FrameGuardTest, WindowUpdatesThatAreErrorsAreForNghttp2) {
  const auto update = [](uint32_t stream, uint32_t increment) {
    return Frame(NGHTTP2_WINDOW_UPDATE, 0, stream, Bytes32(increment));
  };
  const auto passes = [this](const std::string& frame) { EXPECT_EQ(Feed(frame), frame); };
  Feed(kPreface);
  passes(update(0, 1));
  Feed(Settings());
  passes(update(1, 1));
  passes(update(2, 1));
  passes(update(0, 0));
  passes(update(0, 0x80000000U));
  passes(Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, "12345"));
  Feed(Frame(NGHTTP2_HEADERS, 0, 1, "x"));
  passes(update(1, 1));
  passes(Frame(NGHTTP2_CONTINUATION, 0, 1, "x"));
  passes(update(0, 1));
  passes(Frame(NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, "x"));
  EXPECT_THAT(windows_, IsEmpty());
  EXPECT_EQ(Feed(update(1, 0x80000002U)), "");
  EXPECT_THAT(windows_, ElementsAre(Pair(1, 2)));
}

// Would break if the reserved bit of a stream's id made it another stream.
TEST_F(FrameGuardTest, IgnoresTheReservedBit) {
  Feed(kPreface + Frame(NGHTTP2_HEADERS, 0, 0x80000001U, ""));
  EXPECT_EQ(Feed(RstStream(1)), RstStream(1));
  EXPECT_EQ(Feed(RstStream(0x80000003U)), "");
}

// Would break if a peer that sends nothing but frames without content could keep a thread busy.
TEST_F(FrameGuardTest, EveryKindOfIdleFrameIsCounted) {
  const std::string kinds[] = {Frame(NGHTTP2_DATA, 0, 1),
                               Frame(NGHTTP2_PRIORITY, 0, 1, "12345"),
                               Frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0),
                               Frame(NGHTTP2_PING, 0, 0, "12345678"),
                               Frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "12345678"),
                               Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, Bytes32(1)),
                               Frame(0x77, 0, 0, std::string(100, 'x')),
                               RstStream(1),
                               RstStream(99)};
  for (const std::string& frame : kinds) {
    guard_ = FrameGuard();
    Feed(kPreface);
    EXPECT_EQ(Count(frame, 10'000), static_cast<int>(FrameGuard::kBurst)) << int{static_cast<uint8_t>(frame[3])};
    EXPECT_TRUE(guard_.flooded());
  }
}

// Would break if a peer could have us go through all of its streams as often as it can send nine bytes, or if a client
// that changes its windows now and then were cut off for that.
TEST_F(FrameGuardTest, WhatConcernsEveryStreamIsCountedByItself) {
  for (const std::string& frame : {Settings(), Frame(NGHTTP2_GOAWAY, 0, 0, Bytes32(0) + Bytes32(0))}) {
    guard_ = FrameGuard();
    Feed(kPreface);
    guard_.OnSent(1'000'000);
    EXPECT_EQ(Count(frame, 10'000), static_cast<int>(FrameGuard::kWideBurst));
    EXPECT_TRUE(guard_.flooded());
  }
  guard_ = FrameGuard();
  Feed(kPreface);
  for (int second = 0; second < 1'000; ++second) {
    now_ += absl::Seconds(1);
    ASSERT_EQ(Count(Settings(), static_cast<int>(FrameGuard::kWidePerSecond)),
              static_cast<int>(FrameGuard::kWidePerSecond));
  }
}

// For each nghttp2 looks through all streams, and a peer may send many at once; those that are errors are its to find.
TEST_F(FrameGuardTest, OneGoAwayPasses) {
  ASSERT_TRUE(Feed(std::string(kPreface) + Settings()).has_value());
  const std::string goaway = Frame(NGHTTP2_GOAWAY, 0, 0, Bytes32(0) + Bytes32(0) + "so long");
  EXPECT_EQ(Feed(goaway), goaway);
  EXPECT_EQ(Feed(goaway), "");
  const std::string wrong_stream = Frame(NGHTTP2_GOAWAY, 0, 1, Bytes32(0) + Bytes32(0));
  EXPECT_EQ(Feed(wrong_stream), wrong_stream);
  const std::string short_one = Frame(NGHTTP2_GOAWAY, 0, 0, Bytes32(0));
  EXPECT_EQ(Feed(short_one), short_one);
  const std::string large = Frame(NGHTTP2_GOAWAY, 0, 0, std::string((1 << 14) + 1, 'x'));
  EXPECT_EQ(Feed(large), large);
  const std::string headers = Frame(NGHTTP2_HEADERS, 0, 1, "begun");
  EXPECT_EQ(Feed(headers + goaway), headers + goaway);
}

// Would break if large requests were taken for a flood.
TEST_F(FrameGuardTest, WhatCarriesSomethingIsNotCounted) {
  Feed(kPreface);
  for (const std::string& frame :
       {Frame(NGHTTP2_DATA, 0, 1, "x"), Frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1),
        Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, "x"), Frame(NGHTTP2_CONTINUATION, 0, 1, "x")}) {
    EXPECT_EQ(Count(frame, 10'000), 10'000);
  }
}

// Would break if a connection that lives for days were cut for the pings of its life, or never was.
TEST_F(FrameGuardTest, TimeGivesCredit) {
  Feed(kPreface);
  const std::string ping = Frame(NGHTTP2_PING, 0, 0, "12345678");
  EXPECT_EQ(Count(ping, static_cast<int>(FrameGuard::kBurst)), static_cast<int>(FrameGuard::kBurst));
  for (int second = 0; second < 100; ++second) {
    now_ += absl::Seconds(1);
    ASSERT_EQ(Count(ping, static_cast<int>(FrameGuard::kPerSecond)), static_cast<int>(FrameGuard::kPerSecond));
  }
  now_ += absl::Hours(100);
  EXPECT_EQ(Count(ping, 10'000), static_cast<int>(FrameGuard::kBurst));
}

// Would break if a reader of a fast stream, which answers what it gets with WINDOW_UPDATEs and pings, were cut off.
TEST_F(FrameGuardTest, WhatIsSentGivesCredit) {
  Feed(kPreface);
  const std::string update = Frame(NGHTTP2_WINDOW_UPDATE, 0, 1, Bytes32(1));
  for (int i = 0; i < 10'000; ++i) {
    guard_.OnSent(1);
    ASSERT_EQ(Count(update, 2), 2);
  }
  // What was saved up is no more than a burst.
  guard_.OnSent(1'000'000);
  EXPECT_EQ(Count(update, 10'000), static_cast<int>(FrameGuard::kBurst));
}

}  // namespace
}  // namespace meshgate::server::wire
