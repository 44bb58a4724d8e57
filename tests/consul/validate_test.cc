#include "consul/validate.h"

#include <functional>
#include <string>
#include <vector>

#include "consul/base/errors.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace meshgate::consul {
namespace {

// The field an INVALID_ARGUMENT names, "" for OK.
std::string BadField(const absl::Status& status) {
  if (status.ok()) return "";
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  google::rpc::BadRequest bad;
  if (!payload || !bad.ParseFromString(std::string(*payload)) || bad.field_violations_size() != 1) return "?";
  return bad.field_violations(0).field();
}

struct TextCase {
  std::string text;
  bool valid;
};

// Keys that Consul would redirect, mangle or refuse would be written under another name, or read as missing.
TEST(ValidateTest, Keys) {
  const std::vector<TextCase> cases = {
      {"a", true},
      {"payments/prod/db/url", true},
      {"a/", true},
      {"a/b/", true},
      {"...", true},
      {"a/.hidden", true},
      {"a/..b", true},
      {"sp ace?#%", true},
      {"gr\xC3\xBC\xC3\x9F/\xF0\x9F\x98\x80", true},
      {std::string(1024, 'k'), true},
      {"", false},
      {std::string(1025, 'k'), false},
      {"/", false},
      {"/a", false},
      {"a//b", false},
      {"a//", false},
      {".", false},
      {"..", false},
      {"./a", false},
      {"a/./b", false},
      {"a/../b", false},
      {"a/..", false},
      {"a/.", false},
      {"../agent/self", false},
      {"a\nb", false},
      {std::string("a\0b", 3), false},
      {"a\x7F", false},
      {"a\xC2\x85z", false},        // next line, a C1 control
      {"a\xFF", false},             // never in UTF-8
      {"a\xC0\xAF", false},         // overlong slash
      {"a\xED\xA0\x80", false},     // surrogate
      {"a\xE2\x82", false},         // cut off
      {"\xF4\x90\x80\x80", false},  // above U+10FFFF
      {"\x80", false},
      {"\xE0\x80\xAF", false},
  };
  for (const TextCase& c : cases) {
    const absl::Status status = ValidateKey("key", c.text);
    EXPECT_EQ(status.ok(), c.valid) << testing::PrintToString(c.text) << " " << status;
    if (!status.ok()) {
      EXPECT_EQ(BadField(status), "key");
      EXPECT_EQ(ReasonOf(status), reason::kInvalidKey);
    }
  }
}

// A prefix may be anything that a valid key can begin with, and nothing else.
TEST(ValidateTest, Prefixes) {
  EXPECT_TRUE(ValidatePrefix("prefix", "").ok());
  EXPECT_TRUE(ValidatePrefix("prefix", "cfg/n").ok());
  EXPECT_TRUE(ValidatePrefix("prefix", "cfg/").ok());
  EXPECT_EQ(BadField(ValidatePrefix("prefix", "/cfg")), "prefix");
  EXPECT_TRUE(ValidatePrefix("prefix", "cfg/..").ok());
  EXPECT_TRUE(ValidatePrefix("prefix", ".").ok());
  EXPECT_EQ(BadField(ValidatePrefix("prefix", "cfg/../")), "prefix");
  EXPECT_EQ(BadField(ValidatePrefix("prefix", "./a")), "prefix");
  EXPECT_EQ(BadField(ValidatePrefix("prefix", std::string(1025, 'k'))), "prefix");
}

// Consul's limit holds to the byte, and the error says that it was the size.
TEST(ValidateTest, Values) {
  EXPECT_TRUE(ValidateValue("value", "").ok());
  EXPECT_TRUE(ValidateValue("value", std::string(kMaxValueBytes, '\xFF')).ok());
  const absl::Status status = ValidateValue("operations[3].put.value", std::string(kMaxValueBytes + 1, 'v'));
  EXPECT_EQ(BadField(status), "operations[3].put.value");
  EXPECT_EQ(ReasonOf(status), reason::kValueTooLarge);
}

// A service's name is part of DNS names.
TEST(ValidateTest, ServiceNames) {
  for (const char* good : {"a", "Web-1", "0", "a--b"}) EXPECT_TRUE(ValidateServiceName("service", good).ok()) << good;
  EXPECT_TRUE(ValidateServiceName("service", std::string(63, 'a')).ok());
  for (const char* bad : {"", "-a", "a-", "a_b", "a.b", "a b", "a/b", "\xC3\xBC"}) {
    EXPECT_EQ(BadField(ValidateServiceName("service", bad)), "service") << bad;
  }
  EXPECT_EQ(BadField(ValidateServiceName("service", std::string(64, 'a'))), "service");
}

// An instance whose id can't be put into a path could never be deregistered.
TEST(ValidateTest, InstanceIds) {
  for (const char* good : {"a", "web 1", "web:1.2_x", "\xC3\xBC", "...", "a?b"}) {
    EXPECT_TRUE(ValidateInstanceId("id", good).ok()) << good;
  }
  EXPECT_TRUE(ValidateInstanceId("id", std::string(255, 'a')).ok());
  for (const char* bad : {"", "a/b", " a", "a ", "a\n",
                          "\xC2\xA0"
                          "a",
                          "a\xE3\x80\x80", ".", "..", "\xFF"}) {
    EXPECT_EQ(BadField(ValidateInstanceId("id", bad)), "id") << testing::PrintToString(bad);
  }
  EXPECT_EQ(BadField(ValidateInstanceId("id", std::string(256, 'a'))), "id");
}

// A datacenter is a parameter of a query and the name of nothing else.
TEST(ValidateTest, Datacenters) {
  for (const char* good : {"", "dc1", "eu-west_1"}) EXPECT_TRUE(ValidateDatacenter("datacenter", good).ok());
  for (const char* bad : {"a b", "a&token=x", "a.b", "\xC3\xBC"}) {
    EXPECT_EQ(BadField(ValidateDatacenter("datacenter", bad)), "datacenter");
  }
}

CheckDefinition HttpCheck(std::string url = "http://127.0.0.1:8080/health") {
  CheckDefinition check;
  check.probe = HttpProbe{std::move(url), "", {}, false};
  check.interval = absl::Seconds(10);
  return check;
}

CheckDefinition TcpCheck(std::string address) {
  CheckDefinition check;
  check.probe = TcpProbe{std::move(address)};
  check.interval = absl::Seconds(1);
  return check;
}

CheckDefinition GrpcCheck(std::string target) {
  CheckDefinition check;
  check.probe = GrpcProbe{std::move(target), false};
  check.interval = absl::Seconds(1);
  return check;
}

CheckDefinition TtlCheck(absl::Duration ttl = absl::Seconds(15)) {
  CheckDefinition check;
  check.probe = TtlProbe{ttl};
  return check;
}

Registration Valid() {
  Registration r;
  r.id = "web-1";
  r.service = "web";
  r.address = "10.0.0.7";
  r.port = 8080;
  r.tags = {"v2", "canary"};
  r.meta = {{"version", "2"}, {"my-key_1", ""}};
  r.checks = {TtlCheck(), HttpCheck(), TcpCheck("localhost:80"), GrpcCheck("[::1]:50051/my.Service")};
  return r;
}

struct RegistrationCase {
  std::function<void(Registration&)> change;
  std::string field;  // Empty: valid.
};

// The agent accepts ports of -1, ids with slashes and probes of link-local files; a caller learns here which field is
// wrong.
TEST(ValidateTest, Registrations) {
  const auto header = [](std::string name, std::string value) {
    CheckDefinition check = HttpCheck();
    std::get<HttpProbe>(check.probe).headers[std::move(name)] = std::move(value);
    return check;
  };
  const auto method = [](std::string name) {
    CheckDefinition check = HttpCheck();
    std::get<HttpProbe>(check.probe).method = std::move(name);
    return check;
  };
  const auto with = [](CheckDefinition check, std::string field) {
    return RegistrationCase{[check](Registration& r) { r.checks = {check}; }, std::move(field)};
  };
  const auto changed = [&](std::function<void(CheckDefinition&)> change, std::string field) {
    CheckDefinition check = HttpCheck();
    change(check);
    return with(check, std::move(field));
  };
  const std::vector<RegistrationCase> cases = {
      {[](Registration&) {}, ""},
      {[](Registration& r) { r.id = "a/b"; }, "instance.id"},
      {[](Registration& r) { r.service = "a_b"; }, "instance.service"},
      {[](Registration& r) { r.address = ""; }, ""},
      {[](Registration& r) { r.address = "fe80::1"; }, ""},
      {[](Registration& r) { r.address = "db.internal."; }, ""},
      {[](Registration& r) { r.address = "a b"; }, "instance.address"},
      {[](Registration& r) { r.address = "http://a"; }, "instance.address"},
      {[](Registration& r) { r.address = "a..b"; }, "instance.address"},
      {[](Registration& r) { r.address = "2130706433"; }, "instance.address"},
      {[](Registration& r) { r.address = std::string("::1\0x", 5); }, "instance.address"},
      {[](Registration& r) { r.port = 0; }, ""},
      {[](Registration& r) { r.port = 65535; }, ""},
      {[](Registration& r) { r.port = 65536; }, "instance.port"},
      {[](Registration& r) { r.tags[1] = ""; }, "instance.tags[1]"},
      {[](Registration& r) { r.tags[0] = "a\nb"; }, "instance.tags[0]"},
      {[](Registration& r) { r.tags[0] = "\xFF"; }, "instance.tags[0]"},
      {[](Registration& r) { r.tags.assign(64, std::string(255, 't')); }, ""},
      {[](Registration& r) { r.tags.assign(65, "t"); }, "instance.tags"},
      {[](Registration& r) { r.tags[0] = std::string(256, 't'); }, "instance.tags[0]"},
      {[](Registration& r) { r.meta[""] = "x"; }, "instance.meta"},
      {[](Registration& r) { r.meta["a.b"] = "x"; }, "instance.meta"},
      {[](Registration& r) { r.meta[std::string(128, 'k')] = "x"; }, ""},
      {[](Registration& r) { r.meta[std::string(129, 'k')] = "x"; }, "instance.meta"},
      {[](Registration& r) { r.meta["k"] = std::string(512, 'v'); }, ""},
      {[](Registration& r) { r.meta["k"] = std::string(513, 'v'); }, "instance.meta[k]"},
      {[](Registration& r) { r.meta["k"] = "\xFF"; }, "instance.meta[k]"},
      {[](Registration& r) { r.meta["consul-version"] = "1"; }, "instance.meta[consul-version]"},
      {[](Registration& r) {
         r.meta.clear();
         for (int i = 0; i < 64; ++i) r.meta["k" + std::to_string(i)] = "v";
       },
       ""},
      {[](Registration& r) {
         for (int i = 0; i < 64; ++i) r.meta["k" + std::to_string(i)] = "v";
       },
       "instance.meta"},
      {[](Registration& r) { r.weight_passing = 0; }, "instance.weights.passing"},
      {[](Registration& r) { r.weight_passing = 65536; }, "instance.weights.passing"},
      {[](Registration& r) { r.weight_warning = 0; }, ""},
      {[](Registration& r) { r.weight_warning = -1; }, "instance.weights.warning"},
      {[](Registration& r) { r.checks.clear(); }, ""},
      {[](Registration& r) { r.checks.push_back(TtlCheck()); }, "checks[4].ttl"},
      with(TtlCheck(absl::Milliseconds(999)), "checks[0].ttl"),
      with(TtlCheck(absl::Seconds(-1)), "checks[0].ttl"),
      with(TtlCheck(absl::InfiniteDuration()), "checks[0].ttl"),
      {[](Registration& r) { r.checks[0].interval = absl::Seconds(1); }, "checks[0].interval"},
      changed([](CheckDefinition& c) { c.interval = absl::ZeroDuration(); }, "checks[0].interval"),
      changed([](CheckDefinition& c) { c.interval = absl::Milliseconds(1); }, "checks[0].interval"),
      changed([](CheckDefinition& c) { c.interval = absl::Seconds(-5); }, "checks[0].interval"),
      changed([](CheckDefinition& c) { c.interval = absl::Seconds(1); }, ""),
      changed([](CheckDefinition& c) { c.timeout = absl::Seconds(-1); }, "checks[0].timeout"),
      changed([](CheckDefinition& c) { c.deregister_critical_after = absl::Seconds(59); },
              "checks[0].deregister_critical_after"),
      changed([](CheckDefinition& c) { c.deregister_critical_after = absl::Seconds(-1); },
              "checks[0].deregister_critical_after"),
      changed([](CheckDefinition& c) { c.deregister_critical_after = absl::Minutes(1); }, ""),
      changed([](CheckDefinition& c) { c.initial_status = Health::kWarning; }, ""),
      changed([](CheckDefinition& c) { c.initial_status = Health::kMaintenance; }, "checks[0].initial_status"),
      changed([](CheckDefinition& c) { c.name = "a\tb"; }, "checks[0].name"),
      with(HttpCheck("HTTPS://[::1]:8443/x?y#z"), ""),
      with(HttpCheck("http://host"), ""),
      with(HttpCheck(""), "checks[0].http.url"),
      with(HttpCheck("file:///etc/passwd"), "checks[0].http.url"),
      with(HttpCheck("host:80"), "checks[0].http.url"),
      with(HttpCheck("http://"), "checks[0].http.url"),
      with(HttpCheck("http:///path"), "checks[0].http.url"),
      with(HttpCheck("http://:80/"), "checks[0].http.url"),
      with(HttpCheck("http://h:0/"), "checks[0].http.url"),
      with(HttpCheck("http://h:65536/"), "checks[0].http.url"),
      with(HttpCheck("http://h:/"), "checks[0].http.url"),
      with(HttpCheck("http://a@b/"), "checks[0].http.url"),
      with(HttpCheck("http://h/a b"), "checks[0].http.url"),
      with(HttpCheck("http://h/\r\nX: y"), "checks[0].http.url"),
      with(HttpCheck("http://[::1/"), "checks[0].http.url"),
      with(method("HEAD"), ""),
      with(method("GET / HTTP/1.1\r\n"), "checks[0].http.method"),
      with(header("X-Probe", "a\tb \xC3\xBC"), ""),
      with(header(std::string(256, 'X'), std::string(4096, 'v')), ""),
      with(header(std::string(257, 'X'), "a"), "checks[0].http.headers"),
      with(header("X-Probe", std::string(4097, 'v')), "checks[0].http.headers[X-Probe]"),
      changed(
          [](CheckDefinition& c) {
            for (int i = 0; i < 65; ++i) std::get<HttpProbe>(c.probe).headers["X" + std::to_string(i)] = "v";
          },
          "checks[0].http.headers"),
      with(method(std::string(33, 'G')), "checks[0].http.method"),
      with(header("X Probe", "a"), "checks[0].http.headers"),
      with(header("", "a"), "checks[0].http.headers"),
      with(header("X-Probe", "a\r\nEvil: 1"), "checks[0].http.headers[X-Probe]"),
      with(TcpCheck("127.0.0.1:65535"), ""),
      with(TcpCheck("[fe80::1%lo]:80"), "checks[0].tcp.address"),
      with(TcpCheck("[::ffff:10.0.0.1]:80"), ""),
      with(TcpCheck("169.254.1.1.example:80"), ""),
      with(GrpcCheck("0x7f000001:80/x"), "checks[0].grpc.target"),
      with(HttpCheck("http://127.1/latest"), "checks[0].http.url"),
      with(HttpCheck("http://010.0.0.1/latest"), "checks[0].http.url"),
      with(HttpCheck("http://10.0.0.1./latest"), "checks[0].http.url"),
      with(HttpCheck("http://0x/latest"), "checks[0].http.url"),
      with(HttpCheck("http://web.0x7f/latest"), "checks[0].http.url"),
      with(HttpCheck("http://%31%32%37.0.0.1/latest"), "checks[0].http.url"),
      with(HttpCheck("http://good.example@10.0.0.1/"), "checks[0].http.url"),
      with(HttpCheck("http://good.example\\@10.0.0.1/"), "checks[0].http.url"),
      with(HttpCheck("http://169.254.169.254./latest"), "checks[0].http.url"),
      with(HttpCheck("http://2852039166/latest"), "checks[0].http.url"),
      with(HttpCheck("http://0xA9FEA9FE/latest"), "checks[0].http.url"),
      with(HttpCheck("http://0251.0376.0251.0376/latest"), "checks[0].http.url"),
      with(HttpCheck("http://[fe80::1%25lo]/"), "checks[0].http.url"),
      with(TcpCheck("127.0.0.1"), "checks[0].tcp.address"),
      with(TcpCheck(""), "checks[0].tcp.address"),
      with(TcpCheck("127.0.0.1:0"), "checks[0].tcp.address"),
      with(TcpCheck("127.0.0.1:+80"), "checks[0].tcp.address"),
      with(TcpCheck("127.0.0.1:99999"), "checks[0].tcp.address"),
      with(TcpCheck("::1:80"), "checks[0].tcp.address"),
      with(TcpCheck("[::1]80"), "checks[0].tcp.address"),
      with(TcpCheck("[localhost]:80"), "checks[0].tcp.address"),
      with(TcpCheck("a b:80"), "checks[0].tcp.address"),
      with(GrpcCheck("h:1"), ""),
      with(GrpcCheck("h"), "checks[0].grpc.target"),
      with(GrpcCheck("h:1/"), "checks[0].grpc.target"),
      with(GrpcCheck("h:1/a\nb"), "checks[0].grpc.target"),
      with(GrpcCheck("/svc"), "checks[0].grpc.target"),
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    Registration r = Valid();
    cases[i].change(r);
    const absl::Status status = ValidateRegistration(r);
    EXPECT_EQ(BadField(status), cases[i].field) << "case " << i << " " << status;
  }
}

// A commit beyond Consul's limits would be refused by Consul in words about itself, or cost a transfer first.
TEST(ValidateTest, CommitSize) {
  std::vector<KvOperation> operations;
  EXPECT_EQ(BadField(ValidateCommitSize("operations", operations)), "operations");
  operations.resize(64, DeleteKeyOperation{"a"});
  EXPECT_EQ(BadField(ValidateCommitSize("operations", operations)), "");
  operations.push_back(DeletePrefixOperation{"a"});
  EXPECT_EQ(BadField(ValidateCommitSize("operations", operations)), "operations");

  PutOperation put;
  put.entry.key = "k";
  put.entry.value.assign(393000, 'v');
  operations = {put};
  EXPECT_EQ(CommitBytes(operations), 128 + 1 + 524000u);
  EXPECT_EQ(BadField(ValidateCommitSize("operations", operations)), "");
  operations = {put, DeleteKeyOperation{std::string(31, 'k')}};
  EXPECT_EQ(CommitBytes(operations), kMaxCommitBytes);
  EXPECT_EQ(BadField(ValidateCommitSize("operations", operations)), "");
  operations = {put, DeleteKeyOperation{std::string(30, 'k') + '"'}};
  const absl::Status status = ValidateCommitSize("operations", operations);
  EXPECT_EQ(BadField(status), "operations");
  EXPECT_EQ(ReasonOf(status), reason::kValueTooLarge);
}

}  // namespace
}  // namespace meshgate::consul
