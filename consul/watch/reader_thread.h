// The threads that readers of targets live on.
#ifndef MESHGATE_CONSUL_WATCH_READER_THREAD_H_
#define MESHGATE_CONSUL_WATCH_READER_THREAD_H_

#include <memory>

namespace meshgate::consul {

// Something to be done on a thread, a bit at a time.
class Work {
 public:
  virtual ~Work() = default;
  // Does a bit of it. Returns whether there is more.
  virtual bool Run() = 0;
};

// Outlives the hub that its readers subscribe at, and what runs that.
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
  // Wake() comes soon: the place to fetch into the processor's cache what it will touch. On its thread.
  virtual void PrepareToWake() {}
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_WATCH_READER_THREAD_H_
