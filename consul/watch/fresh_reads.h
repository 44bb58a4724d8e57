#ifndef MESHGATE_CONSUL_WATCH_FRESH_READS_H_
#define MESHGATE_CONSUL_WATCH_FRESH_READS_H_

#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/upstream/fetch.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

// Quorum reads of one target for callers whom a cached state is too old: one is under way at a time, and those who come
// meanwhile share the next one. They must not share the one under way, which may have been answered before their write.
// Thread-safe.
class FreshReads final : public std::enable_shared_from_this<FreshReads> {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Fetched>)>;

  // `backend` outlives every read.
  FreshReads(Backend* backend, Target target) : backend_(backend), target_(std::move(target)) {}

  void Read(Done done);

 private:
  void Start(std::vector<Done> callers);

  Backend* const backend_;
  const Target target_;

  Mutex mu_;
  bool under_way_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<Done> next_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_FRESH_READS_H_
