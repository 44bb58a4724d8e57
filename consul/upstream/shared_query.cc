#include "consul/upstream/shared_query.h"

#include "consul/upstream/upstream_member.h"
#include "consul/upstream/upstream_pool.h"

namespace meshgate::consul {

bool SharedQuery::OnState(const Fetched& fetched, bool reset) {
  const auto pool = pool_.lock();
  if (pool == nullptr) return true;
  SeenEntries seen(fetched.state->entries);
  // Read without the lock: nobody else writes it.
  const std::vector<std::string> changed = seen.ChangedSince(seen_);
  return pool->OnShareState(*this, fetched, reset, std::move(seen), changed);
}

void SharedQuery::OnConfirmed(absl::Time received) {
  if (const auto pool = pool_.lock()) pool->OnShareConfirmed(*this, received);
}

void SharedQuery::OnFailure(const absl::Status& error, int consecutive) {
  if (const auto pool = pool_.lock()) pool->OnShareFailure(*this, error, consecutive);
}

bool SharedQuery::OnAsk() {
  const auto pool = pool_.lock();
  return pool != nullptr && pool->OnShareAsk(*this);
}

void SharedQuery::OnSend(bool blocks) {
  if (blocks) return;
  if (const auto pool = pool_.lock()) pool->OnShareSend(*this);
}

void SharedQuery::Add(const std::shared_ptr<UpstreamMember>& member) {
  const Target& target = member->target_;
  members_.emplace(MemberKey(target.name, target.kind), member.get());
  if (target.kind == TargetKind::kPrefix) ++prefix_lengths_[target.name.size()];
  joined_.emplace_back(member, member->stint_);
}

void SharedQuery::Remove(const UpstreamMember& member) {
  const Target& target = member.target_;
  auto [it, end] = members_.equal_range(MemberKey(target.name, target.kind));
  while (it != end && it->second != &member) ++it;
  if (it == end) return;
  members_.erase(it);
  if (target.kind != TargetKind::kPrefix) return;
  auto length = prefix_lengths_.find(target.name.size());
  if (--length->second == 0) prefix_lengths_.erase(length);
}

void SharedQuery::FindWhoSees(const std::string& key, std::vector<UpstreamMember*>& found) const {
  const auto find = [&](std::string_view name, TargetKind kind) {
    const auto [begin, end] = members_.equal_range(MemberKey(name, kind));
    for (auto it = begin; it != end; ++it) found.push_back(it->second);
  };
  find(key, TargetKind::kKey);
  for (const auto& [length, count] : prefix_lengths_) {
    if (length > key.size()) break;
    find(std::string_view(key).substr(0, length), TargetKind::kPrefix);
  }
}

}  // namespace meshgate::consul
