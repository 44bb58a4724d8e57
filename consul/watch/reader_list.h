#ifndef MESHGATE_CONSUL_WATCH_READER_LIST_H_
#define MESHGATE_CONSUL_WATCH_READER_LIST_H_

#include <atomic>
#include <memory>

#include "boost/intrusive/list.hpp"
#include "consul/watch/reader_thread.h"

namespace meshgate::consul {

// The readers on one thread that are told the same. A change leaves word once, however many they are: what it costs
// whoever brings it does not grow with them, and what each costs is a step through a list that no other thread touches.
class ReaderList final : public Work, public std::enable_shared_from_this<ReaderList> {
 public:
  // A reader; it leaves when it is destroyed, on the list's thread.
  class Member : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
   public:
    explicit Member(Subscriber* subscriber) : subscriber_(subscriber) {}
    Subscriber* subscriber() const { return subscriber_; }

   private:
    Subscriber* const subscriber_;
  };

  explicit ReaderList(ReaderThread* thread) : thread_(thread) {}
  ReaderThread* thread() const { return thread_; }

  // Has every member woken that is there when its thread comes to it. Any thread.
  void WakeSoon();

  // ---- The list's thread.
  void Add(Member& member) { resting_.push_back(member); }
  // Wakes some members.
  bool Run() override;

 private:
  using List = boost::intrusive::list<Member, boost::intrusive::constant_time_size<false>>;

  ReaderThread* const thread_;
  // Word is left and not heard yet.
  std::atomic<bool> asked_{false};
  List resting_;
  // To be woken.
  List due_;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_READER_LIST_H_
