// The process's log: one line per event, as JSON or as text, to standard error.
//
// Lines carry fields. Names are fixed: ts, level, msg, grpc.service, grpc.method, grpc.code, grpc.time_ms,
// peer.address, key, consul_index, request_id; others are added sparingly. A value, a token or a whole request never
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
// there are threads.
void SetUpLog(LogLevel level, LogFormat format);

// For tests: lines, with their newline, go to `sink` instead. One call at a time.
void SetUpLog(LogLevel level, LogFormat format, std::function<void(std::string_view line)> sink);

// Whether a line of this level would be written: ask before doing work for one.
bool LogEnabled(LogLevel level);

// Thread-safe. Text is UTF-8; what is not, and control characters, are escaped, so that a line stays a line.
void Log(LogLevel level, std::string_view message, absl::Span<const LogField> fields = {});

// A finished call, whichever transport brought it.
struct CallRecord {
  std::string_view service;  // "meshgate.v1.ConfigService"
  std::string_view method;   // "GetConfig"
  int code = 0;              // gRPC's
  std::string_view message;  // Of the error.
  absl::Duration took;
  std::string_view peer;
  std::string_view request_id;
  std::string_view key;  // The key, prefix, service or id it was about; may be empty.
};

// What a call with this code is worth: kDebug for success and what callers bring about themselves, kWarn for a store or
// a budget that fails them, kError for what we should not answer at all.
LogLevel CallLogLevel(int grpc_code);

void LogCall(const CallRecord& record);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_LOG_H_
