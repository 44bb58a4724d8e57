#include "consul/http/agents.h"

#include <gtest/gtest.h>

namespace meshgate::consul::http {
namespace {

// A single agent would be given up for nobody, or be asked without a pause.
TEST(AgentsTest, OneIsAlwaysTheOne) {
  Agents agents({"a"});
  EXPECT_FALSE(agents.OnAway());
  EXPECT_FALSE(agents.OnAway());
  EXPECT_EQ(agents.candidate(), "a");
  EXPECT_FALSE(agents.OnAnswered());
  EXPECT_EQ(agents.current(), "a");
}

// The others would not be asked, or asked without a pause when all are away.
TEST(AgentsTest, AwayMeansTheNextRoundAndRound) {
  Agents agents({"a", "b", "c"});
  EXPECT_TRUE(agents.candidate_is_current());
  EXPECT_TRUE(agents.OnAway());
  EXPECT_EQ(agents.candidate(), "b");
  EXPECT_TRUE(agents.OnAway());
  EXPECT_EQ(agents.candidate(), "c");
  EXPECT_FALSE(agents.OnAway()) << "all have been asked: now a pause";
  EXPECT_EQ(agents.candidate(), "a");
  EXPECT_EQ(agents.current(), "a");
  EXPECT_TRUE(agents.OnAway());
  EXPECT_TRUE(agents.OnAnswered());
  EXPECT_EQ(agents.current(), "b");
}

// The gateway would go back and forth between agents that come and go, and registrations with it.
TEST(AgentsTest, StaysWhereItIs) {
  Agents agents({"a", "b"});
  agents.OnAway();
  EXPECT_TRUE(agents.OnAnswered());
  EXPECT_FALSE(agents.OnAnswered());
  EXPECT_EQ(agents.current(), "b");
  EXPECT_TRUE(agents.OnAway()) << "a round begins with the one in use";
  EXPECT_EQ(agents.candidate(), "a");
  agents.AskCurrent();
  EXPECT_FALSE(agents.OnAnswered());
  EXPECT_EQ(agents.current(), "b");
}

}  // namespace
}  // namespace meshgate::consul::http
