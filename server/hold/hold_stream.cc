#include "server/hold/hold_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "server/service/convert.h"
#include "server/service/validate_request.h"

namespace meshgate::server {
namespace {

absl::StatusOr<absl::Duration> ParseLinger(const google::protobuf::Duration& linger) {
  absl::StatusOr<absl::Duration> parsed = ParseDuration("linger", linger);
  if (!parsed.ok()) return parsed;
  if (*parsed > kMaxLinger) {
    return InvalidField("linger", absl::StrCat("must be at most ", absl::FormatDuration(kMaxLinger)));
  }
  return *parsed == absl::ZeroDuration() ? kDefaultLinger : *parsed;
}

}  // namespace

// What the outbox takes from. Lives inside the outbox, and that inside the stream.
class HoldStream::States final : public consul::Subscription {
 public:
  explicit States(HoldStream* stream) : stream_(stream) {}
  absl::StatusOr<consul::SharedMessage> Next() override { return stream_->Next(); }
  consul::SharedMessage Progress() override { return nullptr; }
  consul::TargetKind kind() const override { return consul::TargetKind::kService; }

 private:
  HoldStream* const stream_;
};

HoldStream::HoldStream(StreamWriter* transport, Scheduler* scheduler, HoldKeeper* keeper)
    : transport_(transport),
      scheduler_(scheduler),
      keeper_(keeper),
      outbox_(std::make_shared<Outbox>(this, scheduler, &unreported_)) {}

HoldStream::~HoldStream() {
  MutexLock lock(mu_);
  if (first_timer_ != 0) scheduler_->Cancel(first_timer_);
}

void HoldStream::Open() {
  MutexLock lock(mu_);
  first_timer_ = scheduler_->After(kFirstMessageWithin, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->OnFirstOverdue();
  });
}

void HoldStream::OnMessage(const v1::HoldRegistrationRequest& request) {
  bool first;
  {
    MutexLock lock(mu_);
    if (end_.has_value()) return;
    first = !std::exchange(first_came_, true);
    if (first && first_timer_ != 0) scheduler_->Cancel(std::exchange(first_timer_, 0));
  }
  first ? OnFirst(request) : OnLater(request);
}

void HoldStream::OnFirst(const v1::HoldRegistrationRequest& request) {
  if (!request.has_registration()) return outbox_->End(InvalidField("registration", "required in the first message"));
  absl::StatusOr<consul::Registration> registration = ParseRegistration(request.registration());
  if (!registration.ok()) return outbox_->End(InParentField("registration", registration.status()));
  const absl::StatusOr<consul::Health> health = ParseHealth("status", request.status(), consul::Health::kPassing);
  if (!health.ok()) return outbox_->End(health.status());
  const absl::StatusOr<absl::Duration> linger = ParseLinger(request.linger());
  if (!linger.ok()) return outbox_->End(linger.status());

  HoldPlan plan = PlanHold(*std::move(registration));
  {
    MutexLock lock(mu_);
    id_ = plan.registration.id;
  }
  const std::shared_ptr<Hold> hold = keeper_->Take(std::move(plan), *health, *linger, shared_from_this());
  if (hold == nullptr) return;
  std::optional<absl::Status> end;
  {
    MutexLock lock(mu_);
    hold_ = hold;
    end = end_;
  }
  // It ended meanwhile, and knew of no hold to let go.
  if (end.has_value()) return LetGo(hold.get(), *end);
  outbox_->Start(std::make_unique<States>(this), absl::ZeroDuration());
}

void HoldStream::OnLater(const v1::HoldRegistrationRequest& request) {
  if (request.has_registration()) {
    return outbox_->End(InvalidField("registration", "only in the first message; open another stream to change it"));
  }
  if (request.has_linger()) return outbox_->End(InvalidField("linger", "only in the first message"));
  const absl::StatusOr<consul::Health> health = ParseHealth("status", request.status(), consul::Health::kPassing);
  if (!health.ok()) return outbox_->End(health.status());
  std::shared_ptr<Hold> hold;
  {
    MutexLock lock(mu_);
    hold = hold_;
  }
  if (hold != nullptr) hold->Report(*health);
}

void HoldStream::OnFirstOverdue() {
  {
    MutexLock lock(mu_);
    first_timer_ = 0;
    if (first_came_) return;
  }
  outbox_->End(
      MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                absl::StrCat("the first message did not come within ", absl::FormatDuration(kFirstMessageWithin))));
}

void HoldStream::OnReadsDone() {
  bool empty;
  {
    MutexLock lock(mu_);
    if (end_.has_value()) return;
    empty = !first_came_;
    reads_done_ = true;
    probe_due_ = hold_ != nullptr;
  }
  if (empty) return outbox_->End(InvalidField("registration", "required: the stream was closed without a message"));
  outbox_->Wake();
}

void HoldStream::OnWriteDone(bool ok) {
  std::shared_ptr<Hold> released;
  {
    MutexLock lock(mu_);
    if (std::exchange(probing_, false) && ok) released = hold_;
  }
  outbox_->OnWriteDone(ok);
  if (released != nullptr) released->Release();
}

std::string HoldStream::id() const {
  MutexLock lock(mu_);
  return id_;
}

void HoldStream::Finish(const absl::Status& status) {
  std::shared_ptr<Hold> hold;
  {
    MutexLock lock(mu_);
    end_ = status;
    hold = hold_;
    if (first_timer_ != 0) scheduler_->Cancel(std::exchange(first_timer_, 0));
  }
  if (hold != nullptr) LetGo(hold.get(), status);
  // Possibly the last that happens to this.
  transport_->Finish(status);
}

void HoldStream::LetGo(Hold* hold, const absl::Status& end) {
  if (ReasonOf(end) != reason::kDraining) return hold->Lose();
  bool goodbye;
  {
    MutexLock lock(mu_);
    goodbye = reads_done_;
  }
  // Its caller goes on elsewhere, and the registration with it, unless that caller has just said that it is done.
  goodbye ? hold->Release() : hold->Abandon();
}

consul::SharedMessage HoldStream::Next() {
  v1::HoldRegistrationResponse response;
  {
    MutexLock lock(mu_);
    const std::optional<bool> registered = hold_->registered();
    if (std::exchange(probe_due_, false)) {
      probing_ = true;
    } else if (!registered.has_value() || registered == told_) {
      return nullptr;
    }
    if (registered.has_value()) told_ = registered;
    response.set_id(id_);
    response.set_registered(registered.value_or(false));
  }
  auto message = std::make_shared<consul::Message>();
  response.SerializeToString(&message->bytes);
  return message;
}

}  // namespace meshgate::server
