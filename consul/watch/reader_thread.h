// The threads that readers of targets live on.
#ifndef MESHGATE_CONSUL_WATCH_READER_THREAD_H_
#define MESHGATE_CONSUL_WATCH_READER_THREAD_H_

#include <atomic>
#include <cstddef>
#include <memory>

namespace meshgate::consul {

// Something to be done on a thread, a bit at a time.
class Work {
 public:
  virtual ~Work() = default;
  // Does a bit of it. Returns whether there is more.
  virtual bool Run() = 0;
};

// Outlives its readers, and what runs the hub that they subscribe at.
class ReaderThread {
 public:
  virtual ~ReaderThread() = default;
  // Calls work->Run() soon on the thread, not inside this call, and again while it returns true. Any thread; must not
  // block.
  virtual void Schedule(std::shared_ptr<Work> work) = 0;
};

// Somebody who reads a target. Outlives its subscription.
class Subscriber {
 public:
  virtual ~Subscriber() = default;
  // Where it lives: it subscribes, is woken, reads and leaves there, all without a lock. Always the same.
  virtual ReaderThread* thread() = 0;
  // Subscription::Next() may have something. On its thread, possibly many times for one change. Must not block.
  virtual void Wake() = 0;
  // Wake() comes soon, and so much of the subscriber is in the processor's cache: the place to Prefetch() what else it
  // will touch. Step 0: what the subscriber's members point to; step 1, when that is there: what those point to. On its
  // thread; each step may be left out.
  static constexpr size_t kPreparedBytes = 192;
  virtual void PrepareToWake(int step) const {}
};

// A way to one subscriber from other threads.
class Wakeup final : public Work, public std::enable_shared_from_this<Wakeup> {
 public:
  explicit Wakeup(Subscriber* subscriber) : thread_(subscriber->thread()), subscriber_(subscriber) {}

  // Has it woken. Any thread.
  void WakeSoon() {
    if (!asked_.exchange(true)) thread_->Schedule(shared_from_this());
  }

  // ---- Its thread.
  // It is gone.
  void Forget() { subscriber_ = nullptr; }
  bool Run() override {
    asked_ = false;
    if (subscriber_ != nullptr) subscriber_->Wake();
    return false;
  }

 private:
  ReaderThread* const thread_;
  Subscriber* subscriber_;
  std::atomic<bool> asked_{false};
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_READER_THREAD_H_
