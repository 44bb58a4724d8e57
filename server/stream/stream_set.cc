#include "server/stream/stream_set.h"

#include <utility>
#include <vector>

namespace meshgate::server {

std::unique_ptr<StreamSet::Membership> StreamSet::Add(const std::shared_ptr<Outbox>& outbox) {
  auto membership = std::make_unique<Membership>(this, outbox.get());
  absl::Status ended;
  {
    MutexLock lock(mu_);
    streams_.emplace(outbox.get(), outbox);
    ended = ended_;
  }
  if (!ended.ok()) outbox->End(ended);
  return membership;
}

void StreamSet::EndAll(const absl::Status& status) {
  std::vector<std::shared_ptr<Outbox>> streams;
  {
    MutexLock lock(mu_);
    ended_ = status;
    streams.reserve(streams_.size());
    for (const auto& [key, weak] : streams_) {
      if (auto outbox = weak.lock()) streams.push_back(std::move(outbox));
    }
  }
  for (const auto& outbox : streams) outbox->End(status);
}

size_t StreamSet::size() const {
  MutexLock lock(mu_);
  return streams_.size();
}

void StreamSet::Remove(const Outbox* outbox) {
  MutexLock lock(mu_);
  streams_.erase(outbox);
}

}  // namespace meshgate::server
