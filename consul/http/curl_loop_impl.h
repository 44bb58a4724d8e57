// The inside of a CurlLoop: what runs when is in curl_loop.cc, what concerns agents and connections to them in
// curl_loop_agents.cc. Internal to the loop.
#ifndef MESHGATE_CONSUL_HTTP_CURL_LOOP_IMPL_H_
#define MESHGATE_CONSUL_HTTP_CURL_LOOP_IMPL_H_

#include <curl/curl.h>

#include <atomic>
#include <cstdint>
#include <list>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "consul/http/agents.h"
#include "consul/http/connection_policy.h"
#include "consul/http/curl_loop.h"
#include "consul/http/curl_transfer.h"
#include "consul/http/signs.h"
#include "consul/resilience/circuit_breaker.h"

namespace meshgate::consul::http {

class CurlLoop::Impl {
 public:
  explicit Impl(CurlLoopOptions options);
  ~Impl();

  TransferHandle Start(Request request, Done done);
  void Cancel(const TransferHandle& transfer) { Post({transfer, Command::What::kCancel}); }
  void Resume(const TransferHandle& transfer) { Post({transfer, Command::What::kResume}); }
  void Stop();
  int limit(Pool pool) const { return pools_[static_cast<int>(pool)].limit; }

 private:
  using Clock = Transfer::Clock;
  using State = Transfer::State;
  using Breaker = CircuitBreaker::State;

  struct Command {
    TransferHandle transfer;
    enum class What { kStart, kCancel, kResume } what;
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
    // Those that wait for an agent that is away, and then take turns with the queue.
    std::list<TransferHandle> parked;
    bool turn_of_parked = false;
    std::optional<Clock::time_point> timer;
  };

  // ---- curl_loop.cc

  // False: Stop() was called.
  bool Post(Command command);
  void Run();
  // False: Stop() was called.
  bool TakeCommands();
  void Admit(PoolState& pool);
  void Activate(PoolState& pool, const TransferHandle& transfer);
  // Takes an active transfer from libcurl.
  void Detach(Transfer& transfer);
  // Takes a transfer out of wherever it is and runs its callback.
  void End(const TransferHandle& transfer, Response::End end);
  void EndOverdue();
  void EndStalled();
  void Reap(PoolState& pool);
  void EndAll();
  int MillisToNextTimer() const;
  PoolState& PoolOf(const Transfer& transfer) { return pools_[static_cast<int>(transfer.pool())]; }
  void Wake();

  // ---- curl_loop_agents.cc

  // Readies a pool for the agent in use.
  void Open(PoolState& pool);
  // Lets libcurl open as many connections as the policy says.
  void Allow(PoolState& pool);
  // Puts a request where the agent's state wants it: into the queue, aside, or back to its caller.
  void Place(TransferHandle transfer);
  void Queue(TransferHandle transfer, bool parked);
  // What a call has shown of the agent.
  void Note(Sign sign, bool needed_leader);
  void ProbeWhenDue();
  void TakeProbeAnswer();
  // Ends what runs on the agent used so far, and every connection to it.
  void MoveToCurrentAgent();
  // Tells of the breaker's state, and places the queued requests anew, after either may have changed.
  void OnBreaker(bool place_anew);
  // On the breaker's clock.
  static absl::Time Now() { return absl::UnixEpoch() + absl::FromChrono(Clock::now().time_since_epoch()); }

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
  // Those whose answer has begun: empty most of the time, as most answers come in one piece.
  std::set<Transfer*> receiving_;
  Clock::time_point stall_check_;
  std::vector<CURL*> spare_handles_;
  int connections_ = 0;
  Agents agents_;
  CircuitBreaker breaker_;
  Breaker told_ = Breaker::kClosed;
  // The agent in use has said so when it was last asked. Means something while the breaker is open.
  bool leaderless_ = false;
  // It has answered what it can't without one since.
  bool led_ = false;
  // What is wrong with the agent that was asked last; means something while the breaker is open.
  std::string why_away_;
  TransferHandle probe_;
  std::optional<Response> probe_answer_;

  Mutex mu_;
  std::vector<Command> commands_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  // Serializes Stop(); not taken by the loop.
  Mutex stop_mu_;
  std::thread thread_;
};

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_CURL_LOOP_IMPL_H_
