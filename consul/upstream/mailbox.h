#ifndef MESHGATE_CONSUL_UPSTREAM_MAILBOX_H_
#define MESHGATE_CONSUL_UPSTREAM_MAILBOX_H_

#include <list>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "consul/base/mutex.h"
#include "consul/upstream/upstream_watch.h"

namespace meshgate::consul {

// News for one listener, from whichever query watches its target at the time: handed over in the order they were
// pushed, by one thread at a time, without a lock held. Thread-safe.
class Mailbox {
 public:
  using Listener = UpstreamWatch::Listener;
  // Returns what OnState() does; true for other news.
  using News = absl::AnyInvocable<bool(Listener&)>;
  static News State(Fetched fetched, bool reset) {
    return [fetched = std::move(fetched), reset](Listener& l) { return l.OnState(fetched, reset); };
  }
  static News Confirmed(absl::Time received) {
    return [received](Listener& l) {
      l.OnConfirmed(received);
      return true;
    };
  }
  static News Failure(absl::Status error, int consecutive) {
    return [error = std::move(error), consecutive](Listener& l) {
      l.OnFailure(error, consecutive);
      return true;
    };
  }

  explicit Mailbox(std::weak_ptr<Listener> listener) : listener_(std::move(listener)) {}

  // See the Listener's; not under a lock.
  Lost WhatIsLost(const consul::State& state) const {
    const std::shared_ptr<Listener> listener = listener_.lock();
    return listener != nullptr ? listener->WhatIsLost(state) : Lost{};
  }

  // May be called under a lock, which then gives the order.
  void Push(News news) {
    MutexLock lock(mu_);
    if (!closed_) news_.push_back(std::move(news));
  }

  // Hands over what is there; not under a lock. Returns what the last news did; true where another thread is at it,
  // who then hands over this, too.
  bool Deliver() {
    {
      MutexLock lock(mu_);
      if (busy_) return true;
      busy_ = true;
    }
    bool result = true;
    while (true) {
      News news;
      {
        MutexLock lock(mu_);
        if (news_.empty()) {
          busy_ = false;
          return result;
        }
        news = std::move(news_.front());
        news_.pop_front();
      }
      if (const std::shared_ptr<Listener> listener = listener_.lock()) result = news(*listener);
    }
  }

  // What is there is dropped, and nothing taken any more. The listener may still be being called when it returns.
  void Close() {
    std::list<News> dropped;
    MutexLock lock(mu_);
    closed_ = true;
    dropped.swap(news_);
  }

 private:
  const std::weak_ptr<Listener> listener_;
  Mutex mu_;
  std::list<News> news_ ABSL_GUARDED_BY(mu_);
  bool busy_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_UPSTREAM_MAILBOX_H_
