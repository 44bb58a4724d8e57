#ifndef MESHGATE_SERVER_STREAM_STREAM_SET_H_
#define MESHGATE_SERVER_STREAM_STREAM_SET_H_

#include <cstddef>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "consul/base/mutex.h"
#include "server/stream/outbox.h"

namespace meshgate::server {

// The open streams of the process, so that a drain can end them all. Thread-safe.
class StreamSet {
 public:
  // Tells the set that the stream is gone when it is destroyed.
  class Membership {
   public:
    Membership(StreamSet* set, const Outbox* outbox) : set_(set), outbox_(outbox) {}
    ~Membership() { set_->Remove(outbox_); }
    Membership(const Membership&) = delete;
    Membership& operator=(const Membership&) = delete;

   private:
    StreamSet* const set_;
    const Outbox* const outbox_;
  };

  // After EndAll() a new stream is ended at once with the same status. The set outlives the membership.
  std::unique_ptr<Membership> Add(const std::shared_ptr<Outbox>& outbox);

  // Ends every stream, those to come too, with `status`.
  void EndAll(const absl::Status& status);

  size_t size() const;

 private:
  void Remove(const Outbox* outbox);

  mutable Mutex mu_;
  absl::flat_hash_map<const Outbox*, std::weak_ptr<Outbox>> streams_ ABSL_GUARDED_BY(mu_);
  absl::Status ended_ ABSL_GUARDED_BY(mu_);  // OK: not ended
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_STREAM_STREAM_SET_H_
