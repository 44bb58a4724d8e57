// Lines for finished calls, whichever transport brought them.
#ifndef MESHGATE_SERVER_CALL_LOG_H_
#define MESHGATE_SERVER_CALL_LOG_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "server/log.h"

namespace meshgate::server {

struct CallRecord {
  std::string_view service;  // "meshgate.v1.ConfigService"
  std::string_view method;   // "GetConfig"
  int code = 0;              // gRPC's
  std::string_view reason;   // Of the error's ErrorInfo; may be empty.
  std::string_view message;  // Of the error.
  absl::Duration took;
  std::string_view peer;
  std::string_view request_id;
  std::string_view key;  // The key, prefix, service or id it was about; may be empty.
};

// What a call with this end is worth: kDebug for success, for what callers bring about themselves and for streams that
// a planned stop ends; kWarn for a store or a budget that fails them, kError for what we should not answer at all.
LogLevel CallLogLevel(int grpc_code, std::string_view reason);

// Lets through so many lines a second of each kind, and counts the others: during an outage every call fails, and a
// line for each would bury what else happens. Thread-safe.
class LineLimiter {
 public:
  static constexpr int kPerSecond = 10;

  struct Verdict {
    bool write;
    // Lines of this kind that were not written since the last one that was.
    int64_t left_out;
  };
  // A kind is a method and a code, whose number is small and fixed. `method` is compared by its text.
  Verdict Ask(std::string_view method, int code, absl::Time now);

 private:
  struct Window {
    absl::Time began = absl::InfinitePast();
    int written = 0;
    int64_t left_out = 0;
  };

  Mutex mu_;
  std::map<std::pair<std::string, int>, Window, std::less<>> windows_ ABSL_GUARDED_BY(mu_);
};

// Writes the line, unless it is a failure of which there were too many in this second: the next one of its kind that is
// written then says, in the field `left_out`, how many are missing before it. The metrics count them all.
void LogCall(const CallRecord& record);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_CALL_LOG_H_
