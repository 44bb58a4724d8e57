#include "server/http/api/watch_thread.h"

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

}  // namespace

absl::StatusOr<MessageText> WatchThread::TextOf(consul::TargetKind kind, const consul::SharedMessage& message,
                                                WatchFormat format) {
  for (const Written& one : written_) {
    if (one.key == message.get() && one.format == format && one.message.lock() == message) return one.text;
  }
  absl::StatusOr<MessageText> text = kind == consul::TargetKind::kService
                                         ? Write<v1::WatchServiceResponse>(message->bytes, format)
                                         : Write<v1::WatchConfigResponse>(message->bytes, format);
  if (!text.ok()) return text.status();
  written_.push_front({message, message.get(), format, *text});
  written_bytes_ += text->text->size();
  while (written_.size() > 1 && (written_.size() > kMaxWritten || written_bytes_ > kMaxWrittenBytes)) {
    written_bytes_ -= written_.back().text.text->size();
    written_.pop_back();
  }
  return text;
}

void WatchThread::OnDelivered(metrics::RpcMethodReporter* calls, consul::TargetKind kind, absl::Time received) {
  deliveries_.Add(calls, kind, received, clock_->Now());
  if (!std::exchange(report_scheduled_, true)) thread_->Schedule(shared_from_this());
}

bool WatchThread::Run() {
  report_scheduled_ = false;
  deliveries_.Flush(clock_->Now());
  return false;
}

std::shared_ptr<WatchThread> WatchThreads::Of(consul::ReaderThread* thread) {
  MutexLock lock(mu_);
  std::shared_ptr<WatchThread>& entry = threads_[thread];
  if (entry == nullptr) entry = std::make_shared<WatchThread>(thread, clock_, watches_);
  return entry;
}

}  // namespace meshgate::server::api
