// What of a CurlLoop concerns the agent that it talks to: whether requests go out, which agent they go to, and the
// connections to it.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "consul/http/curl_loop_impl.h"

namespace meshgate::consul::http {
namespace {

// Any agent answers it from memory, without a token.
constexpr char kProbeTarget[] = "/v1/status/leader";

// How long what was sent may stay unacknowledged. A shared connection to a peer that has vanished would otherwise take
// every call with it until TCP gives up, after a quarter of an hour.
constexpr int kUnacknowledgedMs = 20'000;
// A connection that nothing is sent on is asked for a sign of life.
constexpr int kKeepAliveIdleSeconds = 20;
constexpr int kKeepAliveIntervalSeconds = 5;

}  // namespace

void CurlLoop::Impl::Open(PoolState& pool) {
  int connections = 1;
  if (pool.pool == Pool::kUnary) connections = std::max(1, options_.unary_connections);
  if (pool.pool == Pool::kWatch) connections = std::max(1, options_.watch_connections);
  if (pool.pool == Pool::kStreamed) connections = std::max(1, options_.streamed_connections);
  const bool may_share = pool.pool != Pool::kStreamed && absl::StartsWith(agents_.current(), "https:");
  pool.policy = ConnectionPolicy(connections, may_share);
  pool.timer.reset();
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

void CurlLoop::Impl::Allow(PoolState& pool) {
  pool.limit = pool.policy.limit();
  curl_multi_setopt(pool.multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(pool.policy.allowed()));
  curl_multi_setopt(pool.multi, CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(pool.policy.allowed()));
}

void CurlLoop::Impl::Place(TransferHandle transfer) {
  switch (breaker_.state()) {
    case Breaker::kClosed:
      return Queue(std::move(transfer), /*parked=*/false);
    case Breaker::kHalfOpen:
      return Queue(transfer, transfer->patient());
    case Breaker::kOpen:
      if (leaderless_ && (led_ || !transfer->needs_leader())) return Queue(std::move(transfer), /*parked=*/false);
      if (transfer->patient()) return Queue(std::move(transfer), /*parked=*/true);
      return End(transfer, Response::End::kRefused);
  }
}

void CurlLoop::Impl::Queue(TransferHandle transfer, bool parked) {
  if (parked) transfer->Park();
  transfer->parked = parked;
  transfer->state = State::kQueued;
  deadlines_.emplace(transfer->deadline(), transfer);
  PoolState& pool = PoolOf(*transfer);
  std::list<TransferHandle>& line = parked ? pool.parked : pool.queue;
  const auto position = line.insert(line.end(), std::move(transfer));
  (*position)->queue_position = position;
}

void CurlLoop::Impl::Note(Sign sign, bool needed_leader) {
  if (sign == Sign::kMayBeAway) breaker_.OnFailure(Now());
  if (sign != Sign::kAnswers) return;
  if (breaker_.state() == Breaker::kOpen && leaderless_) {
    // An agent without a leader goes on to answer some calls. One that takes a leader was held until there was one, and
    // whoever is told so asks again at once, before a probe can know.
    if (!needed_leader) return;
    led_ = true;
  }
  breaker_.OnAnswer(Now());
  if (breaker_.state() == Breaker::kOpen && probe_ == nullptr) agents_.AskCurrent();
}

void CurlLoop::Impl::ProbeWhenDue() {
  if (breaker_.next_probe() > Now()) return;
  breaker_.OnProbeSent();
  Request request;
  request.target = kProbeTarget;
  request.pool = Pool::kProbe;
  request.timeout = options_.probe_timeout;
  probe_ = std::make_shared<Transfer>(std::move(request),
                                      [this](Response response) { probe_answer_ = std::move(response); });
  Queue(probe_, /*parked=*/false);
}

void CurlLoop::Impl::TakeProbeAnswer() {
  if (!probe_answer_.has_value()) return;
  const Response response = *std::exchange(probe_answer_, std::nullopt);
  probe_.reset();
  if (options_.on_probe) options_.on_probe(response);
  const ProbeResult result = ProbeResultOf(response);
  const bool leaderless_before = leaderless_;
  led_ = false;
  if (agents_.candidate_is_current()) leaderless_ = result.leaderless;
  if (result.probe != CircuitBreaker::Probe::kAnswered) why_away_ = WhyAway(response);
  bool another = false;
  if (result.probe == CircuitBreaker::Probe::kAnswered) {
    if (agents_.OnAnswered()) MoveToCurrentAgent();
  } else if (result.probe == CircuitBreaker::Probe::kAway || breaker_.state() == Breaker::kOpen) {
    another = agents_.OnAway();
  }
  breaker_.OnProbe(result.probe, another, Now());
  OnBreaker(/*place_anew=*/leaderless_ != leaderless_before);
}

void CurlLoop::Impl::MoveToCurrentAgent() {
  std::vector<TransferHandle> running;
  for (const auto& [deadline, transfer] : deadlines_) {
    if (transfer->state == State::kActive) running.push_back(transfer);
  }
  for (const TransferHandle& transfer : running) End(transfer, Response::End::kAbandoned);
  for (PoolState& pool : pools_) {
    curl_multi_cleanup(pool.multi);
    Open(pool);
  }
  leaderless_ = led_ = false;
  if (options_.on_agent) options_.on_agent(agents_.current());
}

void CurlLoop::Impl::OnBreaker(bool place_anew) {
  const Breaker now = breaker_.state();
  if (std::exchange(told_, now) != now) {
    place_anew = true;
    if (options_.on_breaker) options_.on_breaker(now);
  }
  if (!place_anew || now != Breaker::kOpen) return;
  for (PoolState& pool : pools_) {
    if (pool.pool == Pool::kProbe) continue;
    const std::list<TransferHandle> queue = std::exchange(pool.queue, {});
    for (const TransferHandle& transfer : queue) {
      deadlines_.erase({transfer->deadline(), transfer});
      transfer->state = State::kPosted;
      Place(transfer);
    }
  }
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

}  // namespace meshgate::consul::http
