#include "tests/bench/compare/call_load.h"

#include <utility>

#include "tests/bench/compare/processes.h"

namespace meshgate::bench {

class CallLoad::Connection final : public ChannelListener {
 public:
  Connection(CallLoad* load, int in_flight)
      : load_(load),
        begun_at_(static_cast<size_t>(in_flight)),
        channel_(load->peer_->Connect(load->loop_, load->method_, this)) {}

  bool connected() const { return channel_ != nullptr; }
  void Begin() {
    for (size_t i = 0; i < begun_at_.size(); ++i) Call(static_cast<int>(i));
  }

 private:
  void Call(int call) {
    begun_at_[static_cast<size_t>(call)] = SteadyNanos();
    channel_->Call(call, load_->request_);
  }
  void OnMessage(int call, std::string_view message) override {}
  void OnEnd(int call, bool answered) override {
    if (!answered) return load_->OnFailure("a call was refused");
    load_->OnCall(begun_at_[static_cast<size_t>(call)]);
    Call(call);
  }
  void OnFailure(const std::string& what) override { load_->OnFailure(what); }

  CallLoad* const load_;
  // By call in flight.
  std::vector<int64_t> begun_at_;
  const std::unique_ptr<Channel> channel_;
};

CallLoad::CallLoad(Loop* loop, const Peer* peer, Method method)
    : loop_(loop), peer_(peer), method_(method), request_(peer->Request(method)) {}

CallLoad::~CallLoad() = default;

absl::StatusOr<CallLoad::Result> CallLoad::Run(int connections, int in_flight, absl::Duration time) {
  if (!peer_->multiplexes()) {
    connections *= in_flight;
    in_flight = 1;
  }
  for (int i = 0; i < connections; ++i) {
    connections_.push_back(std::make_unique<Connection>(this, in_flight));
    if (!connections_.back()->connected()) return absl::InternalError("a connection is refused");
  }
  for (const auto& connection : connections_) connection->Begin();
  const auto failed = [&] { return !failure_.empty(); };
  Result result;
  if (!loop_->RunUntil(failed, time / 3)) {
    latencies_.clear();
    const int64_t begin = SteadyNanos();
    const absl::Duration cpu = CpuTime(*peer_);
    loop_->RunUntil(failed, time);
    const double calls = static_cast<double>(latencies_.size());
    result.cpu_microseconds_per_call = absl::ToDoubleMicroseconds(CpuTime(*peer_) - cpu) / calls;
    result.calls_per_second = calls / (static_cast<double>(SteadyNanos() - begin) / 1e9);
    result.latencies = std::move(latencies_);
  }
  if (failed()) return absl::InternalError(failure_);
  if (result.latencies.empty()) return absl::InternalError("no call was answered");
  return result;
}

void CallLoad::OnCall(int64_t begun_at) { latencies_.push_back(static_cast<double>(SteadyNanos() - begun_at) / 1e6); }

void CallLoad::OnFailure(const std::string& what) {
  if (failure_.empty()) failure_ = what;
}

}  // namespace meshgate::bench
