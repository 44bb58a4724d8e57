#include "server/auth/pair.h"

#include "meshgate/v1/config_service.pb.h"
#include "tests/server/auth/auth_harness.h"

namespace meshgate::server::auth {
namespace {

class PairTest : public AuthHarness {};

// A stream that is woken again and again while its question is under way must not fill the list of those that wait.
TEST_F(PairTest, AStreamWaitsOnce) {
  Authorizer authorizer(&backend_, &scheduler_, &reporter_, AuthorizerOptions());
  testing::TakingStream transport(&executor_, &scheduler_, &watch_reporter_);
  Pair::Stream stream;
  stream.wakeup = std::make_shared<consul::Wakeup>(transport.outbox().get());
  stream.opened = Pair::Tick();
  const auto pair = std::make_shared<Pair>(&hub_, &authorizer, authorizer.Identify("a"), Key("k"), consul::View());
  pair->Join(&stream);
  v1::WatchConfigResponse response;
  response.set_snapshot(true);
  auto message = std::make_shared<consul::Message>();
  message->bytes = response.SerializeAsString();
  const consul::SharedMessage shared = message;
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(pair->Decide(shared, stream).has_value());
  EXPECT_LE(stream.wakeup.use_count(), 2);
  Run();
  Allow("a", "k");
  Answer();
  // And while Consul does not tell.
  stream.established = true;
  stream.opened = Pair::Tick();
  EXPECT_FALSE(pair->Decide(shared, stream).has_value());
  Run();
  Advance(absl::Seconds(70));
  FailAll();
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(pair->Decide(shared, stream).has_value());
  EXPECT_LE(stream.wakeup.use_count(), 3);
  stream.wakeup->Forget();
  pair->Leave(&stream);
  Advance(absl::Seconds(2));
  FailAll();
}

}  // namespace
}  // namespace meshgate::server::auth
