#include "metrics/process_collector.h"

#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "prometheus/metric_type.h"

namespace meshgate::metrics {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

std::string ReadAll(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return std::move(out).str();
}

MetricFamily Single(const char* name, const char* help, MetricType type, double value) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  family.metric.emplace_back();
  if (type == MetricType::Counter) {
    family.metric.back().counter.value = value;
  } else {
    family.metric.back().gauge.value = value;
  }
  return family;
}

// Fields of /proc/PID/stat behind the command's name, which may itself hold spaces and parentheses: proc(5) numbers
// them from 3 on.
struct Stat {
  uint64_t user_ticks, system_ticks, threads, start_ticks, virtual_bytes, resident_pages;
};

std::optional<Stat> ParseStat(const std::string& text) {
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(text).substr(name_end + 1), absl::ByAnyChar(" \n"), absl::SkipEmpty());
  auto field = [&fields](size_t number, uint64_t* out) {
    return number - 3 < fields.size() && absl::SimpleAtoi(fields[number - 3], out);
  };
  Stat s;
  const bool ok = field(14, &s.user_ticks) && field(15, &s.system_ticks) && field(20, &s.threads) &&
                  field(22, &s.start_ticks) && field(23, &s.virtual_bytes) && field(24, &s.resident_pages);
  if (!ok) return std::nullopt;
  return s;
}

double SecondsOf(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

// Seconds since the epoch at which the system was started, which start times count from. Not btime of /proc/stat: units
// with ProcSubset=pid don't see that file.
double BootTime() { return SecondsOf(CLOCK_REALTIME) - SecondsOf(CLOCK_BOOTTIME); }

std::optional<double> OpenFds(const std::string& proc) {
  DIR* dir = opendir((proc + "/self/fd").c_str());
  if (dir == nullptr) return std::nullopt;
  int count = 0;
  while (const dirent* entry = readdir(dir)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(dir);
  return count - 1;  // Without the one that lists them.
}

std::optional<double> MaxFds(const std::string& proc) {
  for (absl::string_view line : absl::StrSplit(ReadAll(proc + "/self/limits"), '\n')) {
    if (!absl::ConsumePrefix(&line, "Max open files")) continue;
    const std::vector<absl::string_view> columns = absl::StrSplit(line, ' ', absl::SkipEmpty());
    double soft;
    if (!columns.empty() && absl::SimpleAtod(columns[0], &soft)) return soft;
  }
  return std::nullopt;
}

}  // namespace

ProcessCollector::ProcessCollector(std::string proc) : proc_(std::move(proc)) {}

std::vector<MetricFamily> ProcessCollector::Collect() const {
  std::vector<MetricFamily> out;
  const double ticks = sysconf(_SC_CLK_TCK);
  if (auto stat = ParseStat(ReadAll(proc_ + "/self/stat"))) {
    out.push_back(Single("process_cpu_seconds_total", "User and system CPU time spent, in seconds.",
                         MetricType::Counter, (stat->user_ticks + stat->system_ticks) / ticks));
    out.push_back(Single("process_resident_memory_bytes", "Resident memory size in bytes.", MetricType::Gauge,
                         static_cast<double>(stat->resident_pages) * sysconf(_SC_PAGESIZE)));
    out.push_back(Single("process_virtual_memory_bytes", "Virtual memory size in bytes.", MetricType::Gauge,
                         static_cast<double>(stat->virtual_bytes)));
    out.push_back(
        Single("process_threads", "Threads of the process.", MetricType::Gauge, static_cast<double>(stat->threads)));
    out.push_back(Single("process_start_time_seconds", "Start of the process, in seconds since the Unix epoch.",
                         MetricType::Gauge, BootTime() + stat->start_ticks / ticks));
  }
  if (auto open = OpenFds(proc_)) {
    out.push_back(Single("process_open_fds", "Open file descriptors.", MetricType::Gauge, *open));
  }
  if (auto max = MaxFds(proc_)) {
    out.push_back(
        Single("process_max_fds", "Most file descriptors that may be open at a time.", MetricType::Gauge, *max));
  }
  return out;
}

}  // namespace meshgate::metrics
