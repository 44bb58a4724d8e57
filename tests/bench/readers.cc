#include "tests/bench/readers.h"

#include <chrono>
#include <cstdio>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tests/bench/load/stamp.h"

namespace meshgate::bench {
namespace {

constexpr size_t kField = 20;

int64_t SteadyNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

std::string Stamp(uint64_t change, size_t bytes) {
  std::string value = absl::StrFormat("%020d %020d", change, SteadyNanos());
  if (value.size() < bytes) value.resize(bytes, '.');
  return value;
}

bool PutStamped(v1::ConfigService::Stub* writer, const std::string& key, uint64_t change, size_t bytes) {
  grpc::ClientContext context;
  v1::PutConfigRequest request;
  request.set_key(key);
  request.set_value(StampedValue(change, bytes));
  v1::PutConfigResponse response;
  return writer->PutConfig(&context, request, &response).ok();
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address, bool fixed_window) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (fixed_window) arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

class Readers::Stream final : public grpc::ClientReadReactor<v1::WatchConfigResponse> {
 public:
  Stream(Readers* owner, const std::shared_ptr<grpc::Channel>& channel, v1::WatchConfigRequest request)
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
    owner_->OnMessage(*this, response_);
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override { owner_->OnEnd(status); }

  // Guarded by the owner's lock.
  bool opened = false;
  uint64_t change = 0;

 private:
  Readers* const owner_;
  const std::unique_ptr<v1::ConfigService::Stub> stub_;
  const v1::WatchConfigRequest request_;
  grpc::ClientContext context_;
  v1::WatchConfigResponse response_;
};

Readers::Readers() = default;

Readers::~Readers() {
  MutexLock lock(mu_);
  closing_ = true;
  for (auto& stream : streams_) stream->Cancel();
  while (ended_ < static_cast<int>(streams_.size())) changed_.Wait(mu_);
}

void Readers::Open(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                   const std::vector<v1::WatchConfigRequest>& requests) {
  for (size_t i = 0; i < requests.size(); ++i) {
    auto stream = std::make_unique<Stream>(this, channels[i % channels.size()], requests[i]);
    Stream* begun = stream.get();
    {
      MutexLock lock(mu_);
      streams_.push_back(std::move(stream));
    }
    begun->Begin();
  }
}

bool Readers::WaitOpen(absl::Duration within) {
  const absl::Time until = absl::Now() + within;
  MutexLock lock(mu_);
  while (opened_ < static_cast<int>(streams_.size())) {
    if (!changed_.WaitUntil(mu_, until)) return opened_ == static_cast<int>(streams_.size());
  }
  return true;
}

bool Readers::WaitFor(uint64_t change, absl::Duration within) {
  const absl::Time until = absl::Now() + within;
  MutexLock lock(mu_);
  while (ReachedLocked(change) < static_cast<int>(streams_.size())) {
    if (!changed_.WaitUntil(mu_, until)) return ReachedLocked(change) == static_cast<int>(streams_.size());
  }
  return true;
}

int Readers::opened() const {
  MutexLock lock(mu_);
  return opened_;
}

int Readers::reached(uint64_t change) const {
  MutexLock lock(mu_);
  return ReachedLocked(change);
}

int Readers::ended() const {
  MutexLock lock(mu_);
  return ended_;
}

std::vector<double> Readers::TakeLatencies() {
  MutexLock lock(mu_);
  return std::exchange(latencies_, {});
}

void Readers::OnMessage(Stream& stream, const v1::WatchConfigResponse& response) {
  const int64_t now = SteadyNanos();
  MutexLock lock(mu_);
  const int all = static_cast<int>(streams_.size());
  bool news = false;
  if (response.snapshot() && !std::exchange(stream.opened, true)) news = ++opened_ == all;
  for (const auto& event : response.events()) {
    const absl::string_view value = event.entry().value();
    uint64_t change = 0;
    int64_t written = 0;
    if (value.size() <= 2 * kField || !absl::SimpleAtoi(value.substr(0, kField), &change) ||
        !absl::SimpleAtoi(value.substr(kField + 1, kField), &written)) {
      continue;
    }
    if (change <= stream.change) continue;
    if (reached_.size() <= change) reached_.resize(change + 1);
    for (uint64_t c = stream.change + 1; c <= change; ++c) news = ++reached_[c] == all || news;
    stream.change = change;
    latencies_.push_back(static_cast<double>(now - written) / 1e6);
  }
  if (news) changed_.NotifyAll();
}

void Readers::OnEnd(const grpc::Status& status) {
  MutexLock lock(mu_);
  if (++ended_ == 1 && !closing_) {
    std::fprintf(stderr, "a stream has ended: %d %s\n", status.error_code(), status.error_message().c_str());
  }
  changed_.NotifyAll();
}

int Readers::ReachedLocked(uint64_t change) const {
  if (change == 0) return static_cast<int>(streams_.size());
  return change < reached_.size() ? reached_[change] : 0;
}

}  // namespace meshgate::bench
