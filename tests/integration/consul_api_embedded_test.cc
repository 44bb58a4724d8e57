// The `consul` command line before a gateway that has no Consul.
#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tests/integration/consul_api_calls.h"
#include "tests/testing/child_process.h"
#include "tests/testing/gateway_process.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// How a command ended, and what it has printed, errors included.
struct Outcome {
  int code = -1;
  std::string output;
};

class ConsulApiEmbeddedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    gateway_ = std::make_unique<GatewayProcess>(
        std::vector<std::string>{"--backend=embedded", "--data_dir=" + folder_.path() + "/data"});
    ASSERT_TRUE(gateway_->listening());
  }

  ChildProcess::Options Command(const std::string& command) {
    ChildProcess::Options options;
    options.arguments = {"sh", "-c", absl::StrCat("exec ", command, " 2>&1")};
    options.environment = {{"CONSUL_HTTP_ADDR", gateway_->http_address()}, {"HOME", folder_.path()}};
    return options;
  }
  Outcome Run(const std::string& command) {
    ChildProcess process(Command(command));
    Outcome outcome;
    outcome.output = process.ReadAll();
    const auto ended = process.Wait();
    if (ended.has_value()) outcome.code = ended->code.value_or(-1);
    return outcome;
  }
  void Expect(const std::string& command, int code, const std::string& output) {
    const Outcome outcome = Run(command);
    EXPECT_EQ(outcome.code, code) << command << "\n" << outcome.output;
    EXPECT_EQ(outcome.output, output) << command;
  }
  ApiAnswer Curl(const std::string& method, const std::string& target, const std::string& body = "") {
    return CallApi(gateway_->http_address(), method, target, "", body);
  }
  // The field of `consul kv get -detailed`.
  std::string Detail(const std::string& key, const std::string& field) {
    const std::string all = Run("consul kv get -detailed " + key).output;
    for (const absl::string_view line : absl::StrSplit(all, '\n')) {
      const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      if (words.size() == 2 && words[0] == field) return std::string(words[1]);
    }
    return "";
  }
  std::string Write(const std::string& name, const std::string& content) {
    std::string path = absl::StrCat(folder_.path(), "/", name);
    std::ofstream(path) << content;
    return path;
  }

  TempDir folder_;
  std::unique_ptr<GatewayProcess> gateway_;
};

// Whoever has scripts with `consul kv` would have to write them anew.
TEST_F(ConsulApiEmbeddedTest, Keys) {
  Expect("consul kv put app/a one", 0, "Success! Data written to: app/a\n");
  Expect("consul kv get app/a", 0, "one\n");
  Expect("consul kv put -flags=18446744073709551615 app/b/c two", 0, "Success! Data written to: app/b/c\n");
  EXPECT_EQ(Detail("app/b/c", "Flags"), "18446744073709551615");
  Expect("consul kv put app/empty", 0, "Success! Data written to: app/empty\n");
  Expect("consul kv get app/empty", 0, "\n");
  Expect("consul kv get -recurse app/", 0, "app/a:one\napp/b/c:two\napp/empty:\n");
  Expect("consul kv get -keys app/", 0, "app/a\napp/b/\napp/empty\n");
  Expect("consul kv get -keys -separator='' app/", 0, "app/a\napp/b/c\napp/empty\n");
  Expect("consul kv get -stale app/a", 0, "one\n");
  Expect("consul kv put -base64 app/bytes AAEC/w==", 0, "Success! Data written to: app/bytes\n");
  Expect("consul kv get -base64 app/bytes", 0, "AAEC/w==\n");
  Expect("consul kv put 'app/\u00fcn\u00ef c\u00f6de?#%&+' odd", 0,
         "Success! Data written to: app/\u00fcn\u00ef c\u00f6de?#%&+\n");
  Expect("consul kv get 'app/\u00fcn\u00ef c\u00f6de?#%&+'", 0, "odd\n");
  Expect("consul kv get app/missing", 1, "Error! No key exists at: app/missing\n");
  Expect("consul kv get -recurse missing/", 0, "");

  // With a comparison.
  const std::string index = Detail("app/a", "ModifyIndex");
  ASSERT_FALSE(index.empty());
  Expect("consul kv put -cas -modify-index=" + index + " app/a next", 0, "Success! Data written to: app/a\n");
  Expect("consul kv put -cas -modify-index=" + index + " app/a lost", 1, "Error! Did not write to app/a: CAS failed\n");
  EXPECT_EQ(Curl("PUT", "/v1/kv/app/a?cas=0", "lost").body(), "false");
  EXPECT_EQ(Curl("PUT", "/v1/kv/app/new?cas=0", "first").body(), "true");
  Expect("consul kv get app/a", 0, "next\n");
  Expect("consul kv delete -cas -modify-index=" + index + " app/a", 1, "Error! Did not delete key app/a: CAS failed\n");
  Expect("consul kv delete -cas -modify-index=" + Detail("app/a", "ModifyIndex") + " app/a", 0,
         "Success! Deleted key: app/a\n");
  Expect("consul kv delete app/new", 0, "Success! Deleted key: app/new\n");
  Expect("consul kv delete app/missing", 0, "Success! Deleted key: app/missing\n");

  // A whole tree.
  const Outcome exported = Run("consul kv export app/");
  EXPECT_EQ(exported.code, 0) << exported.output;
  Expect("consul kv delete -recurse app/", 0, "Success! Deleted keys with prefix: app/\n");
  Expect("consul kv get -recurse app/", 0, "");
  const Outcome imported = Run("consul kv import @" + Write("tree.json", exported.output));
  EXPECT_EQ(imported.code, 0) << imported.output;
  Expect("consul kv export app/", 0, exported.output);
  EXPECT_EQ(Detail("app/b/c", "Flags"), "18446744073709551615");
  Expect("consul kv get -base64 app/bytes", 0, "AAEC/w==\n");
}

// A command that runs whenever something changes would not, or once too often at its start.
TEST_F(ConsulApiEmbeddedTest, Watches) {
  const struct {
    std::string arguments, first, change, then;
  } rows[] = {
      {"-type=key -key=app/k", absl::Base64Escape("one"), "consul kv put app/k two", absl::Base64Escape("two")},
      {"-type=keyprefix -prefix=app/", absl::Base64Escape("two"), "consul kv put app/below below",
       absl::Base64Escape("below")},
      {"-type=keyprefix -prefix=app/", absl::Base64Escape("below"), "consul kv delete app/below",
       absl::Base64Escape("two")},
      {"-type=service -service=web", "\"one\"", "consul services register -name=web -id=web-1 -tag=two", "\"two\""},
      {"-type=services", "\"two\"", "consul services register -name=db", "\"db\""},
      {"-type=services", "\"db\"", "consul services deregister -id=db", "{\"web\":[\"two\"]}"},
  };
  ASSERT_EQ(Run("consul kv put app/k one").code, 0);
  const Outcome registered = Run("consul services register -name=web -id=web-1 -tag=one");
  ASSERT_EQ(registered.code, 0) << registered.output;
  for (const auto& row : rows) {
    SCOPED_TRACE(row.arguments + " " + row.change);
    // Each time in one line, with its number.
    ChildProcess watch(Command("consul watch " + row.arguments + " 'echo told:$(cat)'"));
    EXPECT_THAT(watch.WaitForLine("told:"), HasSubstr(row.first));
    const Outcome change = Run(row.change);
    EXPECT_EQ(change.code, 0) << change.output;
    EXPECT_THAT(watch.WaitForLine("told:"), HasSubstr(row.then));
    watch.Signal(SIGKILL);
  }
}

// Programs that register themselves and report how they are would be missing, or be taken for well.
TEST_F(ConsulApiEmbeddedTest, Services) {
  const std::string file = Write("web.json", R"({"service": {"name": "web", "id": "web-1", "port": 8001,
    "address": "127.0.0.1", "tags": ["v1"], "meta": {"version": "1.2"}, "check": {"name": "alive", "ttl": "1h"}}})");
  Expect("consul services register " + file, 0, "Registered service: web\n");
  Expect("consul catalog services", 0, "web\n");
  const Outcome with_tags = Run("consul catalog services -tags");
  EXPECT_EQ(with_tags.code, 0);
  EXPECT_THAT(with_tags.output, HasSubstr("v1"));
  const auto status = [this] {
    const std::string all = Curl("GET", "/v1/health/service/web").body();
    for (const char* one : {"passing", "warning", "critical"}) {
      if (absl::StrContains(all, absl::StrCat("\"Status\":\"", one, "\""))) return std::string(one);
    }
    return all;
  };
  EXPECT_EQ(status(), "critical") << "until it has said how it is";
  EXPECT_EQ(Curl("GET", "/v1/health/service/web?passing").body(), "[]");
  for (const auto& [verb, want] : std::vector<std::pair<std::string, std::string>>{
           {"pass", "passing"}, {"warn", "warning"}, {"fail", "critical"}, {"pass", "passing"}}) {
    EXPECT_EQ(Curl("PUT", absl::StrCat("/v1/agent/check/", verb, "/service:web-1?note=said")).status(), 200) << verb;
    EXPECT_EQ(status(), want);
  }
  EXPECT_EQ(Curl("PUT", "/v1/agent/check/update/service:web-1", R"({"Status": "warning"})").status(), 200);
  EXPECT_EQ(status(), "warning");
  EXPECT_EQ(Curl("PUT", "/v1/agent/check/pass/service:nobody").status(), 404);
  const std::string found = Curl("GET", "/v1/catalog/service/web").body();
  for (const char* field : {"\"ServiceID\":\"web-1\"", "\"ServicePort\":8001", "\"version\":\"1.2\""}) {
    EXPECT_THAT(found, HasSubstr(field));
  }
  Expect("consul services deregister " + file, 0, "Deregistered service: web-1\n");
  EXPECT_EQ(Curl("GET", "/v1/catalog/services").body(), "{}");
}

// Somebody whose program needs more would look for the mistake elsewhere.
TEST_F(ConsulApiEmbeddedTest, WhatIsNotThereSaysSo) {
  for (const char* command :
       {"consul catalog nodes", "consul members", "consul acl token list", "consul operator raft list-peers",
        "consul snapshot save x.snap", "consul lock app/lock true", "consul intention check a b",
        "consul event -name=x", "consul kv get -separator=/ -keys -recurse"}) {
    const Outcome outcome = Run(command);
    if (absl::StrContains(command, "-separator")) continue;
    EXPECT_NE(outcome.code, 0) << command << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("501")) << command;
    EXPECT_THAT(outcome.output, HasSubstr("--backend=consul")) << command;
  }
  const std::pair<const char*, const char*> calls[] = {
      {"GET", "/v1/agent/services"},   {"GET", "/v1/health/state/any"},  {"GET", "/v1/catalog/nodes"},
      {"GET", "/v1/nothing"},          {"PUT", "/v1/session/create"},    {"PUT", "/v1/agent/check/register"},
      {"POST", "/v1/nothing"},         {"PUT", "/v1/agent/leave"},       {"GET", "/v1/acl/token/self"},
      {"DELETE", "/v1/nothing"},       {"PUT", "/v1/agent/maintenance"}, {"GET", "/v1/session/list"},
      {"PUT", "/v1/catalog/register"}, {"PUT", "/v1/event/fire/x"},
  };
  for (const auto& [method, target] : calls) {
    const ApiAnswer answer = Curl(method, target, "{}");
    EXPECT_EQ(answer.status(), 501) << target << answer.bytes;
    EXPECT_EQ(answer.header("X-Meshgate-Reason"), "NOT_SERVED") << target;
    EXPECT_THAT(answer.body(), HasSubstr("--backend=consul")) << target;
  }
  for (const char* target : {"/v1/kv/app/k?acquire=x", "/v1/kv/app/k?release=x"}) {
    const ApiAnswer answer = Curl("PUT", target, "x");
    EXPECT_EQ(answer.status(), 501) << answer.bytes;
    EXPECT_THAT(answer.body(), HasSubstr("sessions")) << answer.bytes;
  }
  EXPECT_EQ(Curl("GET", "/v1/kv/app/k").status(), 404) << "nothing of it was done";
}

}  // namespace
}  // namespace meshgate::testing
