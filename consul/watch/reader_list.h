#ifndef MESHGATE_CONSUL_WATCH_READER_LIST_H_
#define MESHGATE_CONSUL_WATCH_READER_LIST_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "consul/watch/reader_thread.h"

namespace meshgate::consul {

// The readers on one thread that are told the same. A change leaves word once, however many they are: what it costs
// whoever brings it does not grow with them, and what each costs is a step through a list that no other thread touches.
class ReaderList final : public Work, public std::enable_shared_from_this<ReaderList> {
 public:
  // A reader's place in it.
  class Member {
   public:
    explicit Member(Subscriber* subscriber) : subscriber_(subscriber) {}
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;

   private:
    friend class ReaderList;
    Subscriber* const subscriber_;
    size_t place_ = 0;
  };

  explicit ReaderList(ReaderThread* thread) : thread_(thread) {}
  ReaderThread* thread() const { return thread_; }

  // Has every member woken that is there when its thread comes to it. Any thread.
  void WakeSoon();

  // ---- The list's thread.
  void Add(Member* member);
  void Remove(Member* member);
  // Wakes some members.
  bool Run() override;

 private:
  struct Entry {
    Subscriber* subscriber;
    Member* member;
  };

  void Put(const Entry& entry, size_t place);
  // Before the turn of the one at `turn`: has those whose turn comes later, which are in front of it, prepared. Before
  // the first turn of all, as if there were more behind the last one.
  void PrepareAhead(size_t turn) const;

  ReaderThread* const thread_;
  // Word is left and not heard yet.
  std::atomic<bool> asked_{false};
  std::vector<Entry> entries_;
  // The first so many are to be woken, from the last of them on.
  size_t due_ = 0;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_READER_LIST_H_
