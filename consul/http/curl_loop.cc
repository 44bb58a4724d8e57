#include "consul/http/curl_loop.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "consul/http/curl_loop_impl.h"

namespace meshgate::consul::http {
namespace {

// Easy handles kept for reuse; making one costs more than resetting one.
constexpr size_t kSpareHandles = 64;
// Any size that libcurl accepts; each transfer sets its own.
constexpr long kSpareBufferBytes = 16 << 10;
constexpr int kEventsPerWake = 256;

void InitializeCurlOnce() {
  static const CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (result != CURLE_OK) std::abort();
}

std::vector<std::string> UrlsOf(const CurlLoopOptions& options) {
  std::vector<std::string> urls = {options.base_url};
  urls.insert(urls.end(), options.fallback_urls.begin(), options.fallback_urls.end());
  return urls;
}

int CheckedFd(int fd) {
  if (fd < 0) {
    std::perror("meshgate: no descriptor for the connections to Consul");
    std::abort();
  }
  return fd;
}

}  // namespace

CurlLoop::Impl::Impl(CurlLoopOptions options)
    : options_(std::move(options)),
      epoll_(CheckedFd(epoll_create1(EPOLL_CLOEXEC))),
      wake_(CheckedFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))),
      agents_(UrlsOf(options_)),
      breaker_(options_.breaker, std::random_device()()) {
  InitializeCurlOnce();
  headers_ = curl_slist_append(headers_, kNoExpect);
  if (!options_.token.empty()) headers_ = curl_slist_append(headers_, (kTokenHeader + options_.token).c_str());

  for (int i = 0; i < kPools; ++i) {
    pools_[i].loop = this;
    pools_[i].pool = static_cast<Pool>(i);
    Open(pools_[i]);
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
  if (!Post({transfer, Command::What::kStart})) transfer->Finish(Response::End::kCancelled);
  return transfer;
}

bool CurlLoop::Impl::Post(Command command) {
  bool wake;
  {
    MutexLock lock(mu_);
    if (stopping_) return false;
    wake = commands_.empty();
    commands_.push_back(std::move(command));
  }
  if (wake) Wake();
  return true;
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
    breaker_.Advance(Now());
    OnBreaker(/*place_anew=*/false);
    ProbeWhenDue();
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
    EndStalled();
    EndOverdue();
    TakeProbeAnswer();
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
    const State state = command.transfer->state;
    switch (command.what) {
      case Command::What::kStart:
        Place(std::move(command.transfer));
        break;
      case Command::What::kCancel:
        if (state != State::kEnded) End(command.transfer, Response::End::kCancelled);
        break;
      case Command::What::kResume:
        if (state == State::kActive && !command.transfer->Resume()) {
          End(command.transfer, Response::End::kLocalFailure);
        }
        break;
    }
  }
  return !stopping;
}

void CurlLoop::Impl::Admit(PoolState& pool) {
  const bool probe = pool.pool == Pool::kProbe;
  // What then still queues are requests that go out nevertheless.
  const bool open = breaker_.state() == Breaker::kOpen;
  while (pool.active < pool.policy.limit()) {
    const bool from_parked = !open && !pool.parked.empty() && (pool.turn_of_parked || pool.queue.empty());
    std::list<TransferHandle>& line = from_parked ? pool.parked : pool.queue;
    if (line.empty() || (!probe && !open && !breaker_.Admit(Now()))) return;
    pool.turn_of_parked = !from_parked;
    const TransferHandle transfer = line.front();
    if (from_parked) {
      deadlines_.erase({transfer->deadline(), transfer});
      transfer->Unpark();
      deadlines_.emplace(transfer->deadline(), transfer);
    }
    if (pool.policy.Grow(pool.active)) Allow(pool);
    Activate(pool, transfer);
  }
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
  const std::string& url = pool.pool == Pool::kProbe ? agents_.candidate() : agents_.current();
  if (!transfer->Prepare(easy, options_, url, headers_, &receiving_) ||
      curl_multi_add_handle(pool.multi, easy) != CURLM_OK) {
    curl_easy_cleanup(easy);
    return End(transfer, Response::End::kLocalFailure);
  }
  (transfer->parked ? pool.parked : pool.queue).erase(transfer->queue_position);
  transfer->state = State::kActive;
  ++pool.active;
}

void CurlLoop::Impl::Detach(Transfer& transfer) {
  CURL* easy = transfer.easy();
  PoolState& pool = PoolOf(transfer);
  curl_multi_remove_handle(pool.multi, easy);
  receiving_.erase(&transfer);
  --pool.active;
  curl_easy_reset(easy);
  // libcurl 7.88 leaves a transfer its buffer where others still use its HTTP/2 connection, and takes no other size for
  // it from then on: such a handle would fail its next transfer.
  const bool reusable = curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kSpareBufferBytes) == CURLE_OK;
  if (reusable && spare_handles_.size() < kSpareHandles) {
    spare_handles_.push_back(easy);
  } else {
    curl_easy_cleanup(easy);
  }
}

void CurlLoop::Impl::End(const TransferHandle& transfer, Response::End end) {
  if (transfer->state == State::kActive) Detach(*transfer);
  if (transfer->state == State::kQueued) {
    PoolState& pool = PoolOf(*transfer);
    (transfer->parked ? pool.parked : pool.queue).erase(transfer->queue_position);
  }
  deadlines_.erase({transfer->deadline(), transfer});
  if (end == Response::End::kRefused) transfer->SetError(why_away_);
  const Sign sign = transfer->Finish(end);
  if (transfer->pool() != Pool::kProbe) Note(sign, transfer->needs_leader());
}

void CurlLoop::Impl::EndOverdue() {
  const Clock::time_point now = Clock::now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const TransferHandle transfer = deadlines_.begin()->second;
    const bool gave_up_waiting = transfer->state == State::kQueued && transfer->parked;
    End(transfer, gave_up_waiting ? Response::End::kRefused : Response::End::kTimedOut);
  }
}

void CurlLoop::Impl::EndStalled() {
  const Clock::time_point now = Clock::now();
  if (receiving_.empty() || now < stall_check_) return;
  const Clock::duration timeout = absl::ToChronoNanoseconds(options_.stall_timeout);
  std::vector<TransferHandle> stalled;
  for (Transfer* transfer : receiving_) {
    if (now - transfer->last_byte() >= timeout) stalled.push_back(transfer->shared_from_this());
  }
  for (const TransferHandle& transfer : stalled) {
    transfer->SetError("an answer began and did not go on");
    End(transfer, Response::End::kBroken);
  }
  stall_check_ = now + timeout / 4;
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
    // A probe may have been of another agent, and what is streamed speaks HTTP/1.1 by our choice.
    if (result == CURLE_OK && pool.pool != Pool::kProbe && pool.pool != Pool::kStreamed) {
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
  if (!receiving_.empty() && (!next.has_value() || stall_check_ < *next)) next = stall_check_;
  const absl::Time agent = std::min(breaker_.next_probe(), breaker_.NextChange(Now()));
  if (agent != absl::InfiniteFuture()) {
    const Clock::time_point due(absl::ToChronoNanoseconds(agent - absl::UnixEpoch()));
    if (!next.has_value() || due < *next) next = due;
  }
  if (!next.has_value()) return -1;
  // Rounded up: waking a fraction of a millisecond early would spin.
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

CurlLoop::CurlLoop(CurlLoopOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
CurlLoop::~CurlLoop() = default;
CurlLoop::TransferHandle CurlLoop::Start(Request request, Done done) {
  return impl_->Start(std::move(request), std::move(done));
}
void CurlLoop::Cancel(const TransferHandle& transfer) { impl_->Cancel(transfer); }
void CurlLoop::Resume(const TransferHandle& transfer) { impl_->Resume(transfer); }
int CurlLoop::limit(Pool pool) const { return impl_->limit(pool); }
void CurlLoop::Stop() { impl_->Stop(); }

}  // namespace meshgate::consul::http
