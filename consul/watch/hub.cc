#include "consul/watch/hub.h"

#include <algorithm>
#include <list>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "consul/base/errors.h"
#include "consul/base/mutex.h"
#include "consul/watch/topic.h"

namespace meshgate::consul {

// Locks: the hub's may be held while a topic's is taken, never the other way.
class Hub::Impl final : public Topic::Owner, public std::enable_shared_from_this<Hub::Impl> {
 public:
  Impl(Backend* backend, Scheduler* scheduler, WatchReporter* reporter, HubOptions options)
      : backend_(backend), scheduler_(scheduler), reporter_(reporter), options_(options) {}

  std::unique_ptr<Subscription> Subscribe(const Target& target, const View& view, std::optional<Digest> resume,
                                          std::weak_ptr<Subscriber> subscriber);
  void Read(const Target& target, const CachedReadOptions& options,
            absl::AnyInvocable<void(absl::StatusOr<CachedState>)> done);
  void Shutdown();
  bool HasState() const;

  // Topic::Owner
  void OnUnused(const std::shared_ptr<Topic>& topic) override;
  void OnFailed(const std::shared_ptr<Topic>& topic) override;

 private:
  struct Entry {
    std::shared_ptr<Topic> topic;
    // When it was last found unused or asked for a cached state.
    absl::Time used;
    // In idle_, while it is unused.
    std::optional<std::list<Topic*>::iterator> idle;
    // A linger timer is running; one serves however often the topic comes in and out of use.
    bool armed = false;
  };

  // `made`: the caller has to call Start() on it, without the lock.
  std::shared_ptr<Topic> FindOrMakeLocked(const Target& target, bool& made) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::shared_ptr<Topic> TakeLocked(const Topic* topic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ArmLinger(const std::shared_ptr<Topic>& topic, absl::Duration delay);
  void OnLinger(const std::shared_ptr<Topic>& topic);

  Backend* const backend_;
  Scheduler* const scheduler_;
  WatchReporter* const reporter_;
  const HubOptions options_;

  mutable Mutex mu_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<Target, Entry> topics_ ABSL_GUARDED_BY(mu_);
  // Unused topics, the least recently used one first.
  std::list<Topic*> idle_ ABSL_GUARDED_BY(mu_);
};

namespace {

absl::Status ShuttingDown() {
  return MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "the gateway is shutting down: use another one");
}

}  // namespace

std::shared_ptr<Topic> Hub::Impl::FindOrMakeLocked(const Target& target, bool& made) {
  auto [it, inserted] = topics_.try_emplace(target);
  made = inserted;
  if (inserted) {
    it->second.topic = Topic::Make(target, backend_, scheduler_, reporter_, options_, weak_from_this());
  }
  it->second.used = scheduler_->Now();
  return it->second.topic;
}

std::shared_ptr<Topic> Hub::Impl::TakeLocked(const Topic* topic) {
  auto it = topics_.find(topic->target());
  if (it == topics_.end() || it->second.topic.get() != topic) return nullptr;
  if (it->second.idle.has_value()) idle_.erase(*it->second.idle);
  std::shared_ptr<Topic> taken = std::move(it->second.topic);
  topics_.erase(it);
  return taken;
}

std::unique_ptr<Subscription> Hub::Impl::Subscribe(const Target& target, const View& view, std::optional<Digest> resume,
                                                   std::weak_ptr<Subscriber> subscriber) {
  std::shared_ptr<Topic> topic;
  std::unique_ptr<Subscription> subscription;
  bool made = false;
  bool start = false;
  {
    // The reader joins under the hub's lock, so that the topic can't be found unused and dropped in between.
    MutexLock lock(mu_);
    topic = FindOrMakeLocked(target, made);
    start = made && !shut_down_;
    Entry& entry = topics_.find(target)->second;
    if (entry.idle.has_value()) {
      idle_.erase(*entry.idle);
      entry.idle.reset();
    }
    subscription = topic->Subscribe(view, resume, std::move(subscriber));
  }
  if (start) topic->Start();
  return subscription;
}

void Hub::Impl::Read(const Target& target, const CachedReadOptions& options,
                     absl::AnyInvocable<void(absl::StatusOr<CachedState>)> done) {
  while (true) {
    std::shared_ptr<Topic> topic;
    bool made = false;
    {
      MutexLock lock(mu_);
      if (!shut_down_) topic = FindOrMakeLocked(target, made);
    }
    if (topic == nullptr) {
      done(ShuttingDown());
      return;
    }
    if (made) topic->Start();
    // False: it was dropped as unused just now.
    if (topic->Read(options, done)) return;
  }
}

void Hub::Impl::OnUnused(const std::shared_ptr<Topic>& topic) {
  std::shared_ptr<Topic> evicted;
  bool arm = false;
  {
    MutexLock lock(mu_);
    auto it = topics_.find(topic->target());
    if (it == topics_.end() || it->second.topic != topic || topic->in_use()) return;
    Entry& entry = it->second;
    entry.used = scheduler_->Now();
    if (entry.idle.has_value()) {
      idle_.splice(idle_.end(), idle_, *entry.idle);
    } else {
      entry.idle = idle_.insert(idle_.end(), topic.get());
    }
    arm = !std::exchange(entry.armed, true);
    if (idle_.size() > options_.max_idle_targets) evicted = TakeLocked(idle_.front());
  }
  if (arm) ArmLinger(topic, options_.linger);
  if (evicted != nullptr) evicted->Stop(ShuttingDown());
}

void Hub::Impl::ArmLinger(const std::shared_ptr<Topic>& topic, absl::Duration delay) {
  scheduler_->After(delay, [weak = weak_from_this(), weak_topic = std::weak_ptr<Topic>(topic)] {
    auto self = weak.lock();
    auto unused = weak_topic.lock();
    if (self != nullptr && unused != nullptr) self->OnLinger(unused);
  });
}

void Hub::Impl::OnLinger(const std::shared_ptr<Topic>& topic) {
  absl::Duration left;
  std::shared_ptr<Topic> taken;
  {
    MutexLock lock(mu_);
    auto it = topics_.find(topic->target());
    if (it == topics_.end() || it->second.topic != topic) return;
    if (!it->second.idle.has_value()) {
      it->second.armed = false;
      return;
    }
    left = it->second.used + options_.linger - scheduler_->Now();
    // What is known can't be had again while Consul is away.
    if (topic->is_last_known()) left = std::max(left, options_.linger);
    if (left <= absl::ZeroDuration()) taken = TakeLocked(topic.get());
  }
  if (taken != nullptr) {
    taken->Stop(ShuttingDown());
  } else {
    ArmLinger(topic, left);
  }
}

void Hub::Impl::OnFailed(const std::shared_ptr<Topic>& topic) {
  std::shared_ptr<Topic> taken;
  {
    MutexLock lock(mu_);
    taken = TakeLocked(topic.get());
  }
  if (taken != nullptr) taken->Stop(ShuttingDown());
}

void Hub::Impl::Shutdown() {
  absl::flat_hash_map<Target, Entry> topics;
  {
    MutexLock lock(mu_);
    shut_down_ = true;
    topics.swap(topics_);
    idle_.clear();
  }
  for (auto& [target, entry] : topics) entry.topic->Stop(ShuttingDown());
}

bool Hub::Impl::HasState() const {
  if (options_.store != nullptr && options_.store->HasStates()) return true;
  MutexLock lock(mu_);
  for (const auto& [target, entry] : topics_) {
    if (entry.topic->has_state()) return true;
  }
  return false;
}

Hub::Hub(Backend* backend, Scheduler* scheduler, WatchReporter* reporter, HubOptions options)
    : impl_(std::make_shared<Impl>(backend, scheduler, reporter, options)) {}

Hub::~Hub() { Shutdown(); }

void Hub::Shutdown() { impl_->Shutdown(); }

std::unique_ptr<Subscription> Hub::Subscribe(const Target& target, const View& view, std::optional<Digest> resume,
                                             std::weak_ptr<Subscriber> subscriber) {
  return impl_->Subscribe(target, view, resume, std::move(subscriber));
}

void Hub::Read(const Target& target, const CachedReadOptions& options,
               absl::AnyInvocable<void(absl::StatusOr<CachedState>)> done) {
  impl_->Read(target, options, std::move(done));
}

bool Hub::HasState() const { return impl_->HasState(); }

}  // namespace meshgate::consul
