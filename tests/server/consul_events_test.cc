#include "server/consul_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/log.h"

namespace meshgate::server {
namespace {

using Breaker = consul::BackendReporter::Breaker;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Recorder final : public consul::BackendReporter {
 public:
  void OnRequest(consul::Endpoint, int http_code, absl::Duration) override { told.push_back(http_code); }
  void OnConnections(int open) override { told.push_back(open); }
  void OnBreaker(Breaker state) override { told.push_back(static_cast<int>(state)); }
  void OnAgent(std::string_view url) override { agents.emplace_back(url); }
  std::vector<int> told;
  std::vector<std::string> agents;
};

// Would break if an outage wrote a line for each probe, said nothing, or kept from the metrics what it had logged.
TEST(ConsulEventsTest, OneLineForEachChange) {
  std::vector<std::string> lines;
  SetUpLog(LogLevel::kInfo, LogFormat::kText, [&lines](std::string_view line) { lines.emplace_back(line); });
  Recorder next;
  ConsulEvents events(&next);
  int changes = 0;
  events.SetListener([&changes] { ++changes; });
  events.OnRequest(consul::Endpoint::kKv, 200, absl::ZeroDuration());
  events.OnConnections(7);
  events.OnBreaker(Breaker::kOpen);
  for (int i = 0; i < 10; ++i) {
    events.OnBreaker(Breaker::kHalfOpen);
    events.OnBreaker(Breaker::kOpen);
  }
  events.OnAgent("http://b:1");
  events.OnBreaker(Breaker::kHalfOpen);
  events.OnBreaker(Breaker::kClosed);
  SetUpLog(LogLevel::kError, LogFormat::kText);
  EXPECT_THAT(lines, ElementsAre(HasSubstr("does not answer"), HasSubstr("http://b:1"), HasSubstr("is back")));
  EXPECT_EQ(changes, 23);
  EXPECT_EQ(next.told.size(), 25u);
  EXPECT_THAT(next.agents, ElementsAre("http://b:1"));
}

}  // namespace
}  // namespace meshgate::server
