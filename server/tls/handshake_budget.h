#ifndef MESHGATE_SERVER_TLS_HANDSHAKE_BUDGET_H_
#define MESHGATE_SERVER_TLS_HANDSHAKE_BUDGET_H_

#include <atomic>
#include <utility>

namespace meshgate::server::tls {

// How many handshakes may be in progress at a listener. Thread-safe; outlives what it gives.
class HandshakeBudget {
 public:
  // Each takes a millisecond of a processor with a key of RSA 2048, and 57 KiB until it is done, or 170 where the peer
  // announces a large message: all of them are a second and 58 to 170 MiB.
  static constexpr int kMost = 1024;

  explicit HandshakeBudget(int most = kMost) : most_(most) {}

  // One of them; given back when it goes.
  class Place {
   public:
    Place() = default;
    explicit Place(HandshakeBudget* budget) : budget_(budget) {}
    Place(Place&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(budget_, other.budget_);
      return *this;
    }
    ~Place() {
      if (budget_ != nullptr) --budget_->taken_;
    }
    explicit operator bool() const { return budget_ != nullptr; }

   private:
    HandshakeBudget* budget_ = nullptr;
  };

  // None where there are as many as may be.
  Place Take() {
    if (++taken_ <= most_) return Place(this);
    --taken_;
    return {};
  }
  int taken() const { return taken_; }

 private:
  const int most_;
  std::atomic<int> taken_{0};
};

}  // namespace meshgate::server::tls

#endif  // MESHGATE_SERVER_TLS_HANDSHAKE_BUDGET_H_
