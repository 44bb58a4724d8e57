#include "server/call_log.h"

#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "consul/base/errors.h"
#include "metrics/registry.h"

namespace meshgate::server {

LogLevel CallLogLevel(int grpc_code, std::string_view reason) {
  switch (grpc_code) {
    case 2:   // UNKNOWN
    case 13:  // INTERNAL
    case 15:  // DATA_LOSS
      return LogLevel::kError;
    case 14:  // UNAVAILABLE
      return reason == reason::kDraining ? LogLevel::kDebug : LogLevel::kWarn;
    case 4:  // DEADLINE_EXCEEDED
    case 8:  // RESOURCE_EXHAUSTED
      return LogLevel::kWarn;
    default:
      return LogLevel::kDebug;
  }
}

LineLimiter::Verdict LineLimiter::Ask(std::string_view method, int code, absl::Time now) {
  MutexLock lock(mu_);
  Window& window = windows_[{std::string(method), code}];
  // A clock that was set back begins a new second, too.
  if (now - window.began >= absl::Seconds(1) || now < window.began) {
    window.began = now;
    window.written = 0;
  }
  if (window.written >= kPerSecond) {
    ++window.left_out;
    return {false, 0};
  }
  ++window.written;
  return {true, std::exchange(window.left_out, 0)};
}

void LogCall(const CallRecord& record) {
  const LogLevel level = CallLogLevel(record.code, record.reason);
  if (!LogEnabled(level)) return;
  int64_t left_out = 0;
  // Who asks for debug lines wants them all.
  if (level != LogLevel::kDebug) {
    // Never destroyed: calls may end while the process exits.
    static auto* const limiter = new LineLimiter();
    const LineLimiter::Verdict verdict = limiter->Ask(record.method, record.code, absl::Now());
    if (!verdict.write) return;
    left_out = verdict.left_out;
  }
  std::vector<LogField> fields = {
      {"grpc.service", record.service},
      {"grpc.method", record.method},
      {"grpc.code", metrics::RpcCodeName(record.code)},
      {"grpc.time_ms", absl::ToDoubleMilliseconds(record.took)},
      {"peer.address", record.peer},
      {"request_id", record.request_id},
  };
  if (!record.key.empty()) fields.push_back({"key", record.key});
  if (!record.message.empty()) fields.push_back({"error", record.message});
  if (left_out > 0) fields.push_back({"left_out", left_out});
  Log(level, record.code == 0 ? "call" : "call failed", fields);
}

}  // namespace meshgate::server
