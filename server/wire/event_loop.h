// A thread of the wire front, and what the connections on it share.
#ifndef MESHGATE_SERVER_WIRE_EVENT_LOOP_H_
#define MESHGATE_SERVER_WIRE_EVENT_LOOP_H_

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "boost/asio/executor_work_guard.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/steady_timer.hpp"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "consul/watch/hub.h"
#include "consul/watch/reader_thread.h"
#include "server/stream/delivery_report.h"
#include "server/wire/memory_budget.h"
#include "server/wire/poller.h"
#include "server/wire/timed_list.h"

namespace meshgate::server::wire {

class Connection;
class Stream;

// Runs its connections, their streams and calls, all on one thread: none of that takes a lock. What other threads have
// to say comes by Post() and Schedule(), in batches: what a change brings to many streams of a connection leaves in one
// send. Nothing here may block.
class EventLoop final : public consul::ReaderThread {
 public:
  struct Options {
    // A message that takes longer to leave has met a reader that is gone or does not read.
    absl::Duration write_timeout = absl::Minutes(2);
    // The same during a drain, which such a reader must not hold up.
    absl::Duration drain_write_timeout = absl::Seconds(1);
    // Of requests that are not complete, and of answers that are not taken.
    size_t max_held_bytes = size_t{512} << 20;
  };

  // `clock` and `watches` outlive the loop.
  EventLoop(Scheduler* clock, consul::WatchReporter* watches, const Options& options);
  // Same as Stop().
  ~EventLoop() override;

  void Start();
  // Closes every connection, runs what is left and ends the thread. Idempotent.
  void Stop();
  bool running() const { return thread_.joinable(); }

  // ---- Any thread.
  // Runs `task` on the loop's thread soon; never after Stop() has returned.
  void Post(absl::AnyInvocable<void()> task);
  // From outboxes and their lists.
  void Schedule(std::shared_ptr<consul::Work> work) override;
  bool OnThisThread() const { return std::this_thread::get_id() == thread_id_; }

  // ---- The loop's thread.
  boost::asio::io_context& io() { return io_; }
  Poller& poller() { return poller_; }
  // When what is being done began: read once for a batch.
  absl::Time now() const { return now_; }
  void Tick() { now_ = clock_->Now(); }
  // Stop() has come by: nothing that begins now would be told anything.
  bool stopping() const { return stopping_; }
  // For what takes too long to be done here.
  Scheduler* clock() const { return clock_; }

  void Add(std::shared_ptr<Connection> connection);
  void Remove(const std::shared_ptr<Connection>& connection) { connections_.erase(connection); }
  const absl::flat_hash_set<std::shared_ptr<Connection>>& connections() const { return connections_; }
  // The connection's Flush() is called when the batch is over.
  void FlushLater(std::shared_ptr<Connection> connection);

  // The connection's ContinueHandshake() is called when it is its turn: what else there is to do comes in between.
  void HandshakeLater(std::shared_ptr<Connection> connection);

  // Streams with a deadline.
  void AddDeadline(Stream* stream, absl::Time deadline);
  void RemoveDeadline(Stream* stream, absl::Time deadline) { deadlines_.erase({deadline, stream}); }
  // Streams with a message in flight.
  TimedList& writing() { return writing_; }
  // Whether a sweep may greet one more peer that waits for that.
  bool MayGreet() { return greetings_left_-- > 0; }
  // From now on readers are waited for no longer than a drain may take.
  void Hurry();
  absl::Duration write_timeout() const;

  MemoryBudget& held() { return held_; }
  consul::NextMemo& memo() { return memo_; }
  DeliveryReport& deliveries() { return deliveries_; }
  // What is received and sent passes through these: no connection has buffers of its own.
  std::string& scratch() { return scratch_; }
  std::vector<char>& read_buffer() { return read_buffer_; }
  // Of what scratch() holds, encrypted.
  std::string& sealed() { return sealed_; }

 private:
  void RunPosted();
  void RunHandshakes();
  void EndBatch();
  void ArmDeadline();
  void ArmSweep();
  void Sweep();

  Scheduler* const clock_;
  const Options options_;
  boost::asio::io_context io_{1};
  Poller poller_{&io_};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> open_;
  std::thread thread_;
  // Until it starts, whoever has made it.
  std::atomic<std::thread::id> thread_id_{std::this_thread::get_id()};
  bool hurry_ = false;

  Mutex mu_;
  std::vector<absl::AnyInvocable<void()>> tasks_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<consul::Work>> work_ ABSL_GUARDED_BY(mu_);
  bool woken_ ABSL_GUARDED_BY(mu_) = false;

  // ---- The loop's thread alone.
  absl::Time now_;
  // What RunPosted() has taken, and how far it is.
  std::vector<absl::AnyInvocable<void()>> running_tasks_;
  std::vector<std::shared_ptr<consul::Work>> running_work_;
  size_t next_task_ = 0;
  size_t next_work_ = 0;
  absl::flat_hash_set<std::shared_ptr<Connection>> connections_;
  std::vector<std::shared_ptr<Connection>> to_flush_;
  bool flush_posted_ = false;
  std::deque<std::shared_ptr<Connection>> handshakes_;
  std::set<std::pair<absl::Time, Stream*>> deadlines_;
  boost::asio::steady_timer deadline_timer_;
  absl::Time deadline_armed_ = absl::InfiniteFuture();
  boost::asio::steady_timer sweep_timer_;
  bool stopping_ = false;
  int greetings_left_ = 0;
  TimedList writing_;
  MemoryBudget held_;
  consul::NextMemo memo_;
  DeliveryReport deliveries_;
  std::string scratch_;
  std::string sealed_;
  std::vector<char> read_buffer_;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_EVENT_LOOP_H_
