#include "server/wire/event_loop.h"

#include <linux/sched.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "boost/asio/post.hpp"
#include "server/wire/connection.h"
#include "server/wire/stream.h"

namespace meshgate::server::wire {
namespace {

// What a read or a write of a socket takes at most.
constexpr size_t kReadBytes = 64 << 10;

// Of keepalive, connection age and stalled writes; each is late by so much at most.
constexpr absl::Duration kSweepEvery = absl::Milliseconds(250);
// Each takes some 10 us.
constexpr int kGreetingsPerSweep = 50;

// The kernel lets others wait for so long while a loop has much to do, where it takes a thread's word for it
// (Linux 6.12; older ones have it be some 3 ms): what the loops of one process wait for is mostly each other.
constexpr absl::Duration kSlice = absl::Microseconds(200);

// What was posted is done for so long, before sockets have their turn; and how much of it without a look at the clock.
// Tasks, of which most are new connections, have less: those that are there go first.
constexpr absl::Duration kTasks = absl::Microseconds(150);
constexpr absl::Duration kBatch = absl::Microseconds(500);
constexpr size_t kBetweenLooks = 16;

// Handshakes are gone on with for so long, before all else has its turn: one step may take a millisecond by itself.
constexpr absl::Duration kHandshakes = absl::Microseconds(250);

// As sched_setattr(2) takes it, which the C library has no name for.
struct SchedAttr {
  uint32_t size = sizeof(SchedAttr);
  uint32_t policy = 0;
  uint64_t flags = SCHED_FLAG_KEEP_POLICY;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0;  // ns
  uint64_t deadline = 0;
  uint64_t period = 0;
};

void TakeShortTurns() {
  SchedAttr wanted;
  wanted.nice = getpriority(PRIO_PROCESS, 0);
  wanted.runtime = static_cast<uint64_t>(absl::ToInt64Nanoseconds(kSlice));
  syscall(SYS_sched_setattr, 0, &wanted, 0);
}

}  // namespace

EventLoop::EventLoop(Scheduler* clock, consul::WatchReporter* watches, const Options& options)
    : clock_(clock),
      options_(options),
      open_(boost::asio::make_work_guard(io_)),
      now_(clock->Now()),
      deadline_timer_(io_),
      sweep_timer_(io_),
      held_(options.max_held_bytes, nullptr),
      deliveries_(watches),
      read_buffer_(kReadBytes) {}

EventLoop::~EventLoop() { Stop(); }

void EventLoop::Start() {
  ArmSweep();
  poller_.Start();
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "wire");
    TakeShortTurns();
    // Here, because what it runs asks.
    thread_id_ = std::this_thread::get_id();
    io_.run();
  });
}

void EventLoop::Stop() {
  if (!thread_.joinable()) return;
  Post([this] {
    // Closing removes them.
    const auto all = connections_;
    for (const auto& connection : all) connection->Close();
    poller_.Stop();
    deadline_timer_.cancel();
    sweep_timer_.cancel();
    // They may be due already, and are not cancelled then.
    stopping_ = true;
    open_.reset();
  });
  thread_.join();
}

void EventLoop::Post(absl::AnyInvocable<void()> task) {
  bool wake;
  {
    MutexLock lock(mu_);
    tasks_.push_back(std::move(task));
    wake = !std::exchange(woken_, true);
  }
  if (wake) boost::asio::post(io_, [this] { RunPosted(); });
}

void EventLoop::Schedule(std::shared_ptr<consul::Work> work) {
  bool wake;
  {
    MutexLock lock(mu_);
    work_.push_back(std::move(work));
    wake = !std::exchange(woken_, true);
  }
  if (wake) boost::asio::post(io_, [this] { RunPosted(); });
}

void EventLoop::RunPosted() {
  if (next_task_ == running_tasks_.size() && next_work_ == running_work_.size()) {
    running_tasks_.clear();
    running_work_.clear();
    next_task_ = next_work_ = 0;
    MutexLock lock(mu_);
    woken_ = false;
    running_tasks_.swap(tasks_);
    running_work_.swap(work_);
  }
  Tick();
  const absl::Time begun = now_;
  const auto over = [&](absl::Duration time) {
    Tick();
    return now_ - begun >= time;
  };
  bool more = false;
  while (next_task_ < running_tasks_.size() && !more) {
    std::exchange(running_tasks_[next_task_++], nullptr)();
    more = over(kTasks);
  }
  while (next_work_ < running_work_.size() && !more) {
    const bool goes_on = running_work_[next_work_]->Run();
    if (!goes_on) running_work_[next_work_++] = nullptr;
    more = (goes_on || next_work_ % kBetweenLooks == 0) && over(kBatch);
  }
  if (more) boost::asio::post(io_, [this] { RunPosted(); });
  EndBatch();
}

void EventLoop::Add(std::shared_ptr<Connection> connection) { connections_.insert(std::move(connection)); }

void EventLoop::FlushLater(std::shared_ptr<Connection> connection) {
  to_flush_.push_back(std::move(connection));
  if (std::exchange(flush_posted_, true)) return;
  boost::asio::post(io_, [this] { EndBatch(); });
}

void EventLoop::HandshakeLater(std::shared_ptr<Connection> connection) {
  handshakes_.push_back(std::move(connection));
  if (handshakes_.size() == 1) boost::asio::post(io_, [this] { RunHandshakes(); });
}

void EventLoop::RunHandshakes() {
  Tick();
  const absl::Time begun = now_;
  do {
    // Stays in front until it is done, which keeps this from being posted twice.
    handshakes_.front()->ContinueHandshake();
    handshakes_.pop_front();
    Tick();
  } while (!handshakes_.empty() && now_ - begun < kHandshakes);
  if (!handshakes_.empty()) boost::asio::post(io_, [this] { RunHandshakes(); });
}

void EventLoop::EndBatch() {
  flush_posted_ = false;
  // Flushing one may have another want to.
  std::vector<std::shared_ptr<Connection>> some;
  some.swap(to_flush_);
  for (const auto& connection : some) connection->Flush();
  deliveries_.Flush(clock_->Now());
}

void EventLoop::AddDeadline(Stream* stream, absl::Time deadline) {
  deadlines_.emplace(deadline, stream);
  if (deadline < deadline_armed_) ArmDeadline();
}

void EventLoop::ArmDeadline() {
  deadline_armed_ = deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first;
  if (deadlines_.empty()) return;
  const absl::Duration left = std::max(deadline_armed_ - clock_->Now(), absl::ZeroDuration());
  deadline_timer_.expires_after(absl::ToChronoNanoseconds(std::min(left, absl::Hours(24))));
  deadline_timer_.async_wait([this](const boost::system::error_code& error) {
    // It may have been due already when it was cancelled.
    if (error || stopping_) return;
    Tick();
    while (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
      Stream* const stream = deadlines_.begin()->second;
      deadlines_.erase(deadlines_.begin());
      stream->OnDeadline();
    }
    ArmDeadline();
    EndBatch();
  });
}

void EventLoop::Hurry() { hurry_ = true; }

absl::Duration EventLoop::write_timeout() const {
  return hurry_ ? std::min(options_.write_timeout, options_.drain_write_timeout) : options_.write_timeout;
}

void EventLoop::ArmSweep() {
  sweep_timer_.expires_after(absl::ToChronoNanoseconds(kSweepEvery));
  sweep_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || stopping_) return;
    Sweep();
    ArmSweep();
  });
}

void EventLoop::Sweep() {
  Tick();
  greetings_left_ = kGreetingsPerSweep;
  while (TimedList::Entry* oldest = writing_.oldest()) {
    const absl::Duration stalled = now_ - oldest->since();
    if (stalled < write_timeout()) break;
    writing_.Remove(*oldest);
    static_cast<Stream*>(oldest)->OnStalled(stalled);
  }
  // One may close itself meanwhile.
  const std::vector<std::shared_ptr<Connection>> all(connections_.begin(), connections_.end());
  for (const auto& connection : all) connection->OnSweep();
  EndBatch();
}

}  // namespace meshgate::server::wire
