#ifndef MESHGATE_SERVER_WIRE_MEMORY_BUDGET_H_
#define MESHGATE_SERVER_WIRE_MEMORY_BUDGET_H_

#include <cstddef>

namespace meshgate::server::wire {

// Bytes that are held for peers: of requests that are not complete or being served, and of answers that are not taken.
// Not thread-safe.
class MemoryBudget {
 public:
  // `whole`, which outlives this, is a larger budget that this is a part of; null: none.
  MemoryBudget(size_t limit, MemoryBudget* whole) : limit_(limit), whole_(whole) {}

  // Returns false, and takes nothing, where that would be too much.
  bool Take(size_t bytes) {
    if (bytes > limit_ - used_ || (whole_ != nullptr && !whole_->Take(bytes))) return false;
    used_ += bytes;
    return true;
  }
  void Return(size_t bytes) {
    used_ -= bytes;
    if (whole_ != nullptr) whole_->Return(bytes);
  }
  size_t used() const { return used_; }

 private:
  const size_t limit_;
  MemoryBudget* const whole_;
  size_t used_ = 0;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_MEMORY_BUDGET_H_
