// What a connection can make the gateway hold.
#include <string>
#include <vector>

#include "tests/server/wire/session_fixture.h"

namespace meshgate::server::wire {
namespace {

class SessionMemoryTest : public SessionFixture {
 protected:
  SessionMemoryTest() { options_.max_held_bytes = 100'000; }
};

// Would break if a peer could have the gateway hold as much as it likes by beginning large messages and ending none, or
// if what was held once counted for ever.
TEST_F(SessionMemoryTest, UnfinishedRequestsAreBounded) {
  Open();
  const std::string most = Client::Framed(std::string(40'000, 'x')).substr(0, 39'000);
  std::vector<int32_t> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(BeginCall());
    client_->Send(ids.back(), most);
    ASSERT_TRUE(Pump());
  }
  EXPECT_FALSE(response(ids[0]).closed);
  EXPECT_FALSE(response(ids[1]).closed);
  EXPECT_EQ(response(ids[2]).code(), "8");
  // As much as they have room for.
  EXPECT_EQ(loop_.held().used(), 2 * 40'000u);

  // The others go on, and there is room again.
  client_->Send(ids[0], std::string(1'000 + kPrefixBytes, 'x'));
  ASSERT_TRUE(Pump());
  ASSERT_EQ(call(0).received.size(), 1u);
  Request(std::string(50'000, 'x'));
  EXPECT_EQ(call(3).received.size(), 1u);
  client_->Reset(ids[1]);
  ASSERT_TRUE(Pump());
  EXPECT_EQ(loop_.held().used(), 0u);
}

// Would break if a peer that asks and does not read could have the gateway hold any number of answers.
TEST_F(SessionMemoryTest, UntakenAnswersAreBounded) {
  Open(/*window=*/0);
  Request("1");
  Request("2");
  EXPECT_TRUE(call(0).stream().HoldAnswer(60'000));
  call(0).to_send.push_back(std::string(60'000, 'x'));
  call(0).stream().Finish({});
  EXPECT_FALSE(call(1).stream().HoldAnswer(60'000));
  EXPECT_EQ(loop_.held().used(), 60'000u);

  client_->OpenWindow(0, 1'000'000);
  client_->OpenWindow(1, 1'000'000);
  ASSERT_TRUE(Pump());
  EXPECT_EQ(loop_.held().used(), 0u);
  EXPECT_TRUE(call(1).stream().HoldAnswer(60'000));
  EXPECT_TRUE(session_->CloseSome(1));
  EXPECT_EQ(loop_.held().used(), 0u);
}

}  // namespace
}  // namespace meshgate::server::wire
