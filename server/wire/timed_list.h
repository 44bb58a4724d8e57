#ifndef MESHGATE_SERVER_WIRE_TIMED_LIST_H_
#define MESHGATE_SERVER_WIRE_TIMED_LIST_H_

#include "absl/time/time.h"

namespace meshgate::server::wire {

// Things in the order in which they began, linked through themselves: joining, leaving and finding the oldest cost a
// few assignments and no memory. Not thread-safe.
class TimedList {
 public:
  class Entry {
   public:
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    absl::Time since() const { return since_; }
    bool listed() const { return next_ != nullptr; }

   protected:
    ~Entry() { Unlink(); }

   private:
    friend class TimedList;
    void Unlink() {
      if (next_ == nullptr) return;
      previous_->next_ = next_;
      next_->previous_ = previous_;
      next_ = previous_ = nullptr;
    }
    Entry* next_ = nullptr;
    Entry* previous_ = nullptr;
    absl::Time since_;
  };

  TimedList() { head_.next_ = head_.previous_ = &head_; }
  ~TimedList() {
    while (Entry* entry = oldest()) entry->Unlink();
    head_.next_ = nullptr;
  }

  // `now` is no earlier than that of those before it.
  void Add(Entry& entry, absl::Time now) {
    entry.Unlink();
    entry.since_ = now;
    entry.previous_ = head_.previous_;
    entry.next_ = &head_;
    head_.previous_->next_ = &entry;
    head_.previous_ = &entry;
  }
  void Remove(Entry& entry) { entry.Unlink(); }
  // Null when it is empty.
  Entry* oldest() const { return head_.next_ == &head_ ? nullptr : head_.next_; }

 private:
  struct Head final : Entry {};
  Head head_;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_TIMED_LIST_H_
