#include "consul/watch/reader_list.h"

namespace meshgate::consul {
namespace {

// Woken at a time, before the thread looks at its clock.
constexpr int kAtOnce = 16;

// So far ahead a subscriber is fetched from memory, and what it will touch. Of many thousands next to nothing is in a
// processor's cache, and waiting for memory is half of what waking them takes.
constexpr size_t kFetchAhead = 8;
constexpr size_t kPrepareAhead = 4;

}  // namespace

void ReaderList::WakeSoon() {
  if (!asked_.exchange(true)) thread_->Schedule(shared_from_this());
}

void ReaderList::Put(const Entry& entry, size_t place) {
  entries_[place] = entry;
  entry.member->place_ = place;
}

void ReaderList::Add(Member* member) {
  member->place_ = entries_.size();
  entries_.push_back({member->subscriber_, member});
}

void ReaderList::Remove(Member* member) {
  size_t free = member->place_;
  if (free < due_) {
    --due_;
    Put(entries_[due_], free);
    free = due_;
  }
  Put(entries_.back(), free);
  entries_.pop_back();
}

bool ReaderList::Run() {
  // Word that comes meanwhile is heard when all have been woken, behind whatever else the thread has to do: changes may
  // come faster than they can be told.
  if (due_ == 0 && asked_.exchange(false)) due_ = entries_.size();
  for (int i = 0; i < kAtOnce && due_ > 0; ++i) {
    --due_;
    if (due_ >= kFetchAhead) __builtin_prefetch(entries_[due_ - kFetchAhead].subscriber);
    if (due_ >= kPrepareAhead) entries_[due_ - kPrepareAhead].subscriber->PrepareToWake();
    // May leave inside, others too.
    entries_[due_].subscriber->Wake();
  }
  return due_ > 0;
}

}  // namespace meshgate::consul
