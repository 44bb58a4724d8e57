#include "tests/bench/floods/bystanders.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "meshgate/v1/config_service.pb.h"
#include "tests/bench/load/channel.h"
#include "tests/bench/load/request_headers.h"
#include "tests/bench/load/stamp.h"
#include "tests/bench/load/tls.h"

namespace meshgate::bench {
namespace {

constexpr int64_t kTick = 1'000'000;  // nanoseconds

}  // namespace

// A connection with calls one after the other.
class Bystanders::Caller final : public ChannelListener {
 public:
  explicit Caller(Bystanders* all) : all_(all) {
    channel_ = all->Connect(&all->get_, this);
    v1::GetConfigRequest request;
    request.set_key(all->key_);
    request.mutable_options()->set_consistency(v1::CONSISTENCY_CACHED);
    request_ = request.SerializeAsString();
  }
  bool connected() const { return channel_ != nullptr; }

  void Begin(int64_t due) {
    ++all_->unanswered_;
    due_.push_back(due);
    channel_->Call(static_cast<int>(due_.size()) - 1, request_);
  }

 private:
  void OnMessage(int, std::string_view) override {}
  void OnEnd(int call, bool answered) override {
    --all_->unanswered_;
    if (!answered) return all_->OnFailure("a caller's call was refused");
    all_->latencies_.push_back(static_cast<double>(SteadyNanos() - due_[static_cast<size_t>(call)]) / 1e6);
  }
  void OnFailure(const std::string& what) override { all_->OnFailure("a caller: " + what); }

  Bystanders* const all_;
  std::string request_;
  // By call.
  std::vector<int64_t> due_;
  std::unique_ptr<Channel> channel_;
};

// A connection with streams.
class Bystanders::Watcher final : public ChannelListener {
 public:
  explicit Watcher(Bystanders* all) : all_(all), channel_(all->Connect(&all->watch_, this)) {}
  bool connected() const { return channel_ != nullptr; }

  void Begin(int stream) {
    v1::WatchConfigRequest request;
    request.set_key(all_->key_);
    channel_->Call(stream, request.SerializeAsString());
  }

 private:
  void OnMessage(int stream, std::string_view message) override {
    uint64_t& seen = all_->seen_[static_cast<size_t>(stream)];
    seen = std::max(seen, FindStamp(message).value_or(0));
  }
  void OnEnd(int, bool) override { all_->OnFailure("a watcher's stream was ended"); }
  void OnFailure(const std::string& what) override { all_->OnFailure("a watcher: " + what); }

  Bystanders* const all_;
  const std::unique_ptr<Channel> channel_;
};

// The kernel's, finer than what epoll waits for.
class Bystanders::Clock final : public Loop::Source {
 public:
  explicit Clock(Bystanders* all) : all_(all), fd_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
    const itimerspec every = {{0, kTick}, {0, kTick}};
    if (fd_ < 0 || timerfd_settime(fd_, 0, &every, nullptr) != 0) abort();
    begun_ = SteadyNanos();
    all_->loop_.Add(fd_, this);
  }
  ~Clock() override {
    all_->loop_.Remove(fd_);
    close(fd_);
  }

 private:
  void OnReady(uint32_t) override {
    uint64_t ticks = 0;
    if (read(fd_, &ticks, sizeof ticks) != sizeof ticks) return;
    const int64_t now = SteadyNanos();
    const int64_t between = 1'000'000'000 / all_->sizes_.calls_per_second;
    for (; begun_ + calls_ * between <= now; ++calls_) {
      const size_t who = static_cast<size_t>(calls_) % all_->callers_.size();
      all_->callers_[who]->Begin(begun_ + calls_ * between);
    }
  }

  Bystanders* const all_;
  const int fd_;
  int64_t begun_;
  int64_t calls_ = 0;
};

Bystanders::Bystanders(const std::string& address, bool tls, std::string key, const Sizes& sizes)
    : address_(address),
      tls_(tls),
      key_(std::move(key)),
      sizes_(sizes),
      get_(MakeRequestHeaders("/meshgate.v1.ConfigService/GetConfig")),
      watch_(MakeRequestHeaders("/meshgate.v1.ConfigService/WatchConfig")) {}

Bystanders::~Bystanders() = default;

std::unique_ptr<Channel> Bystanders::Connect(const RequestHeaders* method, ChannelListener* listener) {
  const int fd = ConnectTo(address_);
  if (fd < 0) return nullptr;
  SSL* const tls = tls_ ? TlsOn(fd) : nullptr;
  if (tls_ && tls == nullptr) {
    close(fd);
    return nullptr;
  }
  return std::make_unique<Http2Channel>(&loop_, fd, method, /*half_close=*/true, listener, tls);
}

bool Bystanders::Open(uint64_t change, absl::Duration within) {
  seen_.resize(static_cast<size_t>(sizes_.streams));
  for (int i = 0; i < sizes_.callers; ++i) callers_.push_back(std::make_unique<Caller>(this));
  for (int i = 0; i < sizes_.streams; i += sizes_.streams_per_connection) {
    watchers_.push_back(std::make_unique<Watcher>(this));
  }
  for (const auto& caller : callers_) {
    if (!caller->connected()) OnFailure("a caller is refused");
  }
  for (const auto& watcher : watchers_) {
    if (!watcher->connected()) OnFailure("a watcher is refused");
  }
  if (!failure_.empty()) return false;
  for (int i = 0; i < sizes_.streams; ++i) {
    watchers_[static_cast<size_t>(i / sizes_.streams_per_connection)]->Begin(i);
  }
  return WaitFor(change, within);
}

std::vector<double> Bystanders::Call(absl::FunctionRef<bool()> done, absl::Duration patience) {
  latencies_.clear();
  {
    const Clock clock(this);
    loop_.RunUntil(done, absl::Hours(1));
  }
  // Those that have waited longest count most.
  loop_.RunUntil([this] { return unanswered_ == 0 || !failure_.empty(); }, patience);
  if (unanswered_ > 0) OnFailure(absl::StrCat(unanswered_, " calls were not answered"));
  return std::move(latencies_);
}

bool Bystanders::WaitFor(uint64_t change, absl::Duration within) {
  const auto done = [&] { return Reached(change) == sizes_.streams || !failure_.empty(); };
  return loop_.RunUntil(done, within) && failure_.empty();
}

int Bystanders::Reached(uint64_t change) const {
  return static_cast<int>(
      std::count_if(seen_.begin(), seen_.end(), [change](uint64_t latest) { return latest >= change; }));
}

void Bystanders::OnFailure(const std::string& what) {
  if (failure_.empty()) failure_ = what;
}

}  // namespace meshgate::bench
