#include "tests/conformance/service.h"

#include <algorithm>

#include "google/rpc/status.pb.h"

namespace meshgate::conformance {
namespace {

// A loaded machine's time to notice that a client is gone.
constexpr absl::Duration kSeenTimeout = absl::Seconds(10);

std::string Started(const std::string& id) { return "started " + id; }
std::string Cancelled(const std::string& id) { return "cancelled " + id; }

}  // namespace

Metadata ToMetadata(const google::protobuf::RepeatedPtrField<v1::MetadataEntry>& entries) {
  Metadata metadata;
  for (const auto& entry : entries) {
    std::string value;
    for (uint32_t i = 0; i < std::max(entry.times(), 1u); ++i) value += entry.value();
    metadata.emplace_back(entry.key(), std::move(value));
  }
  return metadata;
}

std::string MakePayload(uint32_t seed, size_t size) {
  std::string payload(size, '\0');
  for (size_t i = 0; i < size; ++i) payload[i] = static_cast<char>((seed + i) % 251);
  return payload;
}

void Events::Await(const std::string& event, std::function<void()> wake) {
  {
    MutexLock lock(mu_);
    if (happened_.count(event) == 0) {
      waiting_.emplace(event, std::move(wake));
      return;
    }
  }
  wake();
}

void Events::Raise(const std::string& event) {
  std::vector<std::function<void()>> woken;
  {
    MutexLock lock(mu_);
    happened_.insert(event);
    const auto [begin, end] = waiting_.equal_range(event);
    for (auto it = begin; it != end; ++it) woken.push_back(std::move(it->second));
    waiting_.erase(begin, end);
  }
  for (auto& wake : woken) wake();
}

Call::Call(Method method, CallFacts facts, Events* events)
    : method_(method), facts_(std::move(facts)), events_(events) {}

void Call::OnRequest(v1::CallRequest request) {
  if (requests_ == 0) {
    plan_ = std::move(*request.mutable_plan());
    initial_metadata_ = ToMetadata(plan_.initial_metadata());
    {
      MutexLock lock(mu_);
      id_ = plan_.id();
    }
    if (!plan_.id().empty()) events_->Raise(Started(plan_.id()));
  }
  ++requests_;
  request_bytes_ += request.payload().size();
  if (request.payload() != MakePayload(plan_.seed(), request.payload().size())) requests_intact_ = false;
  if (!reads_stream()) half_closed_ = true;
}

void Call::OnRequest(const v1::SeenRequest& request) {
  half_closed_ = true;
  await_.event = method_ == Method::kSeenStarted ? Started(request.id()) : Cancelled(request.id());
}

bool Call::DoneReading() const { return half_closed_ || (plan_.end_after() > 0 && requests_ >= plan_.end_after()); }

uint64_t Call::ResponsesDue() const {
  const bool reading = !DoneReading();
  switch (method_) {
    case Method::kServerStream:
      return reading ? 0 : plan_.messages();
    case Method::kBidi:
      return reading && plan_.answer_at_half_close() ? 0 : uint64_t{requests_} * std::max(plan_.messages(), 1u);
    default:
      return !reading && plan_.end().code() == 0 ? 1 : 0;
  }
}

Call::Step Call::Await(std::string event, absl::Duration timeout) {
  await_ = {std::move(event), timeout};
  return step_ = Step::kAwait;
}

Call::Step Call::Next() {
  if (seen_method()) {
    if (!half_closed_) return step_ = Step::kRead;
    if (!slept_) return Await(await_.event, kSeenTimeout);
    return step_ = responses_ == 0 ? Step::kWrite : Step::kFinish;
  }
  if (requests_ == 0 && !half_closed_) return step_ = Step::kRead;
  if (plan_.headers_at_once() && !headers_sent_) return step_ = Step::kSendHeaders;
  const bool due = responses_ < ResponsesDue();
  if (!due && !DoneReading()) return step_ = Step::kRead;
  if (!slept_ && plan_.sleep_ms() > 0) return Await("", absl::Milliseconds(plan_.sleep_ms()));
  // A lone response goes out with the end of the call, so that it comes after what the end waits for.
  const bool hangs = plan_.hang() != v1::HANG_UNSPECIFIED && !hung_;
  if (hangs && !(due && writes_stream())) {
    return Await(plan_.hang() == v1::HANG_UNTIL_DRAIN ? kDrain : "", absl::InfiniteDuration());
  }
  if (!due) return step_ = Step::kFinish;
  MakeResponse();
  return step_ = Step::kWrite;
}

void Call::OnDone() {
  if (step_ == Step::kSendHeaders) headers_sent_ = true;
  if (step_ == Step::kWrite) ++responses_;
}

void Call::OnWoken(bool happened) {
  seen_response_.set_seen(happened);
  if (!slept_ && (seen_method() || plan_.sleep_ms() > 0)) {
    slept_ = true;
  } else {
    hung_ = true;
  }
}

void Call::OnCancelled() {
  std::string id;
  {
    MutexLock lock(mu_);
    id = id_;
  }
  if (!id.empty()) events_->Raise(Cancelled(id));
}

void Call::MakeResponse() {
  response_.Clear();
  response_.set_payload(MakePayload(plan_.seed(), plan_.payload_bytes()));
  response_.set_index(static_cast<uint32_t>(responses_));
  response_.set_requests(requests_);
  response_.set_request_bytes(request_bytes_);
  response_.set_requests_intact(requests_intact_);
  if (plan_.report() && responses_ == 0) *response_.mutable_report() = MakeReport();
}

v1::Report Call::MakeReport() const {
  v1::Report report;
  Metadata sorted = facts_.metadata;
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [key, value] : sorted) {
    if (key.compare(0, 2, "x-") != 0) continue;
    auto* entry = report.add_metadata();
    entry->set_key(key);
    entry->set_value(value);
  }
  report.set_has_deadline(facts_.deadline_left != absl::InfiniteDuration());
  if (report.has_deadline()) report.set_deadline_left_ms(absl::ToInt64Milliseconds(facts_.deadline_left));
  report.set_has_peer(facts_.has_peer);
  return report;
}

CallEnd Call::end() const {
  CallEnd end;
  end.code = plan_.end().code();
  end.message = plan_.end().message();
  end.trailing_metadata = ToMetadata(plan_.trailing_metadata());
  if (plan_.end().has_error_info()) {
    google::rpc::ErrorInfo info;
    info.set_reason(plan_.end().error_info().reason());
    info.set_domain(plan_.end().error_info().domain());
    *info.mutable_metadata() = plan_.end().error_info().metadata();
    google::rpc::Status status;
    status.set_code(end.code);
    status.set_message(end.message);
    status.add_details()->PackFrom(info);
    end.details = status.SerializeAsString();
  }
  return end;
}

}  // namespace meshgate::conformance
