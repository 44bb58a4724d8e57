// What callers that nobody knows leave behind, however many come.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/integration/auth_fixture.h"

namespace meshgate::testing {
namespace {

constexpr int kStrangers = 100'000;
constexpr int kAtOnce = 200;

int64_t ResidentKib(pid_t pid) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind("VmRSS:", 0) == 0) return std::stoll(line.substr(6));
  }
  return 0;
}

int64_t Series(const std::string& exposition) {
  int64_t series = 0;
  bool at_start = true;
  for (const char c : exposition) {
    if (at_start && c != '#' && c != '\n') ++series;
    at_start = c == '\n';
  }
  return series;
}

class StrangersTest : public AuthFixture {
 protected:
  void SetUp() override { Start({"--log_level=error"}, {}); }

  // So many streams, each with a token and a key of its own. How they ended, by code.
  std::unordered_map<int, int> Watch(int count) {
    struct Call {
      grpc::ClientContext context;
      v1::WatchConfigResponse response;
      grpc::Status status;
      std::unique_ptr<grpc::ClientAsyncReader<v1::WatchConfigResponse>> reader;
    };
    const auto stub = v1::ConfigService::NewStub(gateway_->NewChannel());
    std::unordered_map<int, int> endings;
    grpc::CompletionQueue queue;
    int begun = 0, ended = 0;
    const auto begin = [&] {
      ++begun;
      auto call = std::make_unique<Call>();
      const std::string random = absl::StrFormat("%012x", random_() & 0xffffffffffff);
      Authenticate(&call->context, absl::StrCat("deadbeef-0000-4000-8000-", random));
      v1::WatchConfigRequest request;
      request.set_key(absl::StrCat("strange/", random));
      call->reader = stub->PrepareAsyncWatchConfig(&call->context, request, &queue);
      call->reader->StartCall(nullptr);
      Call* const tag = call.release();
      tag->reader->Finish(&tag->status, tag);
    };
    while (ended < count) {
      while (begun < count && begun - ended < kAtOnce) begin();
      void* tag = nullptr;
      bool ok = false;
      if (!queue.Next(&tag, &ok)) break;
      if (tag == nullptr) continue;
      const std::unique_ptr<Call> call(static_cast<Call*>(tag));
      ++endings[call->status.error_code()];
      ++ended;
    }
    queue.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue.Next(&tag, &ok)) {
    }
    return endings;
  }

  std::mt19937_64 random_{20261126};
};

// Whoever makes up tokens and keys would fill the gateway's memory, or its operator's Prometheus.
TEST_F(StrangersTest, LeaveNothingBehind) {
  // What a process takes once, whoever comes.
  ASSERT_EQ(Watch(2 * kAtOnce)[grpc::StatusCode::UNAUTHENTICATED], 2 * kAtOnce);
  const int64_t series = Series(gateway_->Get("/metrics").value_or(""));
  const int64_t resident = ResidentKib(gateway_->process().pid());
  ASSERT_GT(series, 100);
  ASSERT_GT(resident, 1024);

  const std::unordered_map<int, int> endings = Watch(kStrangers);
  for (const auto& [code, count] : endings) {
    EXPECT_EQ(code, grpc::StatusCode::UNAUTHENTICATED) << count << " of " << kStrangers;
  }

  const std::string exposition = gateway_->Get("/metrics").value_or("");
  EXPECT_EQ(Series(exposition), series);
  EXPECT_EQ(exposition.find("deadbeef"), std::string::npos);
  EXPECT_EQ(exposition.find("strange"), std::string::npos);
  EXPECT_TRUE(gateway_->WaitForMetric("meshgate_watch_streams{kind=\"key\"}", 0));
  const int64_t after = ResidentKib(gateway_->process().pid());
  RecordProperty("resident_kib_before", static_cast<int>(resident));
  RecordProperty("resident_kib_after", static_cast<int>(after));
  EXPECT_LE(after, resident + resident / 5);
}

}  // namespace
}  // namespace meshgate::testing
