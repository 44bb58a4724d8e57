#include "server/http/api/watch_thread.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "meshgate/v1/config_service.pb.h"
#include "meshgate/v1/registry_service.pb.h"
#include "server/http/api/json.h"

namespace meshgate::server::api {
namespace {

// Texts that are kept for the next reader; the latest whatever its size. Readers of one change come one after the
// other, and new ones begin with the same snapshot.
constexpr size_t kMaxWritten = 32;
constexpr size_t kMaxWrittenBytes = 4 << 20;
// A message of so many bytes takes a millisecond to write.
constexpr size_t kWrittenHere = 32 << 10;

template <typename Response>
absl::StatusOr<MessageText> Write(const std::string& bytes, WatchFormat format) {
  Response response;
  if (!response.ParseFromString(bytes)) return absl::InternalError("a message of the hub does not parse");
  absl::StatusOr<std::string> json = ToJson(response);
  if (!json.ok()) return json.status();
  MessageText text;
  text.tells = response.snapshot() || response.events_size() > 0;
  std::string written = format == WatchFormat::kLines
                            ? absl::StrCat(*json, "\n")
                            : absl::StrCat("id: ", response.resume_token(), "\ndata: ", *json, "\n\n");
  text.text = std::make_shared<const std::string>(std::move(written));
  return text;
}

absl::StatusOr<MessageText> WriteText(consul::TargetKind kind, const consul::Message& message, WatchFormat format) {
  return kind == consul::TargetKind::kService ? Write<v1::WatchServiceResponse>(message.bytes, format)
                                              : Write<v1::WatchConfigResponse>(message.bytes, format);
}

}  // namespace

// Brings a text that was written elsewhere, and tells those who wait, some at a time.
class WatchThread::Arrival final : public consul::Work {
 public:
  Arrival(std::shared_ptr<WatchThread> thread, consul::SharedMessage message, WatchFormat format,
          absl::StatusOr<MessageText> text)
      : thread_(std::move(thread)), message_(std::move(message)), format_(format), text_(std::move(text)) {}

  bool Run() override {
    if (!kept_) {
      kept_ = true;
      thread_->Keep(message_, format_, std::move(text_));
      waiters_ = std::move(thread_->writing_.extract({message_, format_}).mapped());
    }
    for (int i = 0; i < kAtOnce && next_ < waiters_.size(); ++i) {
      if (const auto waiter = waiters_[next_++].lock()) waiter->OnText();
    }
    return next_ < waiters_.size();
  }

 private:
  static constexpr int kAtOnce = 16;

  const std::shared_ptr<WatchThread> thread_;
  const consul::SharedMessage message_;
  const WatchFormat format_;
  absl::StatusOr<MessageText> text_;
  bool kept_ = false;
  Waiters waiters_;
  size_t next_ = 0;
};

absl::StatusOr<std::optional<MessageText>> WatchThread::TextOf(consul::TargetKind kind,
                                                               const consul::SharedMessage& message, WatchFormat format,
                                                               std::weak_ptr<TextWaiter> waiter) {
  for (const Written& one : written_) {
    if (one.key == message.get() && one.format == format && one.message.lock() == message) return one.text;
  }
  if (message->bytes.size() <= kWrittenHere) {
    absl::StatusOr<MessageText> text = WriteText(kind, *message, format);
    Keep(message, format, text);
    return text;
  }
  Waiters& waiters = writing_[{message, format}];
  waiters.push_back(std::move(waiter));
  if (waiters.size() > 1) return std::nullopt;
  scheduler_->Post([self = shared_from_this(), kind, message, format] {
    self->thread_->Schedule(std::make_shared<Arrival>(self, message, format, WriteText(kind, *message, format)));
  });
  return std::nullopt;
}

void WatchThread::Keep(const consul::SharedMessage& message, WatchFormat format, absl::StatusOr<MessageText> text) {
  const auto gone = std::remove_if(written_.begin(), written_.end(), [this](const Written& one) {
    if (!one.message.expired()) return false;
    if (one.text.ok()) written_bytes_ -= one.text->text->size();
    return true;
  });
  written_.erase(gone, written_.end());
  if (text.ok()) written_bytes_ += text->text->size();
  written_.push_front({message, message.get(), format, std::move(text)});
  while (written_.size() > 1 && (written_.size() > kMaxWritten || written_bytes_ > kMaxWrittenBytes)) {
    if (written_.back().text.ok()) written_bytes_ -= written_.back().text->text->size();
    written_.pop_back();
  }
}

void WatchThread::OnDelivered(metrics::RpcMethodReporter* calls, consul::TargetKind kind, absl::Time received) {
  deliveries_.Add(calls, kind, received, scheduler_->Now());
  if (!std::exchange(report_scheduled_, true)) thread_->Schedule(shared_from_this());
}

bool WatchThread::Run() {
  report_scheduled_ = false;
  deliveries_.Flush(scheduler_->Now());
  return false;
}

std::shared_ptr<WatchThread> WatchThreads::Of(consul::ReaderThread* thread) {
  MutexLock lock(mu_);
  std::shared_ptr<WatchThread>& entry = threads_[thread];
  if (entry == nullptr) entry = std::make_shared<WatchThread>(thread, scheduler_, watches_);
  return entry;
}

}  // namespace meshgate::server::api
