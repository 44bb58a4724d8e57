#ifndef MESHGATE_TESTS_BENCH_PEERS_PROGRAMS_H_
#define MESHGATE_TESTS_BENCH_PEERS_PROGRAMS_H_

#include <string>

#include "absl/status/status.h"

namespace meshgate::bench {

// Whether there is such a program in PATH; where not, the error says which package has it.
absl::Status FindProgram(const std::string& name, const std::string& how_to_install);

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_PEERS_PROGRAMS_H_
