#include "tests/testing/config_streams.h"

#include <chrono>

#include "absl/time/clock.h"

namespace meshgate::testing {

class ConfigStreams::Stream final : public grpc::ClientReadReactor<v1::WatchConfigResponse> {
 public:
  Stream(ConfigStreams* owner, std::shared_ptr<grpc::Channel> channel, v1::WatchConfigRequest request)
      : owner_(owner), stub_(v1::ConfigService::NewStub(channel)), request_(std::move(request)) {
    context_.set_wait_for_ready(true);
  }

  void Begin() {
    stub_->async()->WatchConfig(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }

  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    {
      MutexLock lock(owner_->mu_);
      ++log.responses;
      if (response_.snapshot()) {
        ++log.snapshots;
        log.state.clear();
      }
      if (response_.stale()) ++log.stale;
      for (const auto& event : response_.events()) {
        if (event.type() == v1::ConfigEvent::TYPE_PUT) {
          ++log.puts;
          log.state[event.entry().key()] = event.entry().value();
        } else {
          ++log.deletes;
          log.state.erase(event.entry().key());
        }
      }
    }
    owner_->changed_.NotifyAll();
    response_.Clear();
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    MutexLock lock(owner_->mu_);
    log.ended = true;
    log.status = status;
    owner_->changed_.NotifyAll();
  }

  // Guarded by the owner's lock.
  StreamLog log;

 private:
  ConfigStreams* const owner_;
  const std::unique_ptr<v1::ConfigService::Stub> stub_;
  const v1::WatchConfigRequest request_;
  grpc::ClientContext context_;
  v1::WatchConfigResponse response_;
};

ConfigStreams::ConfigStreams() = default;

ConfigStreams::~ConfigStreams() {
  {
    MutexLock lock(mu_);
    for (auto& stream : streams_) stream->Cancel();
  }
  WaitForAll([](const StreamLog& log) { return log.ended; });
}

void ConfigStreams::Open(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                         const v1::WatchConfigRequest& request, int count) {
  for (int i = 0; i < count; ++i) {
    auto stream = std::make_unique<Stream>(this, channels[static_cast<size_t>(i) % channels.size()], request);
    Stream* begun = stream.get();
    {
      MutexLock lock(mu_);
      streams_.push_back(std::move(stream));
    }
    begun->Begin();
  }
}

bool ConfigStreams::WaitForAll(const std::function<bool(const StreamLog&)>& holds, absl::Duration within) {
  const absl::Time until = absl::Now() + within;
  MutexLock lock(mu_);
  while (true) {
    bool all = true;
    for (const auto& stream : streams_) all = all && holds(stream->log);
    if (all) return true;
    if (!changed_.WaitUntil(mu_, until)) return false;
  }
}

std::vector<StreamLog> ConfigStreams::logs() {
  MutexLock lock(mu_);
  std::vector<StreamLog> copies;
  copies.reserve(streams_.size());
  for (const auto& stream : streams_) copies.push_back(stream->log);
  return copies;
}

}  // namespace meshgate::testing
