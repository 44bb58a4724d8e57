#include "consul/http/curl_loop.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "consul/base/mutex.h"
#include "consul/http/connection_policy.h"
#include "consul/http/curl_transfer.h"

namespace meshgate::consul::http {
namespace {

using Clock = CurlLoop::Transfer::Clock;
using State = CurlLoop::Transfer::State;

// How long what was sent may stay unacknowledged. A shared connection to a peer that has vanished would otherwise take
// every call with it until TCP gives up, after a quarter of an hour.
constexpr int kUnacknowledgedMs = 20'000;
// A connection that nothing is sent on is asked for a sign of life.
constexpr int kKeepAliveIdleSeconds = 20;
constexpr int kKeepAliveIntervalSeconds = 5;
// Easy handles kept for reuse; making one costs more than resetting one.
constexpr size_t kSpareHandles = 64;
constexpr int kEventsPerWake = 256;

void InitializeCurlOnce() {
  static const CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (result != CURLE_OK) std::abort();
}

int CheckedFd(int fd) {
  if (fd < 0) {
    std::perror("meshgate: no descriptor for the connections to Consul");
    std::abort();
  }
  return fd;
}

}  // namespace

class CurlLoop::Impl {
 public:
  explicit Impl(CurlLoopOptions options);
  ~Impl();

  TransferHandle Start(Request request, Done done);
  void Cancel(const TransferHandle& transfer);
  void Stop();
  int limit(Pool pool) const { return pools_[static_cast<int>(pool)].limit; }

 private:
  struct Command {
    TransferHandle transfer;
    bool cancel = false;
  };
  struct PoolState {
    Impl* loop = nullptr;
    Pool pool = Pool::kUnary;
    CURLM* multi = nullptr;
    ConnectionPolicy policy;
    // The policy's, for other threads.
    std::atomic<int> limit{1};
    // Given to libcurl. The others queue here, in order.
    int active = 0;
    std::list<TransferHandle> queue;
    std::optional<Clock::time_point> timer;
  };

  void Run();
  // False: Stop() was called.
  bool TakeCommands();
  void Admit(PoolState& pool);
  // Lets libcurl open as many connections as the policy says.
  void Allow(PoolState& pool);
  void Activate(PoolState& pool, const TransferHandle& transfer);
  // Takes an active transfer from libcurl.
  void Detach(Transfer& transfer);
  // Takes a transfer out of wherever it is and runs its callback.
  void End(const TransferHandle& transfer, Response::End end);
  void EndOverdue();
  void Reap(PoolState& pool);
  void EndAll();
  int MillisToNextTimer() const;
  PoolState& PoolOf(const Transfer& transfer) { return pools_[static_cast<int>(transfer.pool())]; }
  void Wake();
  void CountConnections(int delta);

  static int OnSocket(CURL*, curl_socket_t fd, int what, void* pool, void*);
  static int OnTimer(CURLM*, long timeout_ms, void* pool);
  static curl_socket_t OnOpenSocket(void* self, curlsocktype, curl_sockaddr* address);
  static int OnCloseSocket(void* self, curl_socket_t fd);

  // Constant after construction.
  const CurlLoopOptions options_;
  curl_slist* headers_ = nullptr;
  const int epoll_;
  const int wake_;

  // The loop's thread only.
  PoolState pools_[kPools];
  // Running and queued transfers, by deadline: libcurl itself does not time out what waits for a connection.
  std::set<std::pair<Clock::time_point, TransferHandle>> deadlines_;
  std::vector<CURL*> spare_handles_;
  int connections_ = 0;

  Mutex mu_;
  std::vector<Command> commands_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  // Serializes Stop(); not taken by the loop.
  Mutex stop_mu_;
  std::thread thread_;
};

CurlLoop::Impl::Impl(CurlLoopOptions options)
    : options_(std::move(options)),
      epoll_(CheckedFd(epoll_create1(EPOLL_CLOEXEC))),
      wake_(CheckedFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))) {
  InitializeCurlOnce();
  // No "Expect: 100-continue": a round trip per large write, for nothing.
  headers_ = curl_slist_append(headers_, "Expect:");
  if (!options_.token.empty()) headers_ = curl_slist_append(headers_, ("X-Consul-Token: " + options_.token).c_str());

  for (int i = 0; i < kPools; ++i) {
    PoolState& pool = pools_[i];
    pool.loop = this;
    pool.pool = static_cast<Pool>(i);
    const int connections =
        std::max(1, pool.pool == Pool::kUnary ? options_.unary_connections : options_.watch_connections);
    pool.policy = ConnectionPolicy(connections, absl::StartsWith(options_.base_url, "https:"));
    pool.multi = curl_multi_init();
    if (pool.multi == nullptr) std::abort();
    curl_multi_setopt(pool.multi, CURLMOPT_MAXCONNECTS, static_cast<long>(connections));
    Allow(pool);
    curl_multi_setopt(pool.multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_MULTIPLEX));
    curl_multi_setopt(pool.multi, CURLMOPT_MAX_CONCURRENT_STREAMS,
                      static_cast<long>(ConnectionPolicy::kStreamsPerConnection));
    curl_multi_setopt(pool.multi, CURLMOPT_SOCKETFUNCTION, &OnSocket);
    curl_multi_setopt(pool.multi, CURLMOPT_SOCKETDATA, &pool);
    curl_multi_setopt(pool.multi, CURLMOPT_TIMERFUNCTION, &OnTimer);
    curl_multi_setopt(pool.multi, CURLMOPT_TIMERDATA, &pool);
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = static_cast<uint64_t>(wake_);
  CheckedFd(epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event));

  // Signals are for the process's other threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { Run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), "consul-curl");
}

CurlLoop::Impl::~Impl() {
  Stop();
  curl_slist_free_all(headers_);
  close(epoll_);
  close(wake_);
}

CurlLoop::TransferHandle CurlLoop::Impl::Start(Request request, Done done) {
  auto transfer = std::make_shared<Transfer>(std::move(request), std::move(done));
  bool stopped;
  bool wake = false;
  {
    MutexLock lock(mu_);
    stopped = stopping_;
    if (!stopped) {
      wake = commands_.empty();
      commands_.push_back({transfer, false});
    }
  }
  if (stopped) transfer->Finish(Response::End::kCancelled);
  if (wake) Wake();
  return transfer;
}

void CurlLoop::Impl::Cancel(const TransferHandle& transfer) {
  bool wake = false;
  {
    MutexLock lock(mu_);
    if (stopping_) return;
    wake = commands_.empty();
    commands_.push_back({transfer, true});
  }
  if (wake) Wake();
}

void CurlLoop::Impl::Stop() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
  }
  Wake();
  MutexLock lock(stop_mu_);
  if (thread_.joinable()) thread_.join();
}

void CurlLoop::Impl::Wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the loop is awake already.
  [[maybe_unused]] const ssize_t n = write(wake_, &one, sizeof(one));
}

void CurlLoop::Impl::Run() {
  while (TakeCommands()) {
    for (PoolState& pool : pools_) Admit(pool);
    epoll_event events[kEventsPerWake];
    const int count = epoll_wait(epoll_, events, kEventsPerWake, MillisToNextTimer());
    int running = 0;
    for (int i = 0; i < count; ++i) {
      const int fd = static_cast<int>(events[i].data.u64 & 0xffffffff);
      if (fd == wake_) {
        uint64_t ignored;
        [[maybe_unused]] const ssize_t n = read(wake_, &ignored, sizeof(ignored));
        continue;
      }
      PoolState& pool = pools_[events[i].data.u64 >> 32];
      int mask = 0;
      if (events[i].events & EPOLLIN) mask |= CURL_CSELECT_IN;
      if (events[i].events & EPOLLOUT) mask |= CURL_CSELECT_OUT;
      if (events[i].events & (EPOLLERR | EPOLLHUP)) mask |= CURL_CSELECT_ERR;
      curl_multi_socket_action(pool.multi, fd, mask, &running);
    }
    for (PoolState& pool : pools_) {
      if (pool.timer.has_value() && *pool.timer <= Clock::now()) {
        pool.timer.reset();
        curl_multi_socket_action(pool.multi, CURL_SOCKET_TIMEOUT, 0, &running);
      }
      Reap(pool);
    }
    EndOverdue();
  }
  EndAll();
}

bool CurlLoop::Impl::TakeCommands() {
  std::vector<Command> commands;
  bool stopping;
  {
    MutexLock lock(mu_);
    commands.swap(commands_);
    stopping = stopping_;
  }
  for (Command& command : commands) {
    Transfer& transfer = *command.transfer;
    if (command.cancel) {
      if (transfer.state == State::kEnded) continue;
      End(command.transfer, Response::End::kCancelled);
    } else {
      transfer.state = State::kQueued;
      deadlines_.emplace(transfer.deadline(), command.transfer);
      PoolState& pool = PoolOf(transfer);
      transfer.queue_position = pool.queue.insert(pool.queue.end(), std::move(command.transfer));
    }
  }
  return !stopping;
}

void CurlLoop::Impl::Admit(PoolState& pool) {
  while (!pool.queue.empty() && pool.active < pool.policy.limit()) {
    if (pool.policy.Grow(pool.active)) Allow(pool);
    const TransferHandle transfer = pool.queue.front();
    Activate(pool, transfer);
  }
}

void CurlLoop::Impl::Allow(PoolState& pool) {
  pool.limit = pool.policy.limit();
  curl_multi_setopt(pool.multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(pool.policy.allowed()));
  curl_multi_setopt(pool.multi, CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(pool.policy.allowed()));
}

void CurlLoop::Impl::Activate(PoolState& pool, const TransferHandle& transfer) {
  CURL* easy = nullptr;
  if (spare_handles_.empty()) {
    easy = curl_easy_init();
  } else {
    easy = spare_handles_.back();
    spare_handles_.pop_back();
  }
  if (easy == nullptr) return End(transfer, Response::End::kLocalFailure);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &OnOpenSocket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, this);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &OnCloseSocket);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, this);
  if (!transfer->Prepare(easy, options_, headers_) || curl_multi_add_handle(pool.multi, easy) != CURLM_OK) {
    curl_easy_cleanup(easy);
    return End(transfer, Response::End::kLocalFailure);
  }
  pool.queue.erase(transfer->queue_position);
  transfer->state = State::kActive;
  ++pool.active;
}

void CurlLoop::Impl::Detach(Transfer& transfer) {
  CURL* easy = transfer.easy();
  PoolState& pool = PoolOf(transfer);
  curl_multi_remove_handle(pool.multi, easy);
  --pool.active;
  if (spare_handles_.size() < kSpareHandles) {
    curl_easy_reset(easy);
    spare_handles_.push_back(easy);
  } else {
    curl_easy_cleanup(easy);
  }
}

void CurlLoop::Impl::End(const TransferHandle& transfer, Response::End end) {
  if (transfer->state == State::kActive) Detach(*transfer);
  if (transfer->state == State::kQueued) PoolOf(*transfer).queue.erase(transfer->queue_position);
  deadlines_.erase({transfer->deadline(), transfer});
  transfer->Finish(end);
}

void CurlLoop::Impl::EndOverdue() {
  const Clock::time_point now = Clock::now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const TransferHandle transfer = deadlines_.begin()->second;
    End(transfer, Response::End::kTimedOut);
  }
}

void CurlLoop::Impl::Reap(PoolState& pool) {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(pool.multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode result = message->data.result;
    char* self = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &self);
    TransferHandle transfer = reinterpret_cast<Transfer*>(self)->shared_from_this();
    long version = CURL_HTTP_VERSION_NONE;
    curl_easy_getinfo(message->easy_handle, CURLINFO_HTTP_VERSION, &version);
    if (result == CURLE_OK) {
      for (PoolState& each : pools_) {
        if (each.policy.OnAnswer(version >= CURL_HTTP_VERSION_2_0, each.active)) Allow(each);
        each.limit = each.policy.limit();
      }
    }
    transfer->Collect(result);
    End(transfer, transfer->end());
  }
}

void CurlLoop::Impl::EndAll() {
  while (!deadlines_.empty()) {
    const TransferHandle transfer = deadlines_.begin()->second;
    End(transfer, Response::End::kCancelled);
  }
  for (PoolState& pool : pools_) curl_multi_cleanup(pool.multi);
  for (CURL* easy : spare_handles_) curl_easy_cleanup(easy);
  spare_handles_.clear();
}

int CurlLoop::Impl::MillisToNextTimer() const {
  std::optional<Clock::time_point> next;
  if (!deadlines_.empty()) next = deadlines_.begin()->first;
  for (const PoolState& pool : pools_) {
    if (pool.timer.has_value() && (!next.has_value() || *pool.timer < *next)) next = pool.timer;
  }
  if (!next.has_value()) return -1;
  // Rounded up: waking a fraction of a millisecond early would spin.
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

void CurlLoop::Impl::CountConnections(int delta) {
  connections_ += delta;
  if (options_.on_connections) options_.on_connections(connections_);
}

int CurlLoop::Impl::OnSocket(CURL*, curl_socket_t fd, int what, void* pool, void*) {
  auto* state = static_cast<PoolState*>(pool);
  const int epoll = state->loop->epoll_;
  if (what == CURL_POLL_REMOVE) {
    epoll_ctl(epoll, EPOLL_CTL_DEL, fd, nullptr);
    return 0;
  }
  epoll_event event{};
  if (what & CURL_POLL_IN) event.events |= EPOLLIN;
  if (what & CURL_POLL_OUT) event.events |= EPOLLOUT;
  event.data.u64 = static_cast<uint64_t>(static_cast<uint32_t>(fd)) | static_cast<uint64_t>(state->pool) << 32;
  if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT) {
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
  return 0;
}

int CurlLoop::Impl::OnTimer(CURLM*, long timeout_ms, void* pool) {
  auto* state = static_cast<PoolState*>(pool);
  if (timeout_ms < 0) {
    state->timer.reset();
  } else {
    state->timer = Clock::now() + std::chrono::milliseconds(timeout_ms);
  }
  return 0;
}

curl_socket_t CurlLoop::Impl::OnOpenSocket(void* self, curlsocktype, curl_sockaddr* address) {
  const int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  if (fd < 0) return CURL_SOCKET_BAD;
  // Whatever of this the system refuses makes a loss be noticed later, and no call fail.
  const auto set = [fd](int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof(value)); };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdleSeconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveIntervalSeconds);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, kUnacknowledgedMs);
  static_cast<Impl*>(self)->CountConnections(+1);
  return fd;
}

int CurlLoop::Impl::OnCloseSocket(void* self, curl_socket_t fd) {
  static_cast<Impl*>(self)->CountConnections(-1);
  return close(fd);
}

CurlLoop::CurlLoop(CurlLoopOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
CurlLoop::~CurlLoop() = default;
CurlLoop::TransferHandle CurlLoop::Start(Request request, Done done) {
  return impl_->Start(std::move(request), std::move(done));
}
void CurlLoop::Cancel(const TransferHandle& transfer) { impl_->Cancel(transfer); }
int CurlLoop::limit(Pool pool) const { return impl_->limit(pool); }
void CurlLoop::Stop() { impl_->Stop(); }

}  // namespace meshgate::consul::http
