#include "tests/bench/compare/watch_load.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/bench/load/stamp.h"

namespace meshgate::bench {
namespace {

// So many streams may be opening at a time: no server's queue of connections overflows, and none is idle meanwhile.
constexpr int kOpening = 512;

}  // namespace

class WatchLoad::Connection final : public ChannelListener {
 public:
  Connection(WatchLoad* load) : load_(load), channel_(load->peer_->Connect(load->loop_, Method::kWatch, this)) {}

  bool connected() const { return channel_ != nullptr; }
  void Watch(int stream, const std::string& request) { channel_->Call(stream, request); }

 private:
  void OnMessage(int call, std::string_view message) override { load_->OnMessage(call, message); }
  void OnEnd(int call, bool answered) override { load_->OnFailure("a stream has ended"); }
  void OnFailure(const std::string& what) override { load_->OnFailure(what); }

  WatchLoad* const load_;
  const std::unique_ptr<Channel> channel_;
};

WatchLoad::WatchLoad(Loop* loop, const Peer* peer) : loop_(loop), peer_(peer) {}

WatchLoad::~WatchLoad() = default;

absl::Status WatchLoad::Open(int streams, int streams_per_connection, absl::Duration patience) {
  latest_.assign(static_cast<size_t>(streams), 0);
  open_.assign(static_cast<size_t>(streams), false);
  const std::string request = peer_->Request(Method::kWatch);
  for (int stream = 0; stream < streams; ++stream) {
    if (stream % streams_per_connection == 0) {
      const auto enough = [&] { return stream - opened_ < kOpening || !failure_.empty(); };
      if (!loop_->RunUntil(enough, patience) || !failure_.empty()) return Failure("streams do not open");
      connections_.push_back(std::make_unique<Connection>(this));
      if (!connections_.back()->connected()) return Failure("a connection is refused");
    }
    connections_.back()->Watch(stream, request);
  }
  if (!loop_->RunUntil([&] { return opened_ == streams || !failure_.empty(); }, patience) || !failure_.empty()) {
    return Failure(absl::StrCat(opened_, " of ", streams, " streams have opened"));
  }
  return absl::OkStatus();
}

void WatchLoad::Expect(uint64_t change) {
  expected_ = change;
  reached_ = 0;
  written_at_ = SteadyNanos();
}

absl::Status WatchLoad::WaitForAll(absl::Duration patience) {
  const int all = static_cast<int>(latest_.size());
  if (!loop_->RunUntil([&] { return reached_ == all || !failure_.empty(); }, patience) || !failure_.empty()) {
    return Failure(absl::StrCat("change ", expected_, " has reached ", reached_, " of ", all, " streams"));
  }
  return absl::OkStatus();
}

std::vector<double> WatchLoad::TakeLatencies() { return std::exchange(latencies_, {}); }

void WatchLoad::OnMessage(int stream, std::string_view message) {
  const auto at = static_cast<size_t>(stream);
  if (!open_[at]) {
    open_[at] = true;
    ++opened_;
  }
  const auto change = FindStamp(message);
  if (!change.has_value() || *change <= latest_[at]) return;
  latest_[at] = *change;
  if (*change != expected_) return;
  ++reached_;
  last_latency_ = static_cast<double>(SteadyNanos() - written_at_) / 1e6;
  latencies_.push_back(last_latency_);
}

void WatchLoad::OnFailure(const std::string& what) {
  if (failure_.empty()) failure_ = what;
}

absl::Status WatchLoad::Failure(const std::string& what) const {
  return absl::InternalError(failure_.empty() ? what : absl::StrCat(what, ": ", failure_));
}

}  // namespace meshgate::bench
