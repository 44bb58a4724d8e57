#include "tests/testing/silent_reader.h"

#include <utility>

#include "absl/time/clock.h"

namespace meshgate::testing {

SilentReader::SilentReader(const std::shared_ptr<grpc::Channel>& channel, const v1::WatchConfigRequest& request)
    : stub_(v1::ConfigService::NewStub(channel)), request_(request) {
  context_.set_wait_for_ready(true);
  stub_->async()->WatchConfig(&context_, &request_, this);
  // Reads are started from outside, possibly after the end.
  AddHold();
  StartCall();
}

SilentReader::~SilentReader() {
  context_.TryCancel();
  bool held;
  {
    MutexLock lock(mu_);
    held = std::exchange(held_, false);
  }
  if (held) RemoveHold();
  MutexLock lock(mu_);
  while (!status_.has_value()) changed_.Wait(mu_);
}

bool SilentReader::WaitOpen(absl::Duration within) {
  const absl::Time until = absl::Now() + within;
  MutexLock lock(mu_);
  while (!open_ && changed_.WaitUntil(mu_, until)) {
  }
  return open_;
}

std::optional<v1::WatchConfigResponse> SilentReader::Read(absl::Duration within) {
  const absl::Time until = absl::Now() + within;
  {
    MutexLock lock(mu_);
    if (ended_ || reading_) return std::nullopt;
    reading_ = true;
  }
  StartRead(&response_);
  MutexLock lock(mu_);
  while (reading_ && changed_.WaitUntil(mu_, until)) {
  }
  if (reading_ || ended_) return std::nullopt;
  return std::move(response_);
}

std::optional<grpc::Status> SilentReader::WaitEnd(absl::Duration within) {
  const absl::Time until = absl::Now() + within;
  bool held;
  {
    MutexLock lock(mu_);
    if (!ended_) return std::nullopt;
    held = std::exchange(held_, false);
  }
  if (held) RemoveHold();
  MutexLock lock(mu_);
  while (!status_.has_value() && changed_.WaitUntil(mu_, until)) {
  }
  return status_;
}

void SilentReader::OnReadInitialMetadataDone(bool ok) {
  MutexLock lock(mu_);
  open_ = ok;
  changed_.NotifyAll();
}

void SilentReader::OnReadDone(bool ok) {
  MutexLock lock(mu_);
  reading_ = false;
  ended_ = !ok;
  changed_.NotifyAll();
}

void SilentReader::OnDone(const grpc::Status& status) {
  MutexLock lock(mu_);
  status_ = status;
  changed_.NotifyAll();
}

}  // namespace meshgate::testing
