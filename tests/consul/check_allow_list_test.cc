#include "consul/check_allow_list.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <string>
#include <utility>
#include <vector>

#include "consul/base/errors.h"

namespace meshgate::consul {
namespace {

CheckDefinition Http(const std::string& url) {
  CheckDefinition check;
  check.probe = HttpProbe{url, "", {}, false};
  return check;
}
CheckDefinition Tcp(const std::string& address) {
  CheckDefinition check;
  check.probe = TcpProbe{address};
  return check;
}
CheckDefinition Grpc(const std::string& target) {
  CheckDefinition check;
  check.probe = GrpcProbe{target, false};
  return check;
}

CheckAllowList Listing(const std::vector<std::string>& entries) { return CheckAllowList::Parse(entries).value(); }

bool Allows(const CheckAllowList& list, const std::string& own, const CheckDefinition& check) {
  return !list.Refusal(own, check).has_value();
}

// Whoever registers would have Consul's agent look at the ports of any host of its network.
TEST(CheckAllowListTest, TheOwnAddressAlone) {
  const CheckAllowList nothing;
  for (const auto& [own, probed] : std::vector<std::pair<std::string, std::string>>{
           {"10.0.0.5", "10.0.0.5"}, {"10.0.0.5", "[::ffff:10.0.0.5]"}, {"2001:db8::5", "[2001:DB8:0::5]"}}) {
    EXPECT_TRUE(Allows(nothing, own, Http("http://" + probed + "/x"))) << probed;
    EXPECT_TRUE(Allows(nothing, own, Http("HTTPS://" + probed + ":8443"))) << probed;
    EXPECT_TRUE(Allows(nothing, own, Tcp(probed + ":80"))) << probed;
    EXPECT_TRUE(Allows(nothing, own, Grpc(probed + ":80/web"))) << probed;
  }
  for (const auto& [own, probed] : std::vector<std::pair<std::string, std::string>>{
           {"10.0.0.5", "10.0.0.6"}, {"", "10.0.0.5"}, {"web.example", "10.0.0.5"}, {"2001:db8::5", "[2001:db8::6]"}}) {
    EXPECT_FALSE(Allows(nothing, own, Http("http://" + probed + "/"))) << probed;
    EXPECT_FALSE(Allows(nothing, own, Tcp(probed + ":80"))) << probed;
    EXPECT_FALSE(Allows(nothing, own, Grpc(probed + ":80/web"))) << probed;
  }
  CheckDefinition ttl;
  ttl.probe = TtlProbe{absl::Seconds(5)};
  EXPECT_TRUE(Allows(nothing, "", ttl)) << "it connects to nothing";
}

// An instance says its own address itself: with that of the metadata service, of Consul's own host, or one of them in
// disguise, it would read credentials or what listens for the agent's host alone.
TEST(CheckAllowListTest, SpecialAddressesAreNobodysOwn) {
  const CheckAllowList most = Listing({"0.0.0.0/0", "::/0", "169.0.0.0/8", "fd00::/8"});
  for (const char* address : {"127.0.0.1",
                              "127.8.9.1",
                              "::1",
                              "::ffff:127.0.0.1",
                              "169.254.169.254",
                              "169.254.170.2",
                              "::ffff:169.254.169.254",
                              "fe80::1",
                              "febf::1",
                              "168.63.129.16",
                              "100.100.100.200",
                              "192.0.0.192",
                              "fd00:ec2::254",
                              "0.0.0.0",
                              "0.1.2.3",
                              "::",
                              "224.0.0.1",
                              "255.255.255.255",
                              "ff02::1",
                              "::169.254.169.254",
                              "::ffff:0:169.254.169.254",
                              "64:ff9b::a9fe:a9fe",
                              "64:ff9b:1::1",
                              "2001:0:1::1",
                              "2002:a9fe:a9fe::1"}) {
    const std::string host =
        std::string(address).find(':') == std::string::npos ? address : "[" + std::string(address) + "]";
    const CheckDefinition check = Http("http://" + host + "/latest");
    EXPECT_FALSE(Allows(CheckAllowList(), address, check)) << address;
    EXPECT_FALSE(Allows(most, address, check)) << address << ", though ranges around it are listed";
    EXPECT_TRUE(Allows(Listing({address}), "", check)) << address << ", though it is listed";
  }
  EXPECT_TRUE(Allows(most, "", Http("http://8.8.8.8/")));
  EXPECT_TRUE(Allows(most, "", Http("http://[fd00::1]/")));
  EXPECT_TRUE(Allows(Listing({"169.254.0.0/16"}), "", Tcp("169.254.1.1:80")));
}

// A name would be looked up after it was looked at, and lead to another address each time.
TEST(CheckAllowListTest, NamesHaveToBeListed) {
  EXPECT_FALSE(Allows(CheckAllowList(), "web.example", Http("http://web.example/")));
  EXPECT_FALSE(Allows(CheckAllowList(), "localhost", Http("http://localhost/")));
  const CheckAllowList list = Listing({"Web.example", "*.Svc.example."});
  for (const char* name : {"web.example", "WEB.EXAMPLE", "web.example.", "a.svc.example", "a.b.svc.example."}) {
    EXPECT_TRUE(Allows(list, "", Tcp(std::string(name) + ":80"))) << name;
  }
  for (const char* name :
       {"aweb.example", "a.web.example", "svc.example", "asvc.example", "svc.example.evil", "example"}) {
    EXPECT_FALSE(Allows(list, "", Tcp(std::string(name) + ":80"))) << name;
  }
}

// Ranges must end where they end.
TEST(CheckAllowListTest, Ranges) {
  const CheckAllowList list = Listing({"10.1.2.0/23", "2001:db8:8000::/33", "192.0.2.1", "172.16.0.0/12"});
  for (const char* address : {"10.1.2.0", "10.1.3.255", "192.0.2.1", "172.31.255.255"}) {
    EXPECT_TRUE(Allows(list, "", Tcp(std::string(address) + ":80"))) << address;
  }
  for (const char* address : {"10.1.1.255", "10.1.4.0", "192.0.2.0", "172.32.0.0"}) {
    EXPECT_FALSE(Allows(list, "", Tcp(std::string(address) + ":80"))) << address;
  }
  EXPECT_TRUE(Allows(list, "", Tcp("[2001:db8:ffff::1]:80")));
  EXPECT_FALSE(Allows(list, "", Tcp("[2001:db8:7fff::1]:80")));
  EXPECT_TRUE(Allows(Listing({"0.0.0.0/0"}), "", Tcp("[::ffff:10.0.0.1]:80")));
  EXPECT_FALSE(Allows(Listing({"::/0"}), "", Tcp("10.0.0.1:80"))) << "ranges of IPv6 have no IPv4 addresses";
}

// An entry that is not understood must not be left out, nor taken for another.
TEST(CheckAllowListTest, BadEntries) {
  for (const char* entry : {"",           " ",         "10.0.0.0/33",      "10.0.0.0/",    "10.0.0.0/-1", "10.0.0.0/+8",
                            "10.0.0.1/8", "::/129",    "::ffff:0.0.0.0/8", "10.0.0.0/8/8", "127.1",       "*",
                            "*.",         "*example",  "a*.example",       "web:80",       "http://web",  "[::1]",
                            "web/8",      "none of it"}) {
    EXPECT_EQ(CheckAllowList::Parse({"10.0.0.0/8", entry}).status().code(), absl::StatusCode::kInvalidArgument)
        << entry;
  }
}

// A caller learns which check it is, by a reason that programs can tell, and what to do.
TEST(CheckAllowListTest, SaysWhich) {
  Registration registration;
  registration.address = "10.0.0.5";
  registration.checks = {Http("http://10.0.0.5/"), Grpc("169.254.169.254:80")};
  const absl::Status status = CheckAllowList().Validate(registration);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), reason::kCheckNotAllowed);
  EXPECT_EQ(std::string(status.message()),
            "checks[1].grpc.target: 169.254.169.254 is a link-local address, which is probed only where the gateway's "
            "--check_allow lists it");
  registration.checks.pop_back();
  EXPECT_TRUE(CheckAllowList().Validate(registration).ok());
}

// The last line where a name has led somewhere.
TEST(CheckAllowListTest, WhereNamesMayLead) {
  const auto may = [](const CheckAllowList& list, const char* text) {
    if (std::string(text).find(':') == std::string::npos) {
      sockaddr_in v4{};
      v4.sin_family = AF_INET;
      inet_pton(AF_INET, text, &v4.sin_addr);
      return list.MayLeadTo(reinterpret_cast<const sockaddr*>(&v4));
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    inet_pton(AF_INET6, text, &v6.sin6_addr);
    return list.MayLeadTo(reinterpret_cast<const sockaddr*>(&v6));
  };
  EXPECT_TRUE(may(CheckAllowList(), "10.0.0.5"));
  EXPECT_TRUE(may(CheckAllowList(), "2001:db8::5"));
  for (const char* address : {"169.254.169.254", "::ffff:169.254.169.254", "127.0.0.1", "::1", "fe80::1"}) {
    EXPECT_FALSE(may(CheckAllowList(), address)) << address;
  }
  EXPECT_TRUE(may(CheckAllowList::OfThisHost(), "127.0.0.1"));
  EXPECT_FALSE(may(CheckAllowList::OfThisHost(), "169.254.169.254"));
  sockaddr other{};
  other.sa_family = AF_UNIX;
  EXPECT_FALSE(may(CheckAllowList::OfThisHost(), "::2") || CheckAllowList::OfThisHost().MayLeadTo(&other));
}

}  // namespace
}  // namespace meshgate::consul
