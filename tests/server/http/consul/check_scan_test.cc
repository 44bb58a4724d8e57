// What bodies of registrations may have Consul do. Whatever Consul's decoder (Go's encoding/json) would find in one has
// to be found here, or the body be refused.
#include "server/http/consul/check_scan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"

namespace meshgate::server::consul_api {
namespace {

using consul::CheckAllowList;
using ::testing::HasSubstr;
using ::testing::Not;

// Of the service 10.0.0.5, with `rest` beside it.
std::string Service(const std::string& rest) { return R"({"Name":"web","Address":"10.0.0.5",)" + rest + "}"; }

class CheckScanTest : public ::testing::Test {
 protected:
  void ExpectAllowed(const std::string& body) { EXPECT_TRUE(Scan(body).ok()) << body << "\n" << Scan(body); }
  void ExpectRefused(const std::string& body) {
    EXPECT_EQ(Scan(body).code(), absl::StatusCode::kInvalidArgument) << body.substr(0, 500);
  }
  // Because of where it leads or what it is, not of how it is written.
  void ExpectNotAllowed(const std::string& body) {
    EXPECT_EQ(ReasonOf(Scan(body)), reason::kCheckNotAllowed) << body << "\n" << Scan(body);
  }
  absl::Status Scan(const std::string& body) { return ScanServiceChecks(body, allowed_); }

  CheckAllowList allowed_;
};

TEST_F(CheckScanTest, OwnAddressAndWhatIsNoProbe) {
  for (const char* rest : {
           R"("Port":80)",
           R"("Check":null)",
           R"("Checks":null)",
           R"("Checks":[])",
           R"("Checks":[null])",
           R"("Check":{})",
           R"("Check":{"TTL":"10s","Status":"passing","Notes":"n"})",
           R"("Check":{"HTTP":"http://10.0.0.5:8080/health?x=1#y","Interval":"10s","Method":"GET","Body":"b",)"
           R"("Header":{"a":["b"]},"TLSSkipVerify":true,"TLSServerName":"n","DisableRedirects":true})",
           R"("Check":{"HTTP":"HTTPS://10.0.0.5/"})",
           R"("Check":{"TCP":"10.0.0.5:80","TCPUseTLS":true,"SuccessBeforePassing":3})",
           R"("Check":{"GRPC":"10.0.0.5:80/a.b.C","GRPCUseTLS":true})",
           R"("Check":{"H2PING":"10.0.0.5:80","H2PingUseTLS":false})",
           R"("Check":{"AliasService":"db","AliasNode":"n"})",
           R"("Check":{"HTTP":"","Args":[],"ScriptArgs":null,"DockerContainerID":"","Shell":""})",
           R"("Checks":[{"tcp":"10.0.0.5:1"},{"ttl":"1s","deregister_critical_service_after":"1h"}])",
           R"("Connect":{"Native":true},"Proxy":{"Expose":{"Checks":true}},"Meta":{"check":"http://8.8.8.8"})",
           R"("Connect":{"SidecarService":{}})",
           R"("Connect":{"SidecarService":{"Check":{"TCP":"10.0.0.5:2"}}})",
           R"("Connect":{"SidecarService":{"Address":"10.0.0.6","Check":{"TCP":"10.0.0.6:2"}}})",
           R"("TaggedAddresses":{"lan":{"Address":"1.2.3.4","Port":1}})",
       }) {
    ExpectAllowed(Service(rest));
  }
}

// Would break if a check led where its registrant cannot go by himself.
TEST_F(CheckScanTest, OtherAddresses) {
  for (const char* probe :
       {R"("HTTP":"http://10.0.0.6/")", R"("HTTP":"http://web.example/")", R"("HTTP":"http://localhost/")",
        R"("HTTP":"http://127.0.0.1:8500/")", R"("HTTP":"http://[::1]/")", R"("HTTP":"http://169.254.169.254/latest")",
        R"("HTTP":"http://[fe80::1]/")", R"("HTTP":"http://[::ffff:169.254.169.254]/")",
        R"("HTTP":"http://100.100.100.200/")", R"("HTTP":"http://0.0.0.0/")", R"("TCP":"10.0.0.6:80")",
        R"("TCP":"metadata.google.internal:80")", R"("GRPC":"10.0.0.6:80")", R"("H2PING":"10.0.0.6:80")",
        R"("GRPC":"127.0.0.1:80/x")"}) {
    ExpectNotAllowed(Service(absl::StrCat(R"("Check":{)", probe, "}")));
    ExpectNotAllowed(Service(absl::StrCat(R"("Checks":[{"TTL":"1s"},{)", probe, "}]")));
    ExpectNotAllowed(Service(absl::StrCat(R"("Connect":{"SidecarService":{"Check":{)", probe, "}}}")));
    ExpectNotAllowed(absl::StrCat(R"({"Name":"web","Check":{)", probe, "}}"));
  }
  // Even where they are the instance's own.
  for (const char* own : {"127.0.0.1", "169.254.169.254", "localhost", "web.example"}) {
    ExpectNotAllowed(absl::StrCat(R"({"Address":")", own, R"(","Check":{"HTTP":"http://)", own, R"(/"}})"));
  }
}

// Would break if the operator's list counted for nothing, or for more than it says.
TEST_F(CheckScanTest, Listed) {
  allowed_ = CheckAllowList::Parse({"10.1.0.0/16", "127.0.0.1", "*.example"}).value();
  ExpectAllowed(Service(R"("Check":{"HTTP":"http://10.1.2.3/"})"));
  ExpectAllowed(Service(R"("Check":{"HTTP":"http://127.0.0.1/"})"));
  ExpectAllowed(Service(R"("Check":{"TCP":"a.example:1"})"));
  ExpectNotAllowed(Service(R"("Check":{"TCP":"127.0.0.2:1"})"));
  ExpectNotAllowed(Service(R"("Check":{"TCP":"example:1"})"));
}

// Would break if an address could be written so that the agent reads another one.
TEST_F(CheckScanTest, NotAnAddress) {
  for (const char* probe : {R"("HTTP":"file:///etc/passwd")",
                            R"("HTTP":"gopher://10.0.0.5/")",
                            R"("HTTP":"10.0.0.5")",
                            R"("HTTP":"//10.0.0.5")",
                            R"("HTTP":"http://10.0.0.5@10.0.0.6/")",
                            R"("HTTP":"http://10.0.0.5\\@10.0.0.6/")",
                            R"("HTTP":"http:10.0.0.5")",
                            R"("HTTP":"http://2130706433/")",
                            R"("HTTP":"http://0x7f.1/")",
                            R"("HTTP":"http://127.1/")",
                            R"("HTTP":"http://010.0.0.5/")",
                            R"("HTTP":" http://10.0.0.5/")",
                            R"("HTTP":"http://10.0.0.5 /")",
                            R"("HTTP":"http://10.0.0.5\u0000.evil/")",
                            R"("HTTP":"http://10.0.0.5%2f.evil/")",
                            R"("HTTP":"http:///")",
                            R"("TCP":"10.0.0.5")",
                            R"("TCP":":80")",
                            R"("TCP":"10.0.0.5:http")",
                            R"("TCP":"10.0.0.6,10.0.0.5:1")",
                            R"("GRPC":"unix:///var/run/docker.sock")",
                            R"("GRPC":"dns://8.8.8.8/10.0.0.5:1")",
                            R"("GRPC":"passthrough:///10.0.0.6:1")",
                            R"("H2PING":"http://10.0.0.5")",
                            R"("HTTP":["http://10.0.0.5"])",
                            R"("HTTP":{"x":"http://10.0.0.6"})",
                            R"("HTTP":5)",
                            R"("HTTP":true)"}) {
    ExpectRefused(Service(absl::StrCat(R"("Check":{)", probe, "}")));
  }
}

// Would break if whoever may register could run programs on the agent's host.
TEST_F(CheckScanTest, OtherKinds) {
  for (const char* probe :
       {R"("Args":["sh"])", R"("args":["sh"])", R"("ScriptArgs":["sh"])", R"("script_args":["sh"])", R"("Script":"sh")",
        R"("DockerContainerID":"c")", R"("docker_container_id":"c")", R"("Shell":"/bin/sh")", R"("UDP":"10.0.0.5:1")",
        R"("OSService":"sshd")", R"("os_service":"sshd")", R"("Proxy":"http://10.0.0.6")", R"("NewKind":1)",
        R"("ARG\u017f":["sh"])", R"("argſ":["sh"])", R"("ſcript_args":["sh"])", R"("":"x")"}) {
    ExpectNotAllowed(Service(absl::StrCat(R"("Check":{)", probe, "}")));
    ExpectNotAllowed(Service(absl::StrCat(R"("Check":{"TTL":"10s",)", probe, "}")));
    EXPECT_EQ(ReasonOf(ScanCheck(absl::StrCat("{", probe, "}"), allowed_)), reason::kCheckNotAllowed) << probe;
  }
}

// Would break if a name that Consul's decoder takes for a field's were not looked at: it compares them as Unicode folds
// them, in which the Kelvin sign is a "k" and the long s an "s".
TEST_F(CheckScanTest, NamesAreFolded) {
  const std::string evil = R"({"HTTP":"http://10.0.0.6/"})";
  for (const char* name : {"Check", "check", "CHECK", "cHeCk", "chec\u212A", "CHEC\\u212a", "\\u0043heck", "che_ck"}) {
    ExpectNotAllowed(Service(absl::StrCat("\"", name, "\":", evil)));
  }
  for (const char* name : {"Checks", "checks", "CHECKS", "check\u017F", "chec\u212A\\u017f", "_checks"}) {
    ExpectNotAllowed(Service(absl::StrCat("\"", name, "\":[", evil, "]")));
  }
  for (const char* name : {"SidecarService", "sidecarservice", "sidecar_service", "\u017Fidecar_\u017Fervice"}) {
    for (const char* connect : {"Connect", "connect", "CONNECT"}) {
      ExpectNotAllowed(Service(absl::StrCat("\"", connect, "\":{\"", name, "\":{\"check\":", evil, "}}")));
    }
  }
  for (const char* name : {"HTTP", "http", "hTtP", "ht_tp"}) {
    ExpectNotAllowed(Service(absl::StrCat(R"("check":{")", name, R"(":"http://10.0.0.6/"})")));
  }
  // The address is found as well.
  ExpectAllowed(R"({"addre_\u017fs":"10.0.0.5","check":{"tcp":"10.0.0.5:1"}})");
}

// Would break if one of two fields were looked at and Consul took the other, or what is merged from both.
TEST_F(CheckScanTest, FieldsThatAreThereTwice) {
  for (const char* body :
       {R"({"Check":{"TTL":"1s"},"Check":{"TTL":"1s"}})", R"({"Check":{"TTL":"1s"},"check":{"TTL":"1s"}})",
        R"({"Checks":[],"checks":[]})", R"({"Check":{"HTTP":"","HTTP":"http://10.0.0.6"}})",
        R"({"Check":{"HTTP":"http://10.0.0.6","HTTP":""}})", R"({"Check":{"TTL":"1s","ttl":"1s"}})",
        R"({"Check":{"Name":"a","n\u0061me":"b"}})", R"({"Checks":[{"TTL":"1s","TTL":"1s"}]})",
        R"({"Check":null,"check":null})", R"({"Connect":{"SidecarService":{},"sidecar_service":{}}})",
        R"({"Connect":{},"connect":{}})", R"({"Connect":{"SidecarService":{"Check":null,"Check":null}}})",
        R"({"Check":{"Timeout":"1s","Time\u006fut":"1s"}})",
        // Otherwise the check of one instance could lead to the address of another.
        R"({"Address":"10.0.0.6","address":"10.0.0.5","Check":{"TCP":"10.0.0.6:1"}})",
        R"({"addres\u017f":"10.0.0.6","address":"10.0.0.5","Check":{"TCP":"10.0.0.6:1"}})",
        R"({"Meta":{"a":"1","a":"2"}})"}) {
    ExpectRefused(body);
  }
}

// Would break if what Consul reads and what was looked at were two things: what Go refuses may pass, as Consul refuses
// it, what both read has to be the same.
TEST_F(CheckScanTest, NotJson) {
  for (const std::string& body :
       {std::string(""), std::string(" "), std::string("[]"), std::string("5"), std::string("\"x\""),
        std::string("[{\"Name\":\"web\"}]"), std::string("{"), std::string("{\"Name\":}"), std::string("{\"a\" 1}"),
        std::string("\xff\xfe{\0}\0", 6), std::string("{\"Name\":\"\xff\"}"), std::string("{\"\xff\":1}"),
        // Consul reads one value and lets the rest be.
        std::string(R"({"Name":"web"} {"Check":{"Args":["sh"]}})"), std::string(R"({"Name":"web"}})"),
        std::string("{\"Name\":\"web\"}\0{}", 17), std::string(R"({"Check":[{"Args":["sh"]}]})"),
        std::string(R"({"Check":"x"})"), std::string(R"({"Check":5})"), std::string(R"({"Check":true})"),
        std::string(R"({"Checks":{"Args":["sh"]}})"), std::string(R"({"Checks":"x"})"),
        std::string(R"({"Checks":[5]})"), std::string(R"({"Checks":[[{"Args":["sh"]}]]})"),
        std::string(R"({"Port":1e999})")}) {
    ExpectRefused(body);
  }
  // These are for Go to refuse; what they hold is found all the same.
  for (const char* body :
       {R"({'Check':{'Args':['sh']}})", R"({Check:{Args:["sh"]}})", R"({"Check":{"Args":["sh"],}})"}) {
    EXPECT_FALSE(Scan(body).ok()) << body;
  }
  ExpectRefused(R"({/* "Check":{"TTL":"1s"} */"Check":{"Args":["sh"]}})");
}

// Would break if a few kilobytes could exhaust the stack.
TEST_F(CheckScanTest, Deep) {
  for (const int depth : {200, 100'000}) {
    std::string lists, sidecars, objects;
    for (int i = 0; i < depth; ++i) lists += "[";
    for (int i = 0; i < depth; ++i) sidecars += R"({"Connect":{"SidecarService":)";
    for (int i = 0; i < depth; ++i) objects += R"({"a":)";
    ExpectRefused(Service("\"Meta\":" + lists));
    ExpectRefused(sidecars);
    ExpectRefused(objects + "5" + std::string(static_cast<size_t>(depth), '}'));
    if (depth > 1000) break;
  }
}

// Would break if a number that no check has stopped a registration, or the other way round.
TEST_F(CheckScanTest, Numbers) {
  ExpectAllowed(Service(R"("Port":8080,"Check":{"TTL":10000000000,"FailuresBeforeCritical":99999999999999999999})"));
  ExpectAllowed(Service(R"("Check":{"Interval":1e300,"TCP":"10.0.0.5:1"})"));
}

// Consul has no address for a check beside a service: only what is listed may be probed.
TEST_F(CheckScanTest, CheckOfItsOwn) {
  const auto scan = [this](const std::string& body) { return ScanCheck(body, allowed_); };
  EXPECT_TRUE(scan(R"({"Name":"mem","TTL":"15s","ServiceID":"web-1","Notes":"n","ID":"x"})").ok());
  EXPECT_TRUE(scan(R"({"Name":"db","AliasService":"db"})").ok());
  EXPECT_EQ(ReasonOf(scan(R"({"Name":"a","HTTP":"http://10.0.0.5/"})")), reason::kCheckNotAllowed);
  EXPECT_EQ(ReasonOf(scan(R"({"Name":"a","Address":"10.0.0.5","TCP":"10.0.0.5:1"})")), reason::kCheckNotAllowed);
  EXPECT_EQ(ReasonOf(scan(R"({"Name":"a","Check":{"TTL":"1s"}})")), reason::kCheckNotAllowed);
  EXPECT_FALSE(scan(R"({"Name":"a","TTL":"1s","TTL":"2s"})").ok());
  EXPECT_FALSE(scan(R"({"Name":"a","ttl":"1s","TTL":"2s"})").ok());
  EXPECT_FALSE(scan("").ok());
  EXPECT_FALSE(scan("[]").ok());
  allowed_ = CheckAllowList::OfThisHost();
  EXPECT_TRUE(scan(R"({"Name":"a","http":"http://localhost:8080/"})").ok());
}

// Would break if what somebody sent by mistake, a token among it, stood in the log, where errors are.
TEST_F(CheckScanTest, ErrorsHoldNoValues) {
  for (const char* body :
       {R"({"Token":"canary"x})", R"({"Token":"canary","Port":canary})", R"({"Token":"canary"} x)",
        R"({"Token":"canary)", "{\"Token\":\"canary\xff\"}", R"({"Check":{"HTTP":"ftp://canary/"}})"}) {
    EXPECT_FALSE(Scan(body).ok()) << body;
    EXPECT_THAT(std::string(Scan(body).message()), Not(HasSubstr("canary"))) << body;
  }
}

// Would break if who is refused were not told which field it is.
TEST_F(CheckScanTest, SaysWhere) {
  EXPECT_THAT(std::string(Scan(Service(R"("checks":[{"TTL":"1s"},{"args":["sh"]}])")).message()),
              HasSubstr("checks[1].args: "));
  EXPECT_THAT(
      std::string(Scan(Service(R"("Connect":{"sidecar_service":{"Check":{"HTTP":"http://10.0.0.6/"}}})")).message()),
      HasSubstr("Connect.sidecar_service.Check.HTTP: "));
}

}  // namespace
}  // namespace meshgate::server::consul_api
