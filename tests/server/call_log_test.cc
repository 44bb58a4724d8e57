#include "server/call_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace meshgate::server {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Lines(const CallRecord& record, int times = 1) {
  std::vector<std::string> lines;
  SetUpLog(LogLevel::kInfo, LogFormat::kJson, [&lines](std::string_view line) { lines.emplace_back(line); });
  for (int i = 0; i < times; ++i) LogCall(record);
  SetUpLog(LogLevel::kError, LogFormat::kText);
  return lines;
}

CallRecord Failed(std::string_view method, int code, std::string_view reason) {
  CallRecord record;
  record.service = "meshgate.v1.ConfigService";
  record.method = method;
  record.code = code;
  record.reason = reason;
  record.message = "no answer";
  record.took = absl::Milliseconds(3);
  record.peer = "ipv4:1.2.3.4:5";
  record.request_id = "r1";
  record.key = "a/b";
  return record;
}

// Would break if a caller's mistake filled the log at its usual level, or a failure of ours did not show there.
TEST(CallLogTest, LevelsAndFields) {
  EXPECT_THAT(Lines(Failed("GetConfig", 5, "KEY_NOT_FOUND")), IsEmpty());
  const auto lines = Lines(Failed("GetConfig", 14, "CONSUL_UNAVAILABLE"));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0],
              HasSubstr(R"("level":"warn","msg":"call failed","grpc.service":"meshgate.v1.ConfigService",)"
                        R"("grpc.method":"GetConfig","grpc.code":"Unavailable","grpc.time_ms":3.000,)"
                        R"("peer.address":"ipv4:1.2.3.4:5","request_id":"r1","key":"a/b","error":"no answer"})"));
  EXPECT_EQ(CallLogLevel(13, ""), LogLevel::kError);
  EXPECT_EQ(CallLogLevel(0, ""), LogLevel::kDebug);
}

// Would break if every restart wrote a warning for each of ten thousand streams that it ends as planned.
TEST(CallLogTest, APlannedStopIsNoFailure) { EXPECT_THAT(Lines(Failed("WatchConfig", 14, "DRAINING")), IsEmpty()); }

// Would break if an outage wrote a line for each call that it fails.
TEST(CallLogTest, AnOutageDoesNotFillTheLog) {
  // The calls may fall into two seconds.
  EXPECT_LE(Lines(Failed("PutConfig", 14, "CONSUL_UNAVAILABLE"), 1000).size(), 2u * LineLimiter::kPerSecond);
}

// Would break if lines were left out without saying so, or one kind of failure hid another.
TEST(CallLogTest, CountsWhatItLeavesOut) {
  LineLimiter limiter;
  const absl::Time start = absl::FromUnixSeconds(1000);
  for (int i = 0; i < LineLimiter::kPerSecond; ++i) EXPECT_TRUE(limiter.Ask("Get", 14, start).write);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(limiter.Ask("Get", 14, start + absl::Milliseconds(999)).write);
  EXPECT_TRUE(limiter.Ask("Get", 4, start).write);
  EXPECT_TRUE(limiter.Ask("Put", 14, start).write);
  const auto next = limiter.Ask("Get", 14, start + absl::Seconds(1));
  EXPECT_TRUE(next.write);
  EXPECT_EQ(next.left_out, 5);
  EXPECT_EQ(limiter.Ask("Get", 14, start + absl::Seconds(1)).left_out, 0);
  EXPECT_TRUE(limiter.Ask("Get", 14, start - absl::Hours(1)).write);
}

}  // namespace
}  // namespace meshgate::server
