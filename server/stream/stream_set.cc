#include "server/stream/stream_set.h"

#include <utility>
#include <vector>

namespace meshgate::server {

std::unique_ptr<StreamSet::Membership> StreamSet::Add(const std::shared_ptr<Outbox>& outbox,
                                                      std::function<void()> hurry_up) {
  auto membership = std::make_unique<Membership>(this, outbox.get());
  absl::Status ended;
  {
    MutexLock lock(mu_);
    streams_.emplace(outbox.get(), Stream{outbox, std::move(hurry_up)});
    ended = ended_;
  }
  if (!ended.ok()) outbox->End(ended);
  return membership;
}

void StreamSet::EndAll(const absl::Status& status) {
  std::vector<std::pair<std::shared_ptr<Outbox>, std::function<void()>>> streams;
  {
    MutexLock lock(mu_);
    ended_ = status;
    streams.reserve(streams_.size());
    for (const auto& [key, stream] : streams_) {
      if (auto outbox = stream.outbox.lock()) streams.emplace_back(std::move(outbox), stream.hurry_up);
    }
  }
  for (const auto& [outbox, hurry_up] : streams) {
    outbox->End(status);
    if (hurry_up != nullptr) hurry_up();
  }
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
