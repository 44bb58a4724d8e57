#ifndef MESHGATE_SERVER_HOLD_HOLD_STREAM_H_
#define MESHGATE_SERVER_HOLD_HOLD_STREAM_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/base/scheduler.h"
#include "meshgate/v1/registry_service.pb.h"
#include "server/auth/guard.h"
#include "server/hold/hold_keeper.h"
#include "server/stream/outbox.h"

namespace meshgate::server {

// A stream that sends nothing holds nothing for longer.
inline constexpr absl::Duration kFirstMessageWithin = absl::Seconds(10);
inline constexpr absl::Duration kDefaultLinger = absl::Seconds(10);
inline constexpr absl::Duration kMaxLinger = absl::Minutes(10);

// One HoldRegistration stream without a transport: checks what comes, claims the instance, and says through an Outbox
// how it stands, the latest state alone.
//
// OnMessage(), OnHalfClose() and OnEnd() come on the transport's thread.
class HoldStream final : public HoldListener, public std::enable_shared_from_this<HoldStream> {
 public:
  // The others outlive the stream. An end of `outbox` with reason DRAINING leaves the instance registered. With a
  // `guard` the instance is the caller's to hold where Consul lets `identity` write its service, and that of the
  // instance that is held by this id already: who may not takes nothing from anybody.
  HoldStream(std::shared_ptr<Outbox> outbox, Scheduler* scheduler, HoldKeeper* keeper, auth::Guard* guard = nullptr,
             auth::SharedIdentity identity = nullptr);
  ~HoldStream() override;

  // Waits for the first message from here on.
  void Open();

  void OnMessage(const v1::HoldRegistrationRequest& request);
  // The caller has closed its side: the instance is deregistered, and the stream ends with OK when that is done. A
  // stream that breaks ends without.
  void OnHalfClose();
  // The stream has ended, whichever way.
  void OnEnd(const absl::Status& status);

  // The id, once the first message was good: for the log.
  const std::string& id() const { return id_; }

 private:
  class States;

  // From the keeper, on any thread.
  void OnHoldChanged() override { outbox_->WakeSoon(); }
  void OnHoldEnded(absl::Status status) override { outbox_->End(std::move(status)); }

  void OnFirst(const v1::HoldRegistrationRequest& request);
  void OnLater(const v1::HoldRegistrationRequest& request);
  void CancelFirstTimer();
  void AskForPermission();
  void OnPermission(absl::Status permission);
  void Claim();
  // What has to be told next, or null.
  consul::SharedMessage Next();

  const std::shared_ptr<Outbox> outbox_;
  Scheduler* const scheduler_;
  HoldKeeper* const keeper_;
  auth::Guard* const guard_;
  const auth::SharedIdentity identity_;

  // Consul has let the caller hold it.
  std::atomic<bool> permitted_{false};

  // ---- The transport's thread alone.
  std::string id_;
  // What the first message asked for.
  HoldPlan plan_;
  // That the caller was asked about being let write.
  std::vector<std::string> services_;
  // Tells of the end of that, where Consul does not.
  std::shared_ptr<auth::Guard::Registration> registration_;
  consul::Health health_ = consul::Health::kPassing;
  absl::Duration linger_;
  // Its claim; stays once it is set.
  std::shared_ptr<Hold> hold_;
  bool first_came_ = false;
  bool half_closed_ = false;
  bool ended_ = false;
  std::optional<bool> told_;
  Scheduler::TimerId first_timer_ = 0;
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HOLD_HOLD_STREAM_H_
