#ifndef MESHGATE_CONSUL_UPSTREAM_BLOCKING_QUERY_STATE_H_
#define MESHGATE_CONSUL_UPSTREAM_BLOCKING_QUERY_STATE_H_

#include <cstdint>
#include <optional>

namespace meshgate::consul {

// Decides what to ask Consul next, given its last answer.
//
// A blocking query returns for many reasons: a change, the end of its wait, an agent's restart, a restored snapshot.
// This class holds the rules that tell them apart (Consul's documentation, "Blocking queries", and what a real agent
// was seen to do) and nothing else: no I/O, no clock, no threads. One per watched target; not thread-safe.
class BlockingQueryState {
 public:
  enum class Verdict {
    // The answer says nothing about the target (no index to trust): keep the state, next_index() is as it was.
    kUnusable,
    // Compare the answer with the state held.
    kCurrent,
    // Compare; and the store's indexes went back: it lost or restored data, or reaped tombstones.
    kReset,
    // The wait is over, and nothing has moved.
    kWaitEnded,
    // An early return with the same index: an agent that stops, or a restored snapshot, which answers with the value
    // from before. The answer is not to be compared; a plain read follows.
    kSuspect,
  };

  // The index to send; 0 means a plain read that does not wait.
  uint64_t next_index() const { return next_; }

  // Takes a successful answer to a query that was sent with next_index(). `index` is the one it carried, if any.
  // `returned_early`: before its wait was over; false for plain reads.
  Verdict OnAnswer(std::optional<uint64_t> index, bool returned_early);

  // Whether an answer with this index would be a kReset.
  bool GoesBack(std::optional<uint64_t> index) const { return index.has_value() && *index < last_; }

  // Takes a failure. The next query is a plain read: after a loss of data the old index may lie above the real one, and
  // such a query is not woken by writes.
  void OnError() { next_ = 0; }

  // The next query is to be a plain read, for reasons of the caller's.
  void AskPlainly() { next_ = 0; }

 private:
  uint64_t next_ = 0;
  // The latest index that was seen, to notice that one is lower; 0 before the first.
  uint64_t last_ = 0;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_UPSTREAM_BLOCKING_QUERY_STATE_H_
