#include "consul/watch/hub.h"

#include <algorithm>
#include <list>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "consul/base/errors.h"
#include "consul/base/mutex.h"
#include "consul/upstream/upstream_pool.h"
#include "consul/watch/topic.h"

namespace meshgate::consul {

// No lock is taken under the hub's: a topic may be busy comparing or encoding a large state, and others must not wait.
class Hub::Impl final : public Topic::Owner, public std::enable_shared_from_this<Hub::Impl> {
 public:
  Impl(Backend* backend, Scheduler* scheduler, WatchReporter* reporter, HubOptions options)
      : backend_(backend),
        scheduler_(scheduler),
        reporter_(reporter),
        options_(options),
        pool_(UpstreamPool::Make(backend, scheduler, reporter, options.wait)) {}

  std::unique_ptr<Subscription> Subscribe(const Target& target, const View& view, std::optional<ResumeToken> resume,
                                          Subscriber* subscriber);
  void Read(const Target& target, const CachedReadOptions& options,
            absl::AnyInvocable<void(absl::StatusOr<CachedState>)> done);
  std::unique_ptr<Awaiting> Await(const Target& target, const AwaitOptions& options,
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
    // Somebody has subscribed to it.
    bool watched = false;
    // While it is unused, in the list of its kind.
    std::list<Topic*>* idle_in = nullptr;
    std::list<Topic*>::iterator idle;
    // Calls that have found it and are about to use it: until they do, it must not be dropped.
    int pins = 0;
    bool in_use() const { return pins > 0 || topic->in_use(); }

    // A linger timer is running; one serves however often the topic comes in and out of use.
    bool armed = false;
  };

  // Finds or makes the topic and keeps it from being dropped until Unpin().
  std::shared_ptr<Topic> Pin(const Target& target, bool to_watch);
  void Unpin(const std::shared_ptr<Topic>& topic);
  // Takes back so many pins, and puts the topic among the idle ones or takes it from there.
  void Settle(const std::shared_ptr<Topic>& topic, int pins);
  std::shared_ptr<Topic> TakeLeastRecentLocked(const std::list<Topic*>& idle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::shared_ptr<Topic> TakeLocked(const Topic* topic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ArmLinger(const std::shared_ptr<Topic>& topic, absl::Duration delay);
  void OnLinger(const std::shared_ptr<Topic>& topic);

  Backend* const backend_;
  Scheduler* const scheduler_;
  WatchReporter* const reporter_;
  const HubOptions options_;
  const std::shared_ptr<UpstreamPool> pool_;

  mutable Mutex mu_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<Target, Entry> topics_ ABSL_GUARDED_BY(mu_);
  // Unused topics, the least recently used one first: that were only read, and that were watched.
  std::list<Topic*> idle_read_ ABSL_GUARDED_BY(mu_);
  std::list<Topic*> idle_watched_ ABSL_GUARDED_BY(mu_);
};

namespace {

absl::Status ShuttingDown() {
  return MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "the gateway is shutting down: use another one");
}

absl::Status Dropped() {
  return WithRetryAfter(MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable,
                                  "Consul has not answered, and the gateway has stopped asking: try again"),
                        absl::Seconds(1));
}

}  // namespace

std::shared_ptr<Topic> Hub::Impl::TakeLocked(const Topic* topic) {
  auto it = topics_.find(topic->target());
  if (it == topics_.end() || it->second.topic.get() != topic) return nullptr;
  if (it->second.idle_in != nullptr) it->second.idle_in->erase(it->second.idle);
  std::shared_ptr<Topic> taken = std::move(it->second.topic);
  topics_.erase(it);
  return taken;
}

std::unique_ptr<Subscription> Hub::Impl::Subscribe(const Target& target, const View& view,
                                                   std::optional<ResumeToken> resume, Subscriber* subscriber) {
  std::shared_ptr<Topic> topic = Pin(target, /*to_watch=*/true);
  auto subscription = topic->Subscribe(view, resume, subscriber);
  Unpin(topic);
  return subscription;
}

void Hub::Impl::Read(const Target& target, const CachedReadOptions& options,
                     absl::AnyInvocable<void(absl::StatusOr<CachedState>)> done) {
  std::shared_ptr<Topic> topic = Pin(target, /*to_watch=*/false);
  // False only where the hub has been shut down: a pinned topic is not dropped.
  if (!topic->Read(options, done)) done(ShuttingDown());
  Unpin(topic);
}

std::unique_ptr<Awaiting> Hub::Impl::Await(const Target& target, const AwaitOptions& options,
                                           absl::AnyInvocable<void(absl::StatusOr<CachedState>)> done) {
  // Whoever waits comes back with the index of the answer.
  std::shared_ptr<Topic> topic = Pin(target, /*to_watch=*/true);
  auto awaiting = topic->Await(options, std::move(done));
  Unpin(topic);
  return awaiting;
}

std::shared_ptr<Topic> Hub::Impl::Pin(const Target& target, bool to_watch) {
  std::shared_ptr<Topic> topic;
  bool made = false;
  bool shut_down = false;
  {
    MutexLock lock(mu_);
    shut_down = shut_down_;
    Entry& entry = topics_[target];
    made = entry.topic == nullptr;
    if (made)
      entry.topic = Topic::Make(target, backend_, pool_.get(), scheduler_, reporter_, options_, weak_from_this());
    ++entry.pins;
    if (to_watch) entry.watched = true;
    topic = entry.topic;
  }
  if (shut_down) {
    topic->Stop(ShuttingDown());
  } else if (made) {
    topic->Start();
  }
  return topic;
}

void Hub::Impl::Unpin(const std::shared_ptr<Topic>& topic) { Settle(topic, 1); }

void Hub::Impl::OnUnused(const std::shared_ptr<Topic>& topic) { Settle(topic, 0); }

void Hub::Impl::Settle(const std::shared_ptr<Topic>& topic, int pins) {
  std::shared_ptr<Topic> evicted;
  bool arm = false;
  {
    MutexLock lock(mu_);
    auto it = topics_.find(topic->target());
    if (it == topics_.end() || it->second.topic != topic) return;
    Entry& entry = it->second;
    entry.pins -= pins;
    entry.used = scheduler_->Now();
    if (entry.in_use()) {
      if (entry.idle_in != nullptr) std::exchange(entry.idle_in, nullptr)->erase(entry.idle);
      return;
    }
    const bool lingers = entry.watched && !topic->is_large();
    std::list<Topic*>& idle = lingers ? idle_watched_ : idle_read_;
    if (entry.idle_in != nullptr) {
      idle.splice(idle.end(), *entry.idle_in, entry.idle);
    } else {
      entry.idle = idle.insert(idle.end(), topic.get());
    }
    entry.idle_in = &idle;
    arm = !std::exchange(entry.armed, true);
    const size_t most = lingers ? options_.max_lingering_targets : options_.max_read_targets;
    if (idle.size() > most) evicted = TakeLeastRecentLocked(idle);
  }
  if (arm) ArmLinger(topic, options_.linger);
  if (evicted != nullptr) evicted->Stop(Dropped());
}

std::shared_ptr<Topic> Hub::Impl::TakeLeastRecentLocked(const std::list<Topic*>& idle) {
  for (Topic* topic : idle) {
    // Somebody may have come whom Settle() has not seen yet.
    if (topic->is_last_known() || topics_.find(topic->target())->second.in_use()) continue;
    return TakeLocked(topic);
  }
  return nullptr;
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
    if (it->second.in_use()) {
      it->second.armed = false;
      return;
    }
    left = it->second.used + options_.linger - scheduler_->Now();
    // What is known can't be had again while Consul is away.
    if (topic->is_last_known()) left = std::max(left, options_.linger);
    if (left <= absl::ZeroDuration()) taken = TakeLocked(topic.get());
  }
  if (taken != nullptr) {
    taken->Stop(Dropped());
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
    idle_read_.clear();
    idle_watched_.clear();
  }
  for (auto& [target, entry] : topics) entry.topic->Stop(ShuttingDown());
  pool_->Shutdown();
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

std::unique_ptr<Subscription> Hub::Subscribe(const Target& target, const View& view, std::optional<ResumeToken> resume,
                                             Subscriber* subscriber) {
  return impl_->Subscribe(target, view, resume, subscriber);
}

void Hub::Read(const Target& target, const CachedReadOptions& options,
               absl::AnyInvocable<void(absl::StatusOr<CachedState>)> done) {
  impl_->Read(target, options, std::move(done));
}

std::unique_ptr<Awaiting> Hub::Await(const Target& target, const AwaitOptions& options,
                                     absl::AnyInvocable<void(absl::StatusOr<CachedState>)> done) {
  return impl_->Await(target, options, std::move(done));
}

bool Hub::HasState() const { return impl_->HasState(); }

}  // namespace meshgate::consul
