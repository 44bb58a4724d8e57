#include "consul/watch/reader_list.h"

#include <iterator>

#include "consul/base/prefetch.h"

namespace meshgate::consul {
namespace {

// Woken at a time, before the thread looks at its clock.
constexpr int kAtOnce = 16;

// So many turns before its own a subscriber is fetched from memory, and then, in steps, what it will touch.
constexpr size_t kFetchAhead = 24;
constexpr size_t kPrepareAhead[] = {16, 8};

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

void ReaderList::PrepareAhead(size_t turn) const {
  const auto later = [&](size_t ahead) -> Subscriber* {
    return turn >= ahead && turn - ahead < due_ ? entries_[turn - ahead].subscriber : nullptr;
  };
  if (Subscriber* const subscriber = later(kFetchAhead)) Prefetch(subscriber, Subscriber::kPreparedBytes);
  for (size_t step = 0; step < std::size(kPrepareAhead); ++step) {
    if (Subscriber* const subscriber = later(kPrepareAhead[step])) subscriber->PrepareToWake(static_cast<int>(step));
  }
}

bool ReaderList::Run() {
  // Word that comes meanwhile is heard when all have been woken, behind whatever else the thread has to do: changes may
  // come faster than they can be told.
  if (due_ == 0 && asked_.exchange(false)) {
    due_ = entries_.size();
    // As if so many turns had come before. One alone is there as soon as what could be fetched for it.
    for (size_t turn = due_ + kFetchAhead; turn > due_ && due_ > 1; --turn) PrepareAhead(turn - 1);
  }
  for (int i = 0; i < kAtOnce && due_ > 0; ++i) {
    --due_;
    PrepareAhead(due_);
    // May leave inside, others too.
    entries_[due_].subscriber->Wake();
  }
  return due_ > 0;
}

}  // namespace meshgate::consul
