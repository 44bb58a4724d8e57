#include "consul/base/thread_pool_scheduler.h"

#include <pthread.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "consul/base/mutex.h"

namespace meshgate {

namespace asio = boost::asio;

struct ThreadPoolScheduler::Impl {
  struct Timer {
    explicit Timer(asio::io_context& io, Task t) : timer(io), task(std::move(t)) {}
    asio::steady_timer timer;
    Task task;
  };

  explicit Impl(int threads) : io(threads), work(asio::make_work_guard(io)) {}

  // Takes the timer out of the table, so that exactly one of its firing and its cancellation gets it.
  std::unique_ptr<Timer> Take(TimerId id) {
    MutexLock lock(mu);
    auto it = timers.find(id);
    if (it == timers.end()) return nullptr;
    std::unique_ptr<Timer> timer = std::move(it->second);
    timers.erase(it);
    return timer;
  }

  std::atomic<bool> stopped{false};

  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::vector<std::thread> threads;

  Mutex mu;
  TimerId next_id ABSL_GUARDED_BY(mu) = 1;
  std::unordered_map<TimerId, std::unique_ptr<Timer>> timers ABSL_GUARDED_BY(mu);
};

ThreadPoolScheduler::ThreadPoolScheduler(int threads, const std::string& name)
    : impl_(std::make_unique<Impl>(threads)) {
  for (int i = 0; i < threads; ++i) {
    impl_->threads.emplace_back([this] { impl_->io.run(); });
    const std::string thread_name = (name + std::to_string(i)).substr(0, 15);
    pthread_setname_np(impl_->threads.back().native_handle(), thread_name.c_str());
  }
}

ThreadPoolScheduler::~ThreadPoolScheduler() { Stop(); }

void ThreadPoolScheduler::Stop() {
  impl_->stopped = true;
  impl_->work.reset();
  impl_->io.stop();
  for (std::thread& t : impl_->threads) {
    if (t.joinable()) t.join();
  }
  std::unordered_map<TimerId, std::unique_ptr<Impl::Timer>> dropped;
  {
    MutexLock lock(impl_->mu);
    dropped.swap(impl_->timers);
  }
  dropped.clear();
  // What is left in the queue is taken out and destroyed here, while everything that it may refer to is still there.
  impl_->io.restart();
  impl_->io.poll();
  impl_->io.stop();
}

absl::Time ThreadPoolScheduler::Now() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

void ThreadPoolScheduler::Post(Task task) {
  // Asio wants copyable handlers in places; a shared task is one.
  asio::post(impl_->io, [impl = impl_.get(), task = std::make_shared<Task>(std::move(task))] {
    if (!impl->stopped) (*task)();
  });
}

Scheduler::TimerId ThreadPoolScheduler::After(absl::Duration delay, Task task) {
  auto timer = std::make_unique<Impl::Timer>(impl_->io, std::move(task));
  timer->timer.expires_after(absl::ToChronoNanoseconds(std::max(delay, absl::ZeroDuration())));
  MutexLock lock(impl_->mu);
  const TimerId id = impl_->next_id++;
  timer->timer.async_wait([impl = impl_.get(), id](const boost::system::error_code& error) {
    if (error) return;
    if (auto fired = impl->Take(id)) fired->task();
  });
  impl_->timers.emplace(id, std::move(timer));
  return id;
}

bool ThreadPoolScheduler::Cancel(TimerId id) { return impl_->Take(id) != nullptr; }

}  // namespace meshgate
