#ifndef MESHGATE_TESTS_SERVER_WIRE_NUMBER_SOURCE_H_
#define MESHGATE_TESTS_SERVER_WIRE_NUMBER_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "consul/watch/hub.h"
#include "meshgate/v1/config_service.pb.h"
#include "server/stream/outbox.h"

namespace meshgate::testing {

// A target whose state is a number; every reader gets the latest one.
class NumberSource {
 public:
  explicit NumberSource(size_t padding = 0) : padding_(padding) {}

  void Attach(const std::shared_ptr<server::Outbox>& outbox) {
    {
      MutexLock lock(mu_);
      outboxes_.push_back(outbox);
      changed_.NotifyAll();
    }
    outbox->Start(std::make_unique<Reader>(this), absl::ZeroDuration());
  }

  void Publish() {
    std::vector<std::shared_ptr<server::Outbox>> readers;
    {
      MutexLock lock(mu_);
      ++version_;
      for (const auto& weak : outboxes_) {
        if (auto outbox = weak.lock()) readers.push_back(std::move(outbox));
      }
    }
    for (const auto& outbox : readers) outbox->WakeSoon();
  }

  // Waits until a reader has taken a message, which is then written whatever else happens.
  void WaitTaken() {
    MutexLock lock(mu_);
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (taken_ == 0 && changed_.WaitUntil(mu_, end)) {
    }
  }

  // Waits until `count` streams have been attached.
  std::vector<std::shared_ptr<server::Outbox>> Wait(size_t count) {
    MutexLock lock(mu_);
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (outboxes_.size() < count && changed_.WaitUntil(mu_, end)) {
    }
    std::vector<std::shared_ptr<server::Outbox>> out;
    for (const auto& weak : outboxes_) out.push_back(weak.lock());
    return out;
  }

 private:
  class Reader final : public consul::Subscription {
   public:
    explicit Reader(NumberSource* source) : source_(source) {}
    absl::StatusOr<consul::SharedMessage> Next(consul::NextMemo*) override {
      MutexLock lock(source_->mu_);
      if (mark_ == source_->version_) return consul::SharedMessage();
      mark_ = source_->version_;
      source_->taken_ = mark_;
      source_->changed_.NotifyAll();
      v1::WatchConfigResponse response;
      response.set_index(mark_);
      response.add_events()->mutable_entry()->set_value(std::string(source_->padding_, 'x'));
      auto message = std::make_shared<consul::Message>();
      response.SerializeToString(&message->bytes);
      return consul::SharedMessage(std::move(message));
    }
    consul::SharedMessage Progress() override { return nullptr; }
    consul::TargetKind kind() const override { return consul::TargetKind::kKey; }

   private:
    NumberSource* const source_;
    uint64_t mark_ = 0;
  };

  const size_t padding_;
  Mutex mu_;
  CondVar changed_;
  uint64_t version_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t taken_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::weak_ptr<server::Outbox>> outboxes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_SERVER_WIRE_NUMBER_SOURCE_H_
