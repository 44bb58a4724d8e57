// What was written, what was told to whom, and what went wrong between: the evidence that tests/fault/validators.h
// judges. Free of gRPC.
#ifndef MESHGATE_TESTS_FAULT_HISTORY_H_
#define MESHGATE_TESTS_FAULT_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "tests/fault/numbered.h"

namespace meshgate::fault {

// All times are since the history began, on the monotonic clock.

enum class Outcome {
  kUnknown,       // not answered (yet), or with an error that leaves it open: may be applied now, later or never
  kAcknowledged,  // applied between `begin` and `end`
  kRefused,       // certainly never applied
};

// One write or delete of one name, or of several in one transaction.
struct Write {
  enum class Kind { kPut, kDelete };
  Kind kind = Kind::kPut;
  std::vector<std::string> names;
  Numbered value;            // of a put; the same under all its names
  bool conditional = false;  // only if the key was as its writer had read it
  absl::Duration begin;
  absl::Duration end = absl::InfiniteDuration();
  Outcome outcome = Outcome::kUnknown;
  uint64_t modify_index = 0;  // where an acknowledgement told it
};

// What a reader holds of one name.
struct Held {
  std::optional<Numbered> value;  // absent: bytes that nobody can have written
  std::string health;             // of a service instance
  uint64_t create_index = 0;      // of a key
  uint64_t modify_index = 0;

  bool operator==(const Held& o) const {
    return value == o.value && health == o.health && create_index == o.create_index && modify_index == o.modify_index;
  }
  bool operator!=(const Held& o) const { return !(*this == o); }
};
using Holding = std::map<std::string, Held>;

struct Event {
  bool put = true;
  std::string name;
  Held held;  // of a put
};

// One message of a stream, as it came.
struct Response {
  absl::Duration at;
  int stream = 0;        // counts the streams of this subscriber
  int gateway = 0;       // which process answered; a restarted one is another
  bool resumed = false;  // the stream began with a token
  bool snapshot = false;
  bool stale = false;
  uint64_t index = 0;
  std::vector<Event> events;
};

enum class Kind { kKey, kPrefix, kService };

struct Target {
  Kind kind = Kind::kKey;
  std::string name;

  bool operator<(const Target& o) const { return std::tie(kind, name) < std::tie(o.kind, o.name); }
};

// One reader over all the streams that it has had, and what it holds after all of its responses.
struct SubscriberLog {
  std::string name;
  Target target;
  std::vector<Response> responses;
  Holding holding;
  bool stale = false;
};

// When data went back to an earlier state, or to nothing.
struct Loss {
  absl::Duration begin;
  absl::Duration end = absl::InfiniteDuration();
};

// Everything, for validators.
struct Record {
  std::vector<Write> writes;
  std::vector<SubscriberLog> subscribers;
  std::vector<Loss> losses;
};

// Does to `holding` what the response says.
void Apply(const Response& response, Holding& holding);

// Collects a Record while it happens. Thread-safe.
class History {
 public:
  History();

  absl::Duration Now() const;

  // A write is about to be sent; its begin and outcome are set here. Returns its number for Ended().
  size_t Begun(Write write);
  void Ended(size_t write, Outcome outcome, uint64_t modify_index = 0);

  int AddSubscriber(std::string name, Target target);
  // `response.at` is set here.
  void Received(int subscriber, Response response);

  void LossBegins();
  void LossEnds();

  // Waits until `holds` is true of the subscribers, which it is asked anew after each response; false where `within`
  // has passed first.
  bool WaitUntil(const std::function<bool(const std::vector<SubscriberLog>&)>& holds, absl::Duration within);

  int64_t acknowledged() const;
  int64_t received() const;
  Record record() const;

 private:
  const absl::Time began_;
  mutable Mutex mu_;
  CondVar changed_;
  Record record_ ABSL_GUARDED_BY(mu_);
  int64_t acknowledged_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t received_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace meshgate::fault

#endif  // MESHGATE_TESTS_FAULT_HISTORY_H_
