#ifndef MESHGATE_SERVER_HTTP_API_WATCH_THREAD_H_
#define MESHGATE_SERVER_HTTP_API_WATCH_THREAD_H_

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "consul/base/mutex.h"
#include "consul/base/scheduler.h"
#include "consul/reporter.h"
#include "consul/watch/hub.h"
#include "consul/watch/reader_thread.h"
#include "metrics/registry.h"
#include "server/stream/delivery_report.h"

namespace meshgate::server::api {

// How a stream is written: events of server-sent events, or a line of JSON each.
enum class WatchFormat { kEvents, kLines };

// A message of the hub as it is sent.
struct MessageText {
  std::shared_ptr<const std::string> text;
  // It says something about the state: a snapshot, or changes.
  bool tells = false;
};

// Who waits for a text.
class TextWaiter {
 public:
  virtual ~TextWaiter() = default;
  // WatchThread::TextOf() has it now. On the thread of the WatchThread.
  virtual void OnText() = 0;
};

// What the streams on one thread share: what they were told last, what that looks like, and what has been counted but
// not reported. Used on that thread alone.
class WatchThread final : public consul::Work, public std::enable_shared_from_this<WatchThread> {
 public:
  // All outlive it.
  WatchThread(consul::ReaderThread* thread, Scheduler* scheduler, consul::WatchReporter* watches)
      : thread_(thread), scheduler_(scheduler), deliveries_(watches) {}

  consul::NextMemo* memo() { return &memo_; }

  // Written once for all who are sent it; a large one on the scheduler, for which others on this thread must not wait:
  // then nothing is returned, and the waiter is told when to ask again. INTERNAL for what JSON cannot say.
  absl::StatusOr<std::optional<MessageText>> TextOf(consul::TargetKind kind, const consul::SharedMessage& message,
                                                    WatchFormat format, std::weak_ptr<TextWaiter> waiter);

  // A message has been handed over; it is reported with others of its batch.
  void OnDelivered(metrics::RpcMethodReporter* calls, consul::TargetKind kind, absl::Time received);

  // Reports.
  bool Run() override;

 private:
  struct Written {
    // To tell another message in the same place.
    std::weak_ptr<const consul::Message> message;
    const consul::Message* key;
    WatchFormat format;
    absl::StatusOr<MessageText> text;
  };
  using Waiters = std::vector<std::weak_ptr<TextWaiter>>;
  class Arrival;

  void Keep(const consul::SharedMessage& message, WatchFormat format, absl::StatusOr<MessageText> text);

  consul::ReaderThread* const thread_;
  Scheduler* const scheduler_;
  consul::NextMemo memo_;
  DeliveryReport deliveries_;
  bool report_scheduled_ = false;
  // The latest first.
  std::deque<Written> written_;
  size_t written_bytes_ = 0;
  // Being written, with who waits for it.
  std::map<std::pair<consul::SharedMessage, WatchFormat>, Waiters> writing_;
};

// One for each thread. Thread-safe.
class WatchThreads {
 public:
  WatchThreads(Scheduler* scheduler, consul::WatchReporter* watches) : scheduler_(scheduler), watches_(watches) {}

  std::shared_ptr<WatchThread> Of(consul::ReaderThread* thread);

 private:
  Scheduler* const scheduler_;
  consul::WatchReporter* const watches_;
  Mutex mu_;
  std::map<consul::ReaderThread*, std::shared_ptr<WatchThread>> threads_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::server::api

#endif  // MESHGATE_SERVER_HTTP_API_WATCH_THREAD_H_
