#ifndef MESHGATE_CONSUL_UPSTREAM_UPSTREAM_MEMBER_H_
#define MESHGATE_CONSUL_UPSTREAM_UPSTREAM_MEMBER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "consul/upstream/mailbox.h"
#include "consul/upstream/seen_entries.h"
#include "consul/upstream/upstream_watch.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

class SharedQuery;
class UpstreamPool;

// One watched target of an UpstreamPool. Thread-safe.
class UpstreamMember final : public std::enable_shared_from_this<UpstreamMember> {
 public:
  UpstreamMember(std::weak_ptr<UpstreamPool> pool, Target target, std::weak_ptr<UpstreamWatch::Listener> listener)
      : target_(std::move(target)), pool_(std::move(pool)), mailbox_(std::move(listener)) {}

  // See UpstreamPool::Watch().
  void Start();
  void Stop();

 private:
  friend class UpstreamPool;
  friend class SharedQuery;
  class OwnQuery;

  void NoteLocked(const SeenEntries& seen) {
    present_ = !seen.empty();
    bytes_ = seen.bytes();
    fingerprint_ = seen.Fingerprint();
  }
  // Whether its state is what `seen`, an answer for a wider prefix, holds of it. False where it isn't known.
  bool SameInLocked(const SeenEntries& seen) const {
    const uint64_t there = seen.Fingerprint(target_);
    return fingerprint_ == there && present_ == (there != SeenEntries().Fingerprint());
  }
  bool shareable() const { return target_.kind == TargetKind::kKey || target_.kind == TargetKind::kPrefix; }

  const Target target_;
  const std::weak_ptr<UpstreamPool> pool_;
  Mailbox mailbox_;

  // ---- Guarded by the pool's lock.
  bool watched_ = false;
  bool stopped_ = false;
  // Names the query that watches it, be it its own or a shared one; what an earlier one brings is ignored.
  uint64_t stint_ = 0;
  // At most one of the two.
  std::shared_ptr<UpstreamWatch> own_;
  std::shared_ptr<UpstreamWatch::Listener> own_listener_;
  SharedQuery* share_ = nullptr;
  // A shared query that was sent after it had joined has been answered.
  bool covered_ = false;
  // Has a state, as far as the pool knows; whether it holds anything, and, where queries are shared, of what size and
  // which.
  bool ready_ = false;
  bool present_ = false;
  size_t bytes_ = 0;
  uint64_t fingerprint_ = 0;
  // When its own query was last sent, and the one that brought the state; counted as SharedQuery::answered_ is.
  uint64_t sent_ = 0;
  uint64_t known_ = 0;
  // How often it has been read again to catch up with a shared query that it is to join.
  int catch_ups_ = 0;
};

// Hears what a member's own query brings, and forgets it when the member has another one.
class UpstreamMember::OwnQuery final : public UpstreamWatch::Listener {
 public:
  OwnQuery(std::weak_ptr<UpstreamMember> member, uint64_t stint) : member_(std::move(member)), stint_(stint) {}

  Lost WhatIsLost(const State& state) override;
  bool OnState(const Fetched& fetched, bool reset) override;
  void OnConfirmed(absl::Time received) override;
  void OnFailure(const absl::Status& error, int consecutive) override;
  bool OnAsk() override;
  void OnSend(bool blocks) override;
  bool OnSeatWanted() override;

 private:
  const std::weak_ptr<UpstreamMember> member_;
  const uint64_t stint_;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_UPSTREAM_UPSTREAM_MEMBER_H_
