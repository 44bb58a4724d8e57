#include "server/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "spdlog/spdlog.h"

namespace meshgate::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

std::vector<std::string> Lines(LogLevel level, LogFormat format, const std::function<void()>& act) {
  std::vector<std::string> lines;
  SetUpLog(level, format, [&lines](std::string_view line) { lines.emplace_back(line); });
  act();
  SetUpLog(LogLevel::kError, LogFormat::kText);
  return lines;
}

// Would break if a log pipeline could not parse a line, or found a field under another name.
TEST(LogTest, JsonLine) {
  const auto lines = Lines(LogLevel::kInfo, LogFormat::kJson, [] {
    Log(LogLevel::kWarn, "lost", {{"key", "a/b"}, {"streams", int64_t{12}}, {"grpc.time_ms", 1.5}});
  });
  EXPECT_THAT(lines, ElementsAre(MatchesRegex(
                         R"re(\{"ts":"20[0-9-]+T[0-9:]+\.[0-9]{3}Z","level":"warn","msg":"lost","key":"a/b",)re"
                         R"re("streams":12,"grpc.time_ms":1.500\})re"
                         "\n")));
}

// Would break if somebody who chooses a key or a request id could forge a second log line or close a JSON string.
TEST(LogTest, NothingEscapesItsLine) {
  const std::string evil = "a\"b\\c\nd\x01\xff\x7f é";
  const auto json = Lines(LogLevel::kInfo, LogFormat::kJson, [&] { Log(LogLevel::kInfo, evil, {{"key", evil}}); });
  ASSERT_EQ(json.size(), 1u);
  EXPECT_THAT(json[0], HasSubstr(R"("key":"a\"b\\c\nd\u0001)"
                                 "\xEF\xBF\xBD"
                                 R"(\u007f é"})"));
  const auto text = Lines(LogLevel::kInfo, LogFormat::kText, [&] {
    Log(LogLevel::kInfo, "m\nn", {{"key", "x y"}, {"peer.address", "p"}});
  });
  ASSERT_EQ(text.size(), 1u);
  EXPECT_THAT(text[0], MatchesRegex(R"re(20[0-9-]+T[0-9:.]+Z info  m\\nn key="x y" peer.address=p)re"
                                    "\n"));
}

// Would break if a message with braces were taken as a format string, or a line logged by spdlog itself inherited the
// fields of an earlier one.
TEST(LogTest, BracesAndForeignLines) {
  const auto lines = Lines(LogLevel::kInfo, LogFormat::kJson, [] {
    Log(LogLevel::kInfo, "{} {0}", {{"key", "k"}});
    spdlog::info("plain {}", 1);
  });
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[0], HasSubstr(R"("msg":"{} {0}","key":"k")"));
  EXPECT_THAT(lines[1], HasSubstr(R"("msg":"plain 1"})"));
}

// Would break if the level were not a threshold.
TEST(LogTest, Level) {
  EXPECT_THAT(Lines(LogLevel::kWarn, LogFormat::kText, [] { Log(LogLevel::kInfo, "x"); }), IsEmpty());
  EXPECT_EQ(Lines(LogLevel::kDebug, LogFormat::kText, [] { Log(LogLevel::kDebug, "x"); }).size(), 1u);
}

}  // namespace
}  // namespace meshgate::server
