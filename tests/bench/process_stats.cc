#include "tests/bench/process_stats.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace meshgate::bench {

int64_t ResidentBytes(pid_t pid) {
  std::ifstream statm(absl::StrCat("/proc/", pid, "/statm"));
  int64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

int64_t PeakResidentBytes(pid_t pid) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  std::string name;
  while (status >> name) {
    int64_t kib = 0;
    if (name == "VmHWM:" && status >> kib) return kib * 1024;
  }
  return 0;
}

void ResetPeakResident(pid_t pid) { std::ofstream(absl::StrCat("/proc/", pid, "/clear_refs")) << 5; }

absl::Duration CpuTime(pid_t pid) {
  clockid_t clock;
  timespec time{};
  // Unlike /proc, which counts ticks of 10 ms, this has every nanosecond, those of threads that have ended as well.
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return absl::ZeroDuration();
  return absl::DurationFromTimespec(time);
}

ConnectionSampler::ConnectionSampler(uint16_t port) : port_(port) {
  thread_ = std::thread([this] {
    while (!stop_) {
      Sample();
      absl::SleepFor(absl::Milliseconds(25));
    }
  });
}

ConnectionSampler::~ConnectionSampler() {
  stop_ = true;
  thread_.join();
}

void ConnectionSampler::Sample() {
  constexpr absl::string_view kEstablished = "01", kCloseWait = "08", kLoopback = "0100007F";
  std::ifstream table("/proc/net/tcp");
  std::string line;
  int open = 0, held = 0;
  while (std::getline(table, line)) {
    // "sl local_address rem_address st ...", addresses as hexadecimal IP:PORT.
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() < 4 || (fields[3] != kEstablished && fields[3] != kCloseWait)) continue;
    const std::pair<absl::string_view, absl::string_view> local = absl::StrSplit(fields[1], ':');
    const std::pair<absl::string_view, absl::string_view> remote = absl::StrSplit(fields[2], ':');
    uint32_t port = 0;
    if (!absl::SimpleHexAtoi(local.second, &port) || port != port_ || remote.first != kLoopback) continue;
    ++held;
    if (fields[3] == kEstablished) ++open;
  }
  most_ = std::max<int>(most_, open);
  most_held_ = std::max<int>(most_held_, held);
}

}  // namespace meshgate::bench
