#include "server/limits/admission.h"

#include <utility>

#include "server/limits/caller_key.h"

namespace meshgate::server::limits {

absl::Status Admission::Admit(const Caller& caller) {
  if (limits_ != nullptr) {
    absl::Status taken = limits_->TakeRequest([&] { return CallerKey(caller, guard_); });
    if (!taken.ok()) return taken;
  }
  if (guard_ == nullptr || caller.identity != nullptr) return absl::OkStatus();
  return guard_->Unidentified();
}

absl::Status Admission::AdmitStream(const Caller& caller) {
  if (absl::Status admitted = Admit(caller); !admitted.ok() || limits_ == nullptr) return admitted;
  auto place = limits_->OpenStream(CallerKey(caller, guard_));
  if (!place.ok()) return place.status();
  place_ = *std::move(place);
  return absl::OkStatus();
}

}  // namespace meshgate::server::limits
