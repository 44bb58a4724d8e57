#ifndef MESHGATE_TESTS_FAULT_MATRIX_H_
#define MESHGATE_TESTS_FAULT_MATRIX_H_

#include <string>

#include "absl/time/time.h"
#include "tests/fault/validators.h"

namespace meshgate::fault {

// Whether this is the whole matrix (MESHGATE_FAULT_MATRIX=full, what tests/fault/run.sh sets): longer, and with the
// bounds in time that are promised. Otherwise each fault is over in seconds, and the bounds are wide enough for a
// machine that is busy with other tests.
bool IsFull();

template <typename T>
T Pick(T when_short, T when_full) {
  return IsFull() ? when_full : when_short;
}

// One line of the table that is printed when all scenarios have ended.
struct Row {
  std::string fault;
  int64_t acknowledged = 0;
  int64_t delivered = 0;
  int64_t violations = 0;
  // The longest time from the end of a fault until every reader held what Consul holds.
  absl::Duration converged;
};
void AddRow(Row row);
void PrintTable();

}  // namespace meshgate::fault

#endif  // MESHGATE_TESTS_FAULT_MATRIX_H_
