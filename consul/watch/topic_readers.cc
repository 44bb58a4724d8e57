// Who subscribes to a topic: each is led from its own mark.
#include <algorithm>
#include <utility>

#include "consul/watch/topic.h"

namespace meshgate::consul {
namespace {

// How long a reader is kept from an older state than the one it came back with. Gateways in front of one Consul are
// milliseconds apart; it takes longer where Consul hangs, and then the reader loses nothing by hearing nothing, as
// those who stayed do. As long as a blocking query may by default.
constexpr absl::Duration kCatchUpWithin = absl::Seconds(30);

}  // namespace

class Topic::Reader final : public Subscription, public ReaderList::Member {
 public:
  Reader(std::shared_ptr<Topic> topic, Audience* audience, Subscriber* subscriber)
      : Member(subscriber), topic_(std::move(topic)), audience_(audience) {}
  ~Reader() override { topic_->Leave(*this); }

  absl::StatusOr<SharedMessage> Next(NextMemo* memo) override { return topic_->NextFor(*this, memo); }
  SharedMessage Progress() override { return topic_->ProgressFor(*this); }
  TargetKind kind() const override { return topic_->target_.kind; }

 private:
  friend class Topic;

  const std::shared_ptr<Topic> topic_;
  Audience* const audience_;
  std::shared_ptr<ReaderList> list_;
  // Guarded by the topic's lock while it is catching up, otherwise the reader's thread's.
  Feed::Mark mark_;
  // In catching_up_; 0: it is not, and never will be. Constant once the reader is out of Subscribe().
  uint64_t catch_up_ = 0;
  std::shared_ptr<Wakeup> wakeup_;
  Scheduler::TimerId catch_up_timer_ = 0;
};

std::unique_ptr<Subscription> Topic::Subscribe(const View& view, std::optional<ResumeToken> resume,
                                               Subscriber* subscriber) {
  static_assert(sizeof(Reader) <= Subscription::kPreparedBytes);
  reporter_->OnStreams(target_.kind, +1);
  std::unique_ptr<Reader> reader;
  uint64_t catch_up = 0;
  {
    MutexLock lock(mu_);
    Audience& audience = AudienceLocked(view);
    reader = std::make_unique<Reader>(shared_from_this(), &audience, subscriber);
    reader->mark_.resume = resume;
    if (subscriber != nullptr) reader->list_ = JoinListLocked(audience, subscriber->thread());
    ++audience.readers;
    ++users_;
    if (!stopped_ && audience.feed.IsBehind(reader->mark_)) {
      catch_up = next_waiter_++;
      reader->mark_.waits = true;
      reader->catch_up_ = catch_up;
      if (subscriber != nullptr) reader->wakeup_ = std::make_shared<Wakeup>(subscriber);
      reader->catch_up_timer_ =
          scheduler_->After(kCatchUpWithin, [self = shared_from_this(), catch_up] { self->EndCatchUp(catch_up); });
      catching_up_[catch_up] = reader.get();
    }
  }
  if (reader->list_ != nullptr) reader->list_->Add(reader.get());
  if (catch_up != 0) AwaitCatchUp(catch_up, view, *resume);
  return reader;
}

void Topic::AwaitCatchUp(uint64_t number, const View& view, const ResumeToken& held) {
  fresh_reads_->Read([self = shared_from_this(), number, view, held](absl::StatusOr<Fetched> fetched) {
    if (!fetched.ok() || !self->IsCatchingUp(number)) return;
    const Digest truth = self->DigestOfRead(fetched->state, view);
    // A query that others share may have told the same state with a higher index.
    const bool lost = fetched->meta.index.value_or(0) < held.index && truth != held.digest;
    if (lost || self->Shows(view, truth)) self->EndCatchUp(number);
  });
}

bool Topic::IsCatchingUp(uint64_t number) const {
  MutexLock lock(mu_);
  return catching_up_.contains(number);
}

bool Topic::Shows(const View& view, const Digest& digest) const {
  MutexLock lock(mu_);
  return std::any_of(audiences_.begin(), audiences_.end(), [&](const std::unique_ptr<Audience>& audience) {
    return audience->feed.view() == view && audience->feed.digest() == digest;
  });
}

Digest Topic::DigestOfRead(const SharedState& state, const View& view) {
  {
    MutexLock lock(mu_);
    if (digested_ == state && digested_view_ == view) return digest_;
  }
  const Digest digest = DigestOf(target_.kind, *Filter(target_.kind, state, view));
  MutexLock lock(mu_);
  digested_ = state;
  digested_view_ = view;
  digest_ = digest;
  return digest;
}

void Topic::EndCatchUp(uint64_t number) {
  std::shared_ptr<Wakeup> wakeup;
  {
    MutexLock lock(mu_);
    auto it = catching_up_.find(number);
    if (it == catching_up_.end()) return;
    Reader& reader = *it->second;
    reader.mark_.waits = false;
    wakeup = reader.wakeup_;
    catching_up_.erase(it);
    if (catching_up_.empty()) digested_ = nullptr;
  }
  if (wakeup != nullptr) wakeup->WakeSoon();
}

Topic::Audience& Topic::AudienceLocked(const View& view) {
  for (auto& audience : audiences_) {
    if (audience->feed.view() == view) return *audience;
  }
  audiences_.push_back(std::make_unique<Audience>(Feed(target_.kind, view, options_.ring_events, options_.ring_bytes)));
  Feed& feed = audiences_.back()->feed;
  if (state_ != nullptr) feed.Publish(state_, nullptr, index_, confirmed_, /*continuity_lost=*/false);
  feed.SetStale(stale_since_);
  // It may stand where one was that a memo knows.
  NewVersionLocked();
  return *audiences_.back();
}

std::shared_ptr<ReaderList> Topic::JoinListLocked(Audience& audience, ReaderThread* thread) {
  for (auto& [list, readers] : audience.lists) {
    if (list->thread() != thread) continue;
    ++readers;
    return list;
  }
  return audience.lists.emplace_back(std::make_shared<ReaderList>(thread), 1).first;
}

void Topic::LeaveListLocked(Audience& audience, const ReaderList* list) {
  const auto found = std::find_if(audience.lists.begin(), audience.lists.end(),
                                  [list](const auto& one) { return one.first.get() == list; });
  if (--found->second == 0) audience.lists.erase(found);
}

void Topic::Leave(Reader& reader) {
  reporter_->OnStreams(target_.kind, -1);
  if (reader.list_ != nullptr) reader.list_->Remove(&reader);
  if (reader.wakeup_ != nullptr) reader.wakeup_->Forget();
  {
    MutexLock lock(mu_);
    Audience* audience = reader.audience_;
    --audience->readers;
    if (reader.list_ != nullptr) LeaveListLocked(*audience, reader.list_.get());
    --users_;
    if (reader.catch_up_ != 0) {
      catching_up_.erase(reader.catch_up_);
      if (catching_up_.empty()) digested_ = nullptr;
      scheduler_->Cancel(reader.catch_up_timer_);
    }
    // A view that nobody has is not kept up to date; the first one costs nothing extra.
    if (audience->readers == 0 && audiences_.size() > 1) {
      audiences_.erase(std::find_if(audiences_.begin(), audiences_.end(),
                                    [audience](const auto& a) { return a.get() == audience; }));
    }
  }
  TellOwnerIfUnused();
}

absl::StatusOr<SharedMessage> Topic::NextFor(Reader& reader, NextMemo* memo) {
  Feed::Mark& mark = reader.mark_;
  // A mark with a past of its own is led back on its own; a message that tells how stale it is ages.
  const bool plain = memo != nullptr && reader.catch_up_ == 0 && !mark.resume.has_value() && !mark.told_stale;
  if (plain && memo->audience_ == reader.audience_ && memo->version_ == version_.load(std::memory_order_acquire) &&
      memo->sequence_ == mark.sequence && memo->epoch_ == mark.epoch) {
    mark.sequence = memo->sequence_after_;
    mark.epoch = memo->epoch_after_;
    if (memo->merged_ > 0) reporter_->OnMerged(target_.kind, memo->merged_);
    return memo->message_;
  }
  int64_t merged = 0;
  SharedMessage message;
  {
    MutexLock lock(mu_);
    if (!failed_.ok()) return failed_;
    const Feed::Mark before = mark;
    message = reader.audience_->feed.Next(mark, scheduler_->Now(), merged);
    if (plain && !mark.told_stale) {
      memo->audience_ = reader.audience_;
      memo->version_ = version_.load(std::memory_order_relaxed);
      memo->sequence_ = before.sequence;
      memo->epoch_ = before.epoch;
      memo->sequence_after_ = mark.sequence;
      memo->epoch_after_ = mark.epoch;
      memo->merged_ = merged;
      memo->message_ = message;
    }
  }
  if (merged > 0) reporter_->OnMerged(target_.kind, merged);
  return message;
}

SharedMessage Topic::ProgressFor(Reader& reader) {
  MutexLock lock(mu_);
  return reader.audience_->feed.Progress(reader.mark_, scheduler_->Now());
}

}  // namespace meshgate::consul
