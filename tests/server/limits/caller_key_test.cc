#include "server/limits/caller_key.h"

#include <gtest/gtest.h>

namespace meshgate::server::limits {
namespace {

// Each connection of a host would have a budget of its own, or all of one network's hosts the same.
TEST(AddressOfTest, HasNoPort) {
  EXPECT_EQ(AddressOf("ipv4:10.1.2.3:41234"), "ipv4:10.1.2.3");
  EXPECT_EQ(AddressOf("unix:"), "unix:");
  EXPECT_EQ(AddressOf(""), "");
}

// A host has 2^64 addresses of IPv6, and would have as many budgets.
TEST(AddressOfTest, TakesTheNetworkOfIpv6) {
  EXPECT_EQ(AddressOf("ipv6:[2001:db8:1:2:3:4:5:6]:443"), "ipv6:2001:db8:1:2::/64");
  EXPECT_EQ(AddressOf("ipv6:[2001:db8:1:2::1]:1"), AddressOf("ipv6:[2001:db8:1:2:ffff::]:2"));
  EXPECT_NE(AddressOf("ipv6:[2001:db8:1:3::1]:1"), AddressOf("ipv6:[2001:db8:1:2::1]:1"));
  // What a socket for both families calls an address of IPv4.
  EXPECT_EQ(AddressOf("ipv6:[::ffff:10.1.2.3]:1"), "ipv4:10.1.2.3");
  EXPECT_EQ(AddressOf("ipv6:[fe80::1%eth0]:1"), "ipv6:fe80::/64");
}

// A caller with a certificate would be limited with all others behind its address.
TEST(CallerKeyTest, IsTheCertificatesNameWhereThereIsOne) {
  Caller caller;
  caller.peer = "ipv4:10.1.2.3:41234";
  EXPECT_EQ(CallerKey(caller, nullptr), "ipv4:10.1.2.3");
  caller.tls_identity = "spiffe://example.org/web";
  EXPECT_EQ(CallerKey(caller, nullptr), "certificate:spiffe://example.org/web");
}

}  // namespace
}  // namespace meshgate::server::limits
