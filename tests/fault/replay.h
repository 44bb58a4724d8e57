#ifndef MESHGATE_TESTS_FAULT_REPLAY_H_
#define MESHGATE_TESTS_FAULT_REPLAY_H_

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/fault/history.h"

namespace meshgate::fault {

// One response between what its reader held before and after it.
struct Step {
  const SubscriberLog& log;
  const Response& response;
  const Response* previous;  // of any stream of this reader; null: there is none
  const Holding& before;
  const Holding& after;

  bool first_of_stream() const { return previous == nullptr || previous->stream != response.stream; }
  // The first words of a process that the reader comes to from another one, about a state that it can't confirm.
  bool stored_snapshot() const {
    return response.snapshot && response.stale && previous != nullptr && previous->gateway != response.gateway;
  }
};

void Replay(const Record& record, const std::function<void(const Step&)>& visit);

// "prefix-3 at 12.345s: "
std::string Where(const Step& step);

// All writes of a name, by value and in the order of their beginning. Refers to the record.
class Writes {
 public:
  explicit Writes(const Record& record);

  const std::vector<const Write*>& PutsOf(const std::string& name, const Numbered& value) const;
  const std::vector<const Write*>& DeletesOf(const std::string& name) const;
  // The only write of this value; null where there is none or more than one.
  const Write* PutOf(const std::string& name, const std::optional<Numbered>& value) const;

 private:
  std::map<std::pair<std::string, Numbered>, std::vector<const Write*>> puts_;
  std::map<std::string, std::vector<const Write*>> deletes_;
};

// Whether the one was over before the other began.
bool Precedes(const Write& a, const Write& b);

// Whether data that were written from `from` on may have been lost by `at`.
bool LostBetween(const Record& record, absl::Duration from, absl::Duration at);

}  // namespace meshgate::fault

#endif  // MESHGATE_TESTS_FAULT_REPLAY_H_
