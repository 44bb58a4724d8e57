#include "consul/http/connection_policy.h"

#include <gtest/gtest.h>

namespace meshgate::consul::http {
namespace {

// A connection without TLS carries one request: more would wait behind others where a connection is free.
TEST(ConnectionPolicyTest, PlainConnectionsCarryOneEach) {
  ConnectionPolicy policy(8, /*tls=*/false);
  EXPECT_EQ(policy.limit(), 8);
  EXPECT_EQ(policy.allowed(), 8);
  EXPECT_FALSE(policy.Grow(7));
  EXPECT_FALSE(policy.OnAnswer(/*http2=*/false, 1));
  EXPECT_FALSE(policy.OnAnswer(/*http2=*/true, 1)) << "nobody offers it without TLS";
  EXPECT_EQ(policy.limit(), 8);
}

// A burst of watches would open a connection each, and exhaust Consul's limit.
TEST(ConnectionPolicyTest, SharedConnectionsOpenAsTheyFill) {
  ConnectionPolicy policy(3, /*tls=*/true);
  EXPECT_EQ(policy.limit(), 750);
  EXPECT_EQ(policy.allowed(), 1);
  EXPECT_FALSE(policy.Grow(199));
  EXPECT_TRUE(policy.Grow(200));
  EXPECT_EQ(policy.allowed(), 2);
  EXPECT_FALSE(policy.Grow(200));
  EXPECT_TRUE(policy.Grow(400));
  EXPECT_FALSE(policy.Grow(700)) << "no more than its share";
  EXPECT_EQ(policy.allowed(), 3);
}

// A peer that speaks HTTP/1.1 would hold up hundreds of calls behind each other.
TEST(ConnectionPolicyTest, OlderPeersGetAConnectionPerTransfer) {
  ConnectionPolicy policy(8, /*tls=*/true);
  EXPECT_TRUE(policy.OnAnswer(/*http2=*/false, 1));
  EXPECT_EQ(policy.limit(), 8);
  EXPECT_EQ(policy.allowed(), 8);
  EXPECT_FALSE(policy.OnAnswer(/*http2=*/false, 1));
  EXPECT_FALSE(policy.Grow(7));
}

// One answer of a proxy whose Consul was away would keep the number of watches low until the next restart.
TEST(ConnectionPolicyTest, SharingComesBack) {
  ConnectionPolicy policy(8, /*tls=*/true);
  policy.OnAnswer(/*http2=*/false, 1);
  EXPECT_TRUE(policy.OnAnswer(/*http2=*/true, 450));
  EXPECT_EQ(policy.limit(), 2000);
  EXPECT_EQ(policy.allowed(), 3);
}

}  // namespace
}  // namespace meshgate::consul::http
