#ifndef MESHGATE_CONSUL_UPSTREAM_SEATS_H_
#define MESHGATE_CONSUL_UPSTREAM_SEATS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"

namespace meshgate::consul {

// A number of places that calls to Consul take while they are under way, and the queues of those who wait for one.
// Thread-safe.
//
// kAlone leaves a part of the places to kShared, who serve many each: where places are short it is these that must
// never wait for long. Within a rank the first to come is the first to sit down; whoever came earlier goes before
// whoever asks now.
class Seats : public std::enable_shared_from_this<Seats> {
 public:
  enum class Rank { kShared, kAlone };

  // Holds a place until it is destroyed, which may pass it on: not under a lock of the holder's that its successor
  // needs.
  class Seat {
   public:
    Seat(Seat&& other) noexcept = default;
    Seat& operator=(Seat&& other) noexcept;
    ~Seat() { Reset(); }

   private:
    friend class Seats;
    explicit Seat(std::shared_ptr<Seats> seats) : seats_(std::move(seats)) {}
    void Reset();

    std::shared_ptr<Seats> seats_;
  };

  // Runs once, on the Scheduler, unless it is cancelled first.
  using Seated = absl::AnyInvocable<void(Seat)>;

  // `limit` is asked each time, and may change: more places than that are taken until they are given back. It and
  // `reserve_of`, the part of so many that is kept for kShared, are called under a lock, and quick.
  Seats(Scheduler* scheduler, std::function<int()> limit, std::function<int(int limit)> reserve_of);

  // A place, where there is one and nobody of this rank waits for it.
  std::optional<Seat> TryTake(Rank rank);

  // Queues for one. The result is for Cancel().
  uint64_t Wait(Rank rank, Seated seated);
  // Whether `seated` will now never run.
  bool Cancel(uint64_t waiter);

  // Nobody is seated any more. The Scheduler is not used after that.
  void Close();

  int taken() const;
  size_t waiting() const;

 private:
  bool FreeLocked(Rank rank) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void GiveBack();
  // Gives the free places to those that wait.
  void Serve();

  Scheduler* const scheduler_;
  const std::function<int()> limit_;
  const std::function<int(int)> reserve_of_;

  mutable Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  int taken_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_waiter_ ABSL_GUARDED_BY(mu_) = 1;
  // In the order they came.
  std::map<uint64_t, Seated> shared_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, Seated> alone_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_UPSTREAM_SEATS_H_
