// Runs the script's cases against a server; see script.proto.
//
//   client --target=HOST:PORT --script=FILE [--drain]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/message_differencer.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "tests/conformance/cpp/case_call.h"
#include "tests/conformance/cpp/standard_cases.h"

namespace meshgate::conformance {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using Channel = std::shared_ptr<grpc::Channel>;

constexpr int kKeepaliveTimeoutMs = 5'000;

void Print(const v1::Line& line) {
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(line, &json).ok()) abort();
  printf("%s\n", json.c_str());
  fflush(stdout);
}

void Say(const v1::Case& c, const v1::Outcome& outcome) {
  v1::Line line;
  line.set_case_(c.name());
  *line.mutable_outcome() = outcome;
  Print(line);
}

Channel MakeChannel(const std::string& target, uint32_t keepalive_ms) {
  grpc::ChannelArguments arguments;
  // Its own limit of 8 KiB would refuse what the server sends back.
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, 64 << 10);
  if (keepalive_ms > 0) {
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(keepalive_ms));
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

v1::Outcome RunOnce(const Channel& channel, const v1::Case& c) {
  if (IsStandardCase(c)) return RunStandardCase(channel, c);
  const absl::Time end = absl::Now() + kPatience;
  while (true) {
    v1::Outcome outcome = CaseCall(channel, c).Run();
    if (c.until_code() == 0 || outcome.code() == c.until_code() || absl::Now() > end) return outcome;
  }
}

// All calls of a case: the outcome they have in common, or the first that is different from the first.
v1::Outcome RunAll(const Channel& channel, const v1::Case& c) {
  if (c.calls() < 2) return RunOnce(channel, c);
  std::vector<std::future<v1::Outcome>> running;
  for (uint32_t i = 0; i < c.calls(); ++i) {
    running.push_back(std::async(std::launch::async, [&] { return RunOnce(channel, c); }));
  }
  std::vector<v1::Outcome> outcomes;
  for (auto& run : running) outcomes.push_back(run.get());
  v1::Outcome told = outcomes[0];
  for (const v1::Outcome& outcome : outcomes) {
    if (MessageDifferencer::Equals(outcome, outcomes[0])) continue;
    told = outcome;
    break;
  }
  uint32_t same = 0;
  for (const v1::Outcome& outcome : outcomes) same += MessageDifferencer::Equals(outcome, told) ? 1 : 0;
  told.set_calls(same);
  return told;
}

// Has calls in progress when the server is told to drain, which happens on the line that says so.
void RunDrain(const Channel& channel, const std::vector<v1::Case>& cases) {
  std::vector<std::unique_ptr<CaseCall>> calls;
  std::map<std::string, std::future<v1::Outcome>> outcomes;
  for (const v1::Case& c : cases) {
    if (c.until_code() != 0) continue;
    CaseCall* call = calls.emplace_back(std::make_unique<CaseCall>(channel, c)).get();
    outcomes[c.name()] = std::async(std::launch::async, [call] { return call->Run(); });
    call->WaitStarted();
  }
  v1::Line line;
  line.set_ready(true);
  Print(line);
  for (const v1::Case& c : cases) {
    if (c.until_code() != 0)
      outcomes[c.name()] = std::async(std::launch::deferred, [&] { return RunOnce(channel, c); });
  }
  for (const v1::Case& c : cases) Say(c, outcomes[c.name()].get());
}

int Main(int argc, char** argv) {
  std::string target, path;
  bool drain = false;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (absl::ConsumePrefix(&argument, "--target=")) target = std::string(argument);
    if (absl::ConsumePrefix(&argument, "--script=")) path = std::string(argument);
    if (argument == "--drain") drain = true;
  }
  v1::Script script;
  std::ifstream file(path, std::ios::binary);
  if (!script.ParseFromIstream(&file) || target.empty()) {
    fprintf(stderr, "usage: client --target=HOST:PORT --script=FILE [--drain]\n");
    return 2;
  }
  const Channel channel = MakeChannel(target, 0);
  std::vector<v1::Case> cases;
  for (const v1::Case& c : script.cases()) {
    const bool left_out = std::find(c.not_for().begin(), c.not_for().end(), "cpp") != c.not_for().end();
    if (c.drain() == drain && !left_out) cases.push_back(c);
  }
  if (drain) {
    RunDrain(channel, cases);
  } else {
    for (const v1::Case& c : cases) {
      Say(c, RunAll(c.keepalive_ms() > 0 ? MakeChannel(target, c.keepalive_ms()) : channel, c));
    }
  }
  return 0;
}

}  // namespace
}  // namespace meshgate::conformance

int main(int argc, char** argv) { return meshgate::conformance::Main(argc, argv); }
