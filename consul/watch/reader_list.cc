#include "consul/watch/reader_list.h"

namespace meshgate::consul {
namespace {

// Woken at a time, before the thread looks at its clock.
constexpr int kAtOnce = 16;

}  // namespace

void ReaderList::WakeSoon() {
  if (!asked_.exchange(true)) thread_->Schedule(shared_from_this());
}

bool ReaderList::Run() {
  // Before anybody is woken: word that comes later is heard again.
  if (asked_.exchange(false)) due_.splice(due_.end(), resting_);
  for (int i = 0; i < kAtOnce && !due_.empty(); ++i) {
    Member& member = due_.front();
    due_.pop_front();
    resting_.push_back(member);
    // May leave inside, others too.
    member.subscriber()->Wake();
  }
  return !due_.empty();
}

}  // namespace meshgate::consul
