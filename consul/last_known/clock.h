// How old something is that a process before this one wrote down.
#ifndef MESHGATE_CONSUL_LAST_KNOWN_CLOCK_H_
#define MESHGATE_CONSUL_LAST_KNOWN_CLOCK_H_

#include <string>

#include "absl/time/time.h"

namespace meshgate::consul::last_known {

// A moment, on clocks that survive a process.
struct Stamp {
  absl::Time wall;
  // Of the system's current run, and how long that has lasted, suspended time included. Empty: not known.
  std::string boot_id;
  absl::Duration since_boot;

  Stamp operator-(absl::Duration by) const { return {wall - by, boot_id, since_boot - by}; }
};

// Now.
Stamp ReadClocks();

// What AgeOf() says where no clock can tell: longer than any caller would accept, and no longer than states are kept.
inline constexpr absl::Duration kUnknownAge = absl::Hours(7 * 24);

// How long before `now` the stamp was taken; never negative.
//
// Within one run of the system its own clock tells, whatever was done to the wall clock. Across a reboot only the wall
// clock is left. Where that says "in the future" it was set back, or the machine has started without one: by less than
// a minute that is a correction and counts as no age; by more the age is unknown, and claiming a young one would serve
// old states to callers who asked for fresh ones.
absl::Duration AgeOf(const Stamp& stamp, const Stamp& now);

}  // namespace meshgate::consul::last_known

#endif  // MESHGATE_CONSUL_LAST_KNOWN_CLOCK_H_
