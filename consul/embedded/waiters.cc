#include "consul/embedded/waiters.h"

#include <string_view>
#include <utility>

#include "consul/base/strings.h"

namespace meshgate::consul::embedded {

void Waiters::Add(SharedWaiter waiter) {
  List& list = lists(waiter->kind())[waiter->name()];
  if (list.empty() && waiter->kind() == TargetKind::kPrefix) ++prefix_lengths_[waiter->name().size()];
  waiter->position_ = list.size();
  list.push_back(std::move(waiter));
  ++size_;
}

void Waiters::Remove(Waiter* waiter) {
  if (waiter->position_ == Waiter::kNowhere) return;
  ByName& by_name = lists(waiter->kind());
  auto it = by_name.find(waiter->name());
  List& list = it->second;
  // The last one takes its place. `waiter` may be destroyed by that, so its name is not used any more.
  const size_t position = std::exchange(waiter->position_, Waiter::kNowhere);
  const SharedWaiter removed = std::move(list[position]);
  if (position + 1 != list.size()) {
    list[position] = std::move(list.back());
    list[position]->position_ = position;
  }
  list.pop_back();
  --size_;
  if (!list.empty()) return;
  by_name.erase(it);
  if (removed->kind() == TargetKind::kPrefix) ForgetLength(removed->name().size());
}

void Waiters::TakeKey(const std::string& key, std::vector<SharedWaiter>& out) {
  Take(TargetKind::kKey, key, out);
  auto it = prefix_lengths_.begin();
  while (it != prefix_lengths_.end() && it->first <= key.size()) {
    // Taking may forget this length.
    const size_t length = it++->first;
    Take(TargetKind::kPrefix, std::string_view(key).substr(0, length), out);
  }
}

void Waiters::TakeService(const std::string& service, std::vector<SharedWaiter>& out) {
  Take(TargetKind::kService, service, out);
}

void Waiters::TakeCatalog(std::vector<SharedWaiter>& out) { Take(TargetKind::kCatalog, "", out); }

void Waiters::TakeAll(std::vector<SharedWaiter>& out) {
  for (ByName& by_name : lists_) {
    for (auto& [name, list] : by_name) {
      for (SharedWaiter& waiter : list) {
        waiter->position_ = Waiter::kNowhere;
        out.push_back(std::move(waiter));
      }
    }
    by_name.clear();
  }
  prefix_lengths_.clear();
  size_ = 0;
}

void Waiters::Take(TargetKind kind, std::string_view name, std::vector<SharedWaiter>& out) {
  auto it = lists(kind).find(ToAbsl(name));
  if (it == lists(kind).end()) return;
  size_ -= it->second.size();
  for (SharedWaiter& waiter : it->second) {
    waiter->position_ = Waiter::kNowhere;
    out.push_back(std::move(waiter));
  }
  lists(kind).erase(it);
  if (kind == TargetKind::kPrefix) ForgetLength(name.size());
}

void Waiters::ForgetLength(size_t length) {
  auto it = prefix_lengths_.find(length);
  if (--it->second == 0) prefix_lengths_.erase(it);
}

}  // namespace meshgate::consul::embedded
