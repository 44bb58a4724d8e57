#include "consul/last_known/clock.h"

#include <time.h>

#include <algorithm>
#include <fstream>

#include "absl/time/clock.h"

namespace meshgate::consul::last_known {
namespace {

constexpr absl::Duration kCorrection = absl::Minutes(1);

std::string ReadBootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id;
}

}  // namespace

Stamp ReadClocks() {
  static const std::string* const boot_id = new std::string(ReadBootId());
  Stamp stamp;
  stamp.wall = absl::Now();
  timespec since_boot;
  if (clock_gettime(CLOCK_BOOTTIME, &since_boot) == 0) {
    stamp.boot_id = *boot_id;
    stamp.since_boot = absl::DurationFromTimespec(since_boot);
  }
  return stamp;
}

absl::Duration AgeOf(const Stamp& stamp, const Stamp& now) {
  if (!stamp.boot_id.empty() && stamp.boot_id == now.boot_id) {
    return std::max(absl::ZeroDuration(), now.since_boot - stamp.since_boot);
  }
  const absl::Duration age = now.wall - stamp.wall;
  if (age < -kCorrection) return kUnknownAge;
  return std::max(absl::ZeroDuration(), age);
}

}  // namespace meshgate::consul::last_known
