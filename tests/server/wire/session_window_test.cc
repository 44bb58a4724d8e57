#include <gmock/gmock.h>

#include "tests/server/wire/frames.h"
#include "tests/server/wire/session_fixture.h"

namespace meshgate::server::wire {
namespace {

using testing::Bytes32;
using ::testing::ElementsAre;
using testing::Frame;
using ::testing::SizeIs;

std::string WindowUpdate(uint32_t stream, uint32_t increment) {
  return Frame(NGHTTP2_WINDOW_UPDATE, 0, stream, Bytes32(increment));
}

std::string InitialWindow(uint32_t size) {
  return Frame(NGHTTP2_SETTINGS, 0, 0, Bytes32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE).substr(2) + Bytes32(size));
}

constexpr uint32_t kMaxWindow = 0x7fffffff;

class SessionWindowTest : public SessionFixture {
 protected:
  // How many bytes of DATA `stream` is sent now. The client does not see them.
  size_t Sent(int32_t stream) {
    size_t bytes = 0;
    do {
      out_.clear();
      EXPECT_TRUE(session_->Produce(&out_, kPlenty));
      bytes += DataOf(stream, out_);
    } while (!out_.empty());
    return bytes;
  }

 private:
  static size_t DataOf(int32_t stream, std::string_view out) {
    size_t bytes = 0;
    for (size_t at = 0; at + 9 <= out.size();) {
      const auto byte = [&](size_t i) { return uint32_t{static_cast<uint8_t>(out[at + i])}; };
      const uint32_t length = byte(0) << 16 | byte(1) << 8 | byte(2);
      if (byte(3) == NGHTTP2_DATA && byte(8) == static_cast<uint32_t>(stream)) {
        bytes += length;
      }
      at += 9 + length;
    }
    return bytes;
  }

  std::string out_;
};

// Would break if a peer whose windows make no sense were served on, and in the end sent more than it takes.
TEST_F(SessionWindowTest, TooLargeOfTheConnection) {
  Open();
  BeginCall();
  EXPECT_TRUE(session_->Receive(WindowUpdate(0, kMaxWindow - 65535)));
  Pump();
  EXPECT_FALSE(session_->Done());
  session_->Receive(WindowUpdate(0, 1));
  Pump();
  EXPECT_TRUE(session_->Done());
  ASSERT_THAT(client_->go_aways(), SizeIs(1));
  EXPECT_EQ(client_->go_aways()[0].error, uint32_t{NGHTTP2_FLOW_CONTROL_ERROR});
}

// Would break if one stream's nonsense were held against the others.
TEST_F(SessionWindowTest, TooLargeOfAStream) {
  Open();
  const int32_t bad = BeginCall(), good = BeginCall();
  EXPECT_TRUE(session_->Receive(WindowUpdate(static_cast<uint32_t>(bad), kMaxWindow)));
  Pump();
  EXPECT_EQ(response(bad).closed, NGHTTP2_FLOW_CONTROL_ERROR);
  EXPECT_THAT(call(0).closed, ElementsAre(Why::kCancelled));
  call(1).Say("hello");
  Pump();
  EXPECT_THAT(response(good).messages(), ElementsAre("hello"));
}

// Would break if SETTINGS could do what WINDOW_UPDATEs may not, or if windows that were used up since were held
// against a peer.
TEST_F(SessionWindowTest, TooLargeBySettings) {
  Open();
  const auto id = static_cast<uint32_t>(BeginCall());
  EXPECT_TRUE(session_->Receive(WindowUpdate(0, 100'000) + WindowUpdate(id, 100'000)));
  call().Say(std::string(99'995, 'x'));
  EXPECT_EQ(Sent(call().stream().id()), 100'000u);
  EXPECT_TRUE(session_->Receive(InitialWindow(kMaxWindow)));
  Produce();
  EXPECT_FALSE(session_->Done());
  EXPECT_TRUE(session_->Receive(InitialWindow(0) + WindowUpdate(id, 1) + InitialWindow(kMaxWindow - 1)));
  Produce();
  EXPECT_FALSE(session_->Done());
  session_->Receive(InitialWindow(kMaxWindow));
  Produce();
  EXPECT_TRUE(session_->Done());
}

// Would break if SETTINGS that make windows smaller, below nothing even, were not heeded, or stayed so for good.
TEST_F(SessionWindowTest, SmallerBySettings) {
  Open(1'000);
  const int32_t id = BeginCall();
  call().Say(std::string(10'000, 'x'));
  EXPECT_EQ(Sent(id), 1'000u);
  session_->Receive(InitialWindow(400));
  session_->Receive(WindowUpdate(static_cast<uint32_t>(id), 600));
  EXPECT_EQ(Sent(id), 0u) << "there is a debt";
  session_->Receive(WindowUpdate(static_cast<uint32_t>(id), 1));
  EXPECT_EQ(Sent(id), 1u);
  session_->Receive(InitialWindow(500));
  EXPECT_EQ(Sent(id), 100u);
  session_->Receive(InitialWindow(100'000));
  EXPECT_EQ(Sent(id), 10'005u - 1'101u);
}

// Would break if the connection's room went to whoever comes first alone, or was exceeded.
TEST_F(SessionWindowTest, TheConnectionsIsShared) {
  Open(1 << 20);
  const int32_t first = BeginCall(), second = BeginCall();
  const auto big = std::string(100'000, 'x');
  call(0).Say(big);
  call(1).Say(big);
  Pump();
  EXPECT_EQ(response(first).data.size() + response(second).data.size(), 65'535u);
  EXPECT_LE(response(first).data.size(), 2 * SendQueue::kFrameBytes);
  EXPECT_LE(response(second).data.size(), 2 * SendQueue::kFrameBytes);
  client_->OpenWindow(0, 1'000'000);
  Pump();
  EXPECT_THAT(response(first).messages(), ElementsAre(big));
  EXPECT_THAT(response(second).messages(), ElementsAre(big));
}

// Would break if a connection ended after 2 GiB because somebody added up what its peer has let pass.
TEST_F(SessionWindowTest, LivesLong) {
  Open();
  const int32_t id = BeginCall();
  constexpr uint32_t kSize = 64 << 10;
  for (uint64_t sent = 0; sent <= uint64_t{kMaxWindow} + kSize; sent += kSize) {
    ASSERT_TRUE(session_->Receive(WindowUpdate(0, kSize) + WindowUpdate(static_cast<uint32_t>(id), kSize)));
    call().Say(std::string(kSize - 5, 'x'));
    ASSERT_EQ(Sent(id), kSize);
    ASSERT_FALSE(session_->Done());
  }
  EXPECT_TRUE(call().closed.empty());
}

}  // namespace
}  // namespace meshgate::server::wire
