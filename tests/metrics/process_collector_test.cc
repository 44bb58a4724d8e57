#include "metrics/process_collector.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <fstream>
#include <map>

namespace meshgate::metrics {
namespace {

std::map<std::string, double> Values(const ProcessCollector& collector) {
  std::map<std::string, double> out;
  for (const auto& family : collector.Collect()) {
    const auto& metric = family.metric.at(0);
    out[family.name] = family.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value;
  }
  return out;
}

// Would break if a field of /proc/PID/stat were counted from the wrong place, which a command's name with spaces and
// parentheses provokes.
TEST(ProcessCollectorTest, ReadsTheRightFields) {
  const std::string proc = ::testing::TempDir() + "/proc";
  mkdir(proc.c_str(), 0755);
  mkdir((proc + "/self").c_str(), 0755);
  mkdir((proc + "/self/fd").c_str(), 0755);
  for (const char* fd : {"0", "1", "2", "3"}) std::ofstream(proc + "/self/fd/" + fd) << "";
  std::ofstream(proc + "/self/limits") << "Limit                     Soft Limit           Hard Limit           Units\n"
                                          "Max open files            1024                 4096                 files\n";
  std::ofstream(proc + "/self/stat")
      << "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 300 200 0 0 20 0 9 0 5000 8192 3 99\n";

  const auto values = Values(ProcessCollector(proc));
  const double ticks = sysconf(_SC_CLK_TCK);
  EXPECT_DOUBLE_EQ(values.at("process_cpu_seconds_total"), 500 / ticks);
  EXPECT_DOUBLE_EQ(values.at("process_threads"), 9);
  // 5000 ticks after the boot. /proc/stat, which would say when that was, is hidden from hardened units.
  timespec up{};
  clock_gettime(CLOCK_BOOTTIME, &up);
  const double boot = static_cast<double>(time(nullptr) - up.tv_sec);
  EXPECT_NEAR(values.at("process_start_time_seconds"), boot + 5000 / ticks, 5);
  EXPECT_DOUBLE_EQ(values.at("process_virtual_memory_bytes"), 8192);
  EXPECT_DOUBLE_EQ(values.at("process_resident_memory_bytes"), 3.0 * sysconf(_SC_PAGESIZE));
  EXPECT_DOUBLE_EQ(values.at("process_open_fds"), 3);
  EXPECT_DOUBLE_EQ(values.at("process_max_fds"), 1024);
}

// Would break if the real system's files looked different from the ones above.
TEST(ProcessCollectorTest, ReadsThisProcess) {
  const auto values = Values(ProcessCollector());
  EXPECT_GT(values.at("process_resident_memory_bytes"), 100000);
  EXPECT_GT(values.at("process_virtual_memory_bytes"), values.at("process_resident_memory_bytes"));
  EXPECT_GE(values.at("process_open_fds"), 3);
  EXPECT_GE(values.at("process_threads"), 1);
  EXPECT_GT(values.at("process_start_time_seconds"), 1600000000);
}

// Would break if a container without /proc were shown zeros, which read as "no memory used".
TEST(ProcessCollectorTest, LeavesOutWhatCannotBeRead) {
  EXPECT_TRUE(ProcessCollector("/nonexistent").Collect().empty());
}

}  // namespace
}  // namespace meshgate::metrics
