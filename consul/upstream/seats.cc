#include "consul/upstream/seats.h"

#include <utility>
#include <vector>

namespace meshgate::consul {

Seats::Seat& Seats::Seat::operator=(Seat&& other) noexcept {
  if (this != &other) {
    Reset();
    seats_ = std::move(other.seats_);
  }
  return *this;
}

void Seats::Seat::Reset() {
  if (auto seats = std::move(seats_)) seats->GiveBack();
}

Seats::Seats(Scheduler* scheduler, std::function<int()> limit, std::function<int(int)> reserve_of)
    : scheduler_(scheduler), limit_(std::move(limit)), reserve_of_(std::move(reserve_of)) {}

std::optional<Seats::Seat> Seats::TryTake(Rank rank) {
  // The limit may have grown since anybody looked.
  Serve();
  MutexLock lock(mu_);
  if (closed_ || !(rank == Rank::kShared ? shared_ : alone_).empty() || !FreeLocked(rank)) return std::nullopt;
  ++taken_;
  return Seat(shared_from_this());
}

uint64_t Seats::Wait(Rank rank, Seated seated) {
  uint64_t waiter;
  {
    MutexLock lock(mu_);
    waiter = next_waiter_++;
    if (!closed_) (rank == Rank::kShared ? shared_ : alone_).emplace(waiter, std::move(seated));
  }
  Serve();
  return waiter;
}

bool Seats::Cancel(uint64_t waiter) {
  // Destroyed after the lock is released.
  std::map<uint64_t, Seated>::node_type dropped;
  MutexLock lock(mu_);
  for (auto* waiting : {&shared_, &alone_}) {
    dropped = waiting->extract(waiter);
    if (!dropped.empty()) return true;
  }
  return false;
}

int Seats::taken() const {
  MutexLock lock(mu_);
  return taken_;
}

size_t Seats::waiting() const {
  MutexLock lock(mu_);
  return shared_.size() + alone_.size();
}

bool Seats::FreeLocked(Rank rank) const {
  const int limit = limit_();
  return taken_ < limit - (rank == Rank::kAlone ? reserve_of_(limit) : 0);
}

void Seats::GiveBack() {
  {
    MutexLock lock(mu_);
    --taken_;
  }
  Serve();
}

void Seats::Serve() {
  // Posted without the lock: a task that is dropped gives its seat back.
  std::vector<Seated> served;
  {
    MutexLock lock(mu_);
    if (closed_) return;
    for (const Rank rank : {Rank::kShared, Rank::kAlone}) {
      auto& waiting = rank == Rank::kShared ? shared_ : alone_;
      while (!waiting.empty() && FreeLocked(rank)) {
        ++taken_;
        served.push_back(std::move(waiting.begin()->second));
        waiting.erase(waiting.begin());
      }
    }
  }
  for (Seated& seated : served) {
    scheduler_->Post(
        [seated = std::move(seated), seat = Seat(shared_from_this())]() mutable { seated(std::move(seat)); });
  }
}

void Seats::Close() {
  std::map<uint64_t, Seated> dropped[2];
  MutexLock lock(mu_);
  closed_ = true;
  shared_.swap(dropped[0]);
  alone_.swap(dropped[1]);
}

}  // namespace meshgate::consul
