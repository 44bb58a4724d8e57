#include "server/hold/hold_stream.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "server/service/convert.h"
#include "server/service/validate_request.h"

namespace meshgate::server {
namespace {

// Whose the instance is that has this id already.
constexpr absl::Duration kLookUpWithin = absl::Seconds(10);

absl::StatusOr<absl::Duration> ParseLinger(const google::protobuf::Duration& linger) {
  absl::StatusOr<absl::Duration> parsed = ParseDuration("linger", linger);
  if (!parsed.ok()) return parsed;
  if (*parsed > kMaxLinger) {
    return InvalidField("linger", absl::StrCat("must be at most ", absl::FormatDuration(kMaxLinger)));
  }
  return *parsed == absl::ZeroDuration() ? kDefaultLinger : *parsed;
}

}  // namespace

// What the outbox takes from, as long as its stream lives.
class HoldStream::States final : public consul::Subscription {
 public:
  explicit States(HoldStream* stream) : stream_(stream) {}
  absl::StatusOr<consul::SharedMessage> Next(consul::NextMemo*) override { return stream_->Next(); }
  consul::SharedMessage Progress() override { return nullptr; }
  consul::TargetKind kind() const override { return consul::TargetKind::kService; }

 private:
  HoldStream* const stream_;
};

HoldStream::HoldStream(std::shared_ptr<Outbox> outbox, Scheduler* scheduler, HoldKeeper* keeper, auth::Guard* guard,
                       auth::SharedIdentity identity)
    : outbox_(std::move(outbox)),
      scheduler_(scheduler),
      keeper_(keeper),
      guard_(guard),
      identity_(std::move(identity)) {}

HoldStream::~HoldStream() { CancelFirstTimer(); }

void HoldStream::Open() {
  first_timer_ = scheduler_->After(kFirstMessageWithin, [weak = std::weak_ptr<Outbox>(outbox_)] {
    auto outbox = weak.lock();
    if (outbox == nullptr) return;
    outbox->End(
        MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                  absl::StrCat("the first message did not come within ", absl::FormatDuration(kFirstMessageWithin))));
  });
}

void HoldStream::CancelFirstTimer() {
  if (first_timer_ != 0) scheduler_->Cancel(std::exchange(first_timer_, 0));
}

void HoldStream::OnMessage(const v1::HoldRegistrationRequest& request) {
  if (ended_) return;
  CancelFirstTimer();
  std::exchange(first_came_, true) ? OnLater(request) : OnFirst(request);
}

void HoldStream::OnFirst(const v1::HoldRegistrationRequest& request) {
  if (!request.has_registration()) return outbox_->End(InvalidField("registration", "required in the first message"));
  absl::StatusOr<consul::Registration> registration = ParseRegistration(request.registration());
  if (!registration.ok()) return outbox_->End(InParentField("registration", registration.status()));
  if (absl::Status s = keeper_->check_allow().Validate(*registration); !s.ok()) {
    return outbox_->End(InParentField("registration", std::move(s)));
  }
  const absl::StatusOr<consul::Health> health = ParseHealth("status", request.status(), consul::Health::kPassing);
  if (!health.ok()) return outbox_->End(health.status());
  const absl::StatusOr<absl::Duration> linger = ParseLinger(request.linger());
  if (!linger.ok()) return outbox_->End(linger.status());

  plan_ = PlanHold(*std::move(registration));
  health_ = *health;
  linger_ = *linger;
  id_ = plan_.registration.id;
  if (guard_ == nullptr) {
    Claim();
    if (hold_ != nullptr) outbox_->Start(std::make_unique<States>(this), absl::ZeroDuration());
    return;
  }
  plan_.token = identity_->token();
  // The answer comes on another thread, and is acted upon when the outbox asks.
  outbox_->Start(std::make_unique<States>(this), absl::ZeroDuration());
  AskForPermission();
}

void HoldStream::AskForPermission() {
  services_ = {plan_.registration.service};
  // Before it is asked: what changes in between is told.
  registration_ =
      guard_->WhileMayWrite(identity_, services_, [weak = std::weak_ptr<Outbox>(outbox_)](absl::Status lost) {
        if (auto outbox = weak.lock()) outbox->End(std::move(lost));
      });
  const std::optional<std::string> held = keeper_->HeldService(id_);
  if (held.has_value() && *held != services_.front()) services_.push_back(*held);
  guard_->MayWriteInstance(identity_, id_, services_, kLookUpWithin,
                           [weak = weak_from_this()](absl::Status permission) {
                             if (auto self = weak.lock()) self->OnPermission(std::move(permission));
                           });
}

void HoldStream::OnPermission(absl::Status permission) {
  if (!permission.ok()) return outbox_->End(std::move(permission));
  permitted_ = true;
  outbox_->WakeSoon();
}

void HoldStream::Claim() {
  if (guard_ == nullptr) {
    hold_ = keeper_->Take(std::move(plan_), health_, linger_, shared_from_this());
    return;
  }
  hold_ = keeper_->Take(plan_, health_, linger_, shared_from_this(), &services_);
  // Somebody has come in between, with an instance that was not asked about.
  if (hold_ == nullptr && !outbox_->ended()) AskForPermission();
}

void HoldStream::OnLater(const v1::HoldRegistrationRequest& request) {
  if (request.has_registration()) {
    return outbox_->End(InvalidField("registration", "only in the first message; open another stream to change it"));
  }
  if (request.has_linger()) return outbox_->End(InvalidField("linger", "only in the first message"));
  const absl::StatusOr<consul::Health> health = ParseHealth("status", request.status(), consul::Health::kPassing);
  if (!health.ok()) return outbox_->End(health.status());
  health_ = *health;
  if (hold_ != nullptr) hold_->Report(*health);
}

void HoldStream::OnHalfClose() {
  if (ended_) return;
  half_closed_ = true;
  if (!first_came_) {
    return outbox_->End(InvalidField("registration", "required: the stream was closed without a message"));
  }
  if (hold_ != nullptr) return hold_->Release();
  // Nothing is held yet.
  outbox_->End(absl::OkStatus());
}

void HoldStream::OnEnd(const absl::Status& status) {
  ended_ = true;
  CancelFirstTimer();
  if (hold_ == nullptr) return;
  // Nobody is left who may hold it.
  if (absl::IsPermissionDenied(status)) return hold_->Release();
  if (ReasonOf(status) != reason::kDraining) return hold_->Lose();
  // Its caller goes on elsewhere, and the registration with it, unless that caller has just said that it is done.
  half_closed_ ? hold_->Release() : hold_->Abandon();
}

consul::SharedMessage HoldStream::Next() {
  if (permitted_.exchange(false) && !half_closed_) Claim();
  if (hold_ == nullptr) return nullptr;
  const std::optional<bool> registered = hold_->registered();
  if (!registered.has_value() || registered == told_) return nullptr;
  told_ = registered;
  v1::HoldRegistrationResponse response;
  response.set_id(id_);
  response.set_registered(*registered);
  auto message = std::make_shared<consul::Message>();
  response.SerializeToString(&message->bytes);
  return message;
}

}  // namespace meshgate::server
