#ifndef MESHGATE_SERVER_HOLD_HOLD_LEASE_H_
#define MESHGATE_SERVER_HOLD_HOLD_LEASE_H_

#include <atomic>
#include <memory>
#include <utility>

namespace meshgate::server {

// A caller's permission to hold an instance, where the gateway's own token writes it: nobody else would notice that the
// caller may not any more. Lives with what is held, which may be longer than the stream. Thread-safe but for KeepUp().
class HoldLease {
 public:
  // Calls Revoke(), for as long as it lives.
  void KeepUp(std::shared_ptr<void> source) { source_ = std::move(source); }

  void Revoke() { revoked_ = true; }
  bool revoked() const { return revoked_; }

 private:
  std::atomic<bool> revoked_{false};
  std::shared_ptr<void> source_;
};
using SharedHoldLease = std::shared_ptr<const HoldLease>;

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HOLD_HOLD_LEASE_H_
