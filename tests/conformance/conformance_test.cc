// Runs every client against every server that //tests/conformance:server starts. What a client sees of the first,
// gRPC's own, is what the script expects; what it sees of another is the same in every detail that it shows.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/message_differencer.h"
#include "tests/conformance/script.pb.h"
#include "tests/testing/child_process.h"

namespace meshgate::conformance {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using ::meshgate::testing::ChildProcess;

constexpr char kServer[] = "tests/conformance/server";
constexpr char kScript[] = "tests/conformance/script.binpb";
constexpr char kKeepaliveScript[] = "tests/conformance/keepalive.binpb";
constexpr char kRawScript[] = "tests/conformance/raw.binpb";
constexpr char kDescriptors[] = "tests/conformance/descriptors.binpb";
// Of a client with all of its cases, on a machine that has other things to do.
constexpr absl::Duration kRunTime = absl::Seconds(100);

struct Client {
  std::string name;
  std::vector<std::string> command;
  std::vector<std::pair<std::string, std::string>> environment = {};
  std::string script = kScript;
};

const std::vector<Client>& Clients() {
  static const auto& clients = *new std::vector<Client>{
      {"cpp", {"tests/conformance/cpp/client"}},
      {"python", {"/usr/bin/python3", "tests/conformance/python/client.py"}},
      {"node",
       {"node", "--preserve-symlinks", "--preserve-symlinks-main", "tests/conformance/node/client.js"},
       {{"NODE_PATH", "../conformance_npm/node_modules"}}},
      {"go", {"tests/conformance/go/client"}},
      {"raw", {"/usr/bin/python3", "tests/conformance/raw/client.py"}, {}, kRawScript},
  };
  return clients;
}

// By case.
using Outcomes = std::map<std::string, v1::Outcome>;

v1::Script ReadScript(const std::string& path) {
  v1::Script script;
  std::ifstream file(path, std::ios::binary);
  if (!script.ParseFromIstream(&file)) abort();
  return script;
}

// The server process with the names and addresses of the servers in it.
class Server {
 public:
  Server() : process_({{kServer}, {}, ""}) {
    while (true) {
      const std::string line = process_.WaitForLine("");
      if (line.empty() || line == "ready") return;
      addresses_.push_back(absl::StrSplit(line, absl::MaxSplits(' ', 1)));
    }
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, address] : addresses_) names.push_back(name);
    return names;
  }
  std::string address(const std::string& name) const {
    for (const auto& [known, address] : addresses_) {
      if (known == name) return address;
    }
    return "";
  }
  ChildProcess& process() { return process_; }

 private:
  ChildProcess process_;
  std::vector<std::pair<std::string, std::string>> addresses_;
};

Server* shared_server = nullptr;

// Runs a client to its end; on "ready" the server is told to drain.
Outcomes RunClient(const Client& client, Server* server, const std::string& name, bool drain) {
  std::vector<std::string> command = client.command;
  command.push_back("--target=" + server->address(name));
  command.push_back("--script=" + client.script);
  command.push_back(absl::StrCat("--descriptors=", kDescriptors));
  if (drain) command.push_back("--drain");
  ChildProcess process({command, client.environment, ""});
  Outcomes outcomes;
  const absl::Time until = absl::Now() + kRunTime;
  while (true) {
    const std::string json = process.WaitForLine("", until - absl::Now());
    if (json.empty()) break;
    v1::Line line;
    const auto parsed = google::protobuf::util::JsonStringToMessage(json, &line);
    if (!parsed.ok()) ADD_FAILURE() << client.name << " printed " << json << ": " << parsed.ToString();
    if (line.ready()) server->process().Signal(SIGTERM);
    if (!line.case_().empty()) outcomes[line.case_()] = line.outcome();
  }
  const auto ended = process.Wait();
  EXPECT_TRUE(ended.has_value() && ended->code == 0) << client.name << " failed";
  return outcomes;
}

// Whether the server's end of a call races with the client's own: how much the client has seen of it then varies.
bool EndsByClient(const v1::Case& c) {
  return c.timeout_ms() != 0 || c.cancel_when_started() || c.cancel_after_messages() > 0 || c.until_code() != 0;
}

// Empty where they are equal.
std::string Difference(const v1::Outcome& expected, const v1::Outcome& seen) {
  std::string difference;
  MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&difference);
  return differencer.Compare(expected, seen) ? "" : difference;
}

void ExpectAsScripted(const Client& client, const v1::Script& script, const Outcomes& outcomes, bool drain) {
  size_t cases = 0;
  for (const v1::Case& c : script.cases()) {
    const auto& not_for = c.not_for();
    if (c.drain() != drain || std::find(not_for.begin(), not_for.end(), client.name) != not_for.end()) continue;
    ++cases;
    const auto found = outcomes.find(c.name());
    if (found == outcomes.end()) {
      ADD_FAILURE() << c.name() << " is missing";
      continue;
    }
    v1::Outcome seen = found->second;
    seen.clear_other_metadata();
    const auto own = c.expected_of().find(client.name);
    const v1::Outcome& expected = own == c.expected_of().end() ? c.expected() : own->second;
    const std::string difference = Difference(expected, seen);
    EXPECT_TRUE(difference.empty()) << c.name() << ", expected -> seen:\n" << difference;
  }
  EXPECT_EQ(outcomes.size(), cases);
}

// Where gRPC's server gets this client into trouble that others are spared, another server may spare it, too.
bool IsSpared(const v1::Case& c, const Client& client, v1::Outcome seen) {
  seen.clear_other_metadata();
  return c.expected_of().count(client.name) > 0 && Difference(c.expected(), seen).empty();
}

void ExpectEqual(const v1::Script& script, const Client& client, const Outcomes& reference, const Outcomes& outcomes,
                 const std::string& name) {
  for (const v1::Case& c : script.cases()) {
    const auto expected = reference.find(c.name());
    if (expected == reference.end()) continue;
    const auto found = outcomes.find(c.name());
    if (found == outcomes.end()) {
      ADD_FAILURE() << c.name() << " is missing";
      continue;
    }
    v1::Outcome first = expected->second, second = found->second;
    if (IsSpared(c, client, second)) continue;
    if (EndsByClient(c)) {
      first.clear_other_metadata();
      second.clear_other_metadata();
    }
    const std::string difference = Difference(first, second);
    EXPECT_TRUE(difference.empty()) << c.name() << ", of the reference -> of " << name << ":\n" << difference;
  }
  EXPECT_EQ(outcomes.size(), reference.size());
}

// What the client sees of the first server; run once.
const Outcomes& Reference(const Client& client, bool drain) {
  static auto& known = *new std::map<std::pair<std::string, bool>, Outcomes>;
  const auto [it, added] = known.try_emplace({client.name, drain});
  if (added) {
    const std::string name = shared_server->names().front();
    if (drain) {
      Server own;
      it->second = RunClient(client, &own, name, drain);
    } else {
      it->second = RunClient(client, shared_server, name, drain);
    }
  }
  return it->second;
}

// Would fail if a client could tell the server from gRPC's own.
class ConformanceTest : public ::testing::Test {
 public:
  ConformanceTest(Client client, std::string server, bool drain)
      : client_(std::move(client)), server_(std::move(server)), drain_(drain) {}

  void TestBody() override {
    const v1::Script script = ReadScript(client_.script);
    const Outcomes& reference = Reference(client_, drain_);
    if (server_ == shared_server->names().front()) return ExpectAsScripted(client_, script, reference, drain_);
    if (!drain_)
      return ExpectEqual(script, client_, reference, RunClient(client_, shared_server, server_, drain_), server_);
    // Is stopped by the test.
    Server own;
    ExpectEqual(script, client_, reference, RunClient(client_, &own, server_, drain_), server_);
    const auto ended = own.process().Wait();
    EXPECT_TRUE(ended.has_value() && ended->code == 0) << "the server has not drained";
  }

 private:
  const Client client_;
  const std::string server_;
  const bool drain_;
};

// Of calls that mostly wait: all clients against all servers at once.
class KeepaliveTest : public ::testing::Test {
 public:
  void TestBody() override {
    const v1::Script script = ReadScript(kKeepaliveScript);
    const std::vector<std::string> servers = shared_server->names();
    std::vector<Client> clients;
    std::vector<std::future<Outcomes>> runs;
    for (Client client : Clients()) {
      if (client.script == kRawScript) continue;
      client.script = kKeepaliveScript;
      clients.push_back(client);
      for (const std::string& server : servers) {
        runs.push_back(
            std::async(std::launch::async, [=] { return RunClient(client, shared_server, server, /*drain=*/false); }));
      }
    }
    auto run = runs.begin();
    for (const Client& client : clients) {
      Outcomes reference;
      for (const std::string& server : servers) {
        SCOPED_TRACE(absl::StrCat(client.name, ", ", server));
        const Outcomes outcomes = (run++)->get();
        if (server == servers.front()) {
          reference = outcomes;
          ExpectAsScripted(client, script, reference, /*drain=*/false);
        } else {
          ExpectEqual(script, client, reference, outcomes, server);
        }
      }
    }
  }
};

void RegisterTests() {
  const auto add = [](const std::string& suite, const std::string& server, const Client& client, bool drain) {
    ::testing::RegisterTest(suite.c_str(), absl::StrCat(client.name, drain ? "_drain" : "").c_str(), nullptr, nullptr,
                            __FILE__, __LINE__,
                            [=]() -> ConformanceTest* { return new ConformanceTest(client, server, drain); });
  };
  // Eight of each server, for eight shards: each has the tests of one client, and runs it against the first server only
  // once. Those that drain are the shortest, and the first shards have more to do.
  const std::vector<std::string> servers = shared_server->names();
  for (const std::string& server : servers) {
    for (const bool drain : {true, false}) {
      for (const Client& client : Clients()) {
        if (client.script != kRawScript) add(absl::StrCat("Conformance_", server), server, client, drain);
      }
    }
  }
  ::testing::RegisterTest("Conformance_keepalive", "all", nullptr, nullptr, __FILE__, __LINE__,
                          []() -> KeepaliveTest* { return new KeepaliveTest; });
  // gRPC's own server takes much that the protocol forbids: what the front makes of that is for its session's test.
  for (const Client& client : Clients()) {
    if (client.script == kRawScript) add("Conformance_raw", servers.front(), client, /*drain=*/false);
  }
}

int Main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  Server server;
  if (server.names().empty()) {
    fprintf(stderr, "the server does not start\n");
    return 1;
  }
  shared_server = &server;
  RegisterTests();
  return RUN_ALL_TESTS();
}

}  // namespace
}  // namespace meshgate::conformance

int main(int argc, char** argv) { return meshgate::conformance::Main(argc, argv); }
