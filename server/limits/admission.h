#ifndef MESHGATE_SERVER_LIMITS_ADMISSION_H_
#define MESHGATE_SERVER_LIMITS_ADMISSION_H_

#include <memory>

#include "absl/status/status.h"
#include "server/auth/guard.h"
#include "server/limits/limits.h"
#include "server/service/call.h"

namespace meshgate::server::limits {

// What lets one call in, whichever transport brought it, and has its place for as long as it counts. Belongs to the
// call; one thread at a time.
class Admission {
 public:
  // Both outlive it. Without a guard callers are taken for whom they are; without limits nobody counts.
  Admission(auth::Guard* guard, Limits* limits) : guard_(guard), limits_(limits) {}

  // Whether the caller may make a call now, and is one that may be asked about; otherwise how this one ends. Once, when
  // the call is made: whoever sends nothing more counts, too.
  absl::Status Admit(const Caller& caller);
  // The same of a stream, which counts until Leave() or the end of this.
  absl::Status AdmitStream(const Caller& caller);
  void Leave() { place_.reset(); }

  // For Caller::place. Null where nobody counts.
  Limits::Place* place() const { return place_.get(); }

 private:
  auth::Guard* const guard_;
  Limits* const limits_;
  std::unique_ptr<Limits::Place> place_;
};

}  // namespace meshgate::server::limits

#endif  // MESHGATE_SERVER_LIMITS_ADMISSION_H_
