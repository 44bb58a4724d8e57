#include "consul/last_known/unsaved.h"

#include <algorithm>
#include <utility>

namespace meshgate::consul::last_known {

Unsaved::Kind Unsaved::Save(const Target& target, const StoredState& stored) {
  if (slots_.size() >= prune_at_) Prune();
  Slot& slot = slots_[target];
  slot.index = stored.index;
  slot.confirmed = stored.confirmed;
  if (slot.latest.lock() == stored.state) {
    slot.unconfirmed = !slot.unwritten && !slot.refused;
    return slot.unwritten ? Kind::kState : Kind::kConfirmation;
  }
  slot.latest = stored.state;
  SetUnwritten(slot, true);
  slot.held = waiting_ <= max_held_ ? stored.state : nullptr;
  return Kind::kState;
}

std::optional<StoredState> Unsaved::Latest(const Target& target) const {
  auto it = slots_.find(target);
  if (it == slots_.end()) return std::nullopt;
  SharedState state = it->second.latest.lock();
  if (state == nullptr) return std::nullopt;
  return StoredState{std::move(state), it->second.index, it->second.confirmed};
}

void Unsaved::SetLoaded(const Target& target, const StoredState& stored) {
  Slot& slot = slots_[target];
  if (slot.latest.lock() != nullptr || slot.unwritten) return;
  slot.latest = stored.state;
  slot.index = stored.index;
  slot.confirmed = stored.confirmed;
}

std::vector<Unsaved::Item> Unsaved::States() const {
  std::vector<Item> items;
  if (waiting_ == 0) return items;
  for (const auto& [target, slot] : slots_) {
    if (!slot.unwritten) continue;
    SharedState state = slot.latest.lock();
    if (state != nullptr) items.push_back({target, {std::move(state), slot.index, slot.confirmed}});
  }
  return items;
}

std::vector<Unsaved::Item> Unsaved::TakeConfirmations() {
  std::vector<Item> items;
  for (auto& [target, slot] : slots_) {
    if (!std::exchange(slot.unconfirmed, false)) continue;
    SharedState state = slot.latest.lock();
    if (state != nullptr) items.push_back({target, {std::move(state), slot.index, slot.confirmed}});
  }
  return items;
}

void Unsaved::OnWritten(const Item& item) {
  Slot* slot = Find(item);
  if (slot == nullptr) return;
  SetUnwritten(*slot, false);
  // Confirmed while it was being written.
  slot->unconfirmed = slot->confirmed > item.stored.confirmed;
}

void Unsaved::OnFailed(const Item& item) {
  if (Slot* slot = Find(item)) slot->held.reset();
}

void Unsaved::OnRefused(const Item& item) {
  Slot* slot = Find(item);
  if (slot == nullptr) return;
  SetUnwritten(*slot, false);
  slot->refused = true;
}

void Unsaved::OnLost(const Target& target) {
  if (auto it = slots_.find(target); it != slots_.end() && !it->second.refused) SetUnwritten(it->second, true);
}

void Unsaved::OnAllLost() {
  for (auto& [target, slot] : slots_) {
    if (!slot.refused) SetUnwritten(slot, true);
  }
}

void Unsaved::Prune() {
  for (auto it = slots_.begin(); it != slots_.end();) {
    if (it->second.latest.expired()) {
      SetUnwritten(it->second, false);
      slots_.erase(it++);
    } else {
      ++it;
    }
  }
  prune_at_ = std::max<size_t>(1024, 2 * slots_.size());
}

void Unsaved::SetUnwritten(Slot& slot, bool unwritten) {
  if (unwritten) slot.refused = slot.unconfirmed = false;
  if (!unwritten) slot.held.reset();
  if (slot.unwritten == unwritten) return;
  slot.unwritten = unwritten;
  unwritten ? ++waiting_ : --waiting_;
}

Unsaved::Slot* Unsaved::Find(const Item& item) {
  auto it = slots_.find(item.target);
  return it != slots_.end() && it->second.latest.lock() == item.stored.state ? &it->second : nullptr;
}

}  // namespace meshgate::consul::last_known
