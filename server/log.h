// The process's log: one line per event, as JSON or as text, to standard error.
//
// Lines carry fields. Names are fixed: ts, level, msg, grpc.service, grpc.method, grpc.code, grpc.time_ms,
// peer.address, key, request_id; others are added sparingly. A value, a token or a whole request never
// becomes a field or part of a message.
#ifndef MESHGATE_SERVER_LOG_H_
#define MESHGATE_SERVER_LOG_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/time/time.h"
#include "absl/types/span.h"

namespace meshgate::server {

enum class LogLevel { kDebug, kInfo, kWarn, kError };
enum class LogFormat { kText, kJson };

struct LogField {
  std::string_view name;
  std::variant<std::string_view, int64_t, double> value;
};

// Sends what this process logs, through spdlog too, to standard error in `format`, from `level` up. Called once, before
// there are threads but with signals blocked. A line is handed to a thread that writes it: nobody who logs waits for
// whoever reads, and when that one falls behind by some megabytes, lines are dropped and their number is logged.
void SetUpLog(LogLevel level, LogFormat format);

// For tests: lines, with their newline, go to `sink` instead. One call at a time.
void SetUpLog(LogLevel level, LogFormat format, std::function<void(std::string_view line)> sink);

// Waits until the lines so far have been written, at most for `timeout`: before the process ends.
void FlushLog(absl::Duration timeout);

// Whether a line of this level would be written: ask before doing work for one.
bool LogEnabled(LogLevel level);

// Thread-safe. Text is UTF-8; what is not, and control characters, are escaped, so that a line stays a line.
void Log(LogLevel level, std::string_view message, absl::Span<const LogField> fields = {});

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_LOG_H_
