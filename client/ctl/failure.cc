#include "client/ctl/failure.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/errors.h"

namespace meshgate::ctl {
namespace {

struct Advice {
  const char* reason;
  const char* next;
};

constexpr Advice kByReason[] = {
    {"KEY_NOT_FOUND", "`meshgatectl list PREFIX --keys-only` shows what is there"},
    {"CAS_MISMATCH", "`meshgatectl get KEY -o json` shows its modifyIndex"},
    {"INSTANCE_NOT_FOUND", "see the ids with `meshgatectl discover SERVICE --include-unhealthy`, or register it again"},
    {"NO_TTL_CHECK", "register it with --check-ttl"},
    {"DATACENTER_NOT_FOUND", "check --datacenter"},
    {"CONSUL_UNAVAILABLE", "the gateway runs but its store does not answer: try again, and look at its /readyz"},
    {"WRITE_OUTCOME_UNKNOWN", "read it back before you write again"},
    {"CONSUL_OVERLOADED", "try again in a moment"},
    {"TOKEN_UNKNOWN", "check the Consul token of the gateway"},
    {"PERMISSION_DENIED", "check the Consul policy of the gateway's token"},
};

std::string NextStep(const absl::Status& status, const std::string& endpoint) {
  const std::string reason = client::ReasonOf(status);
  for (const Advice& advice : kByReason) {
    if (reason == advice.reason) return advice.next;
  }
  if (!reason.empty()) return "";
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return absl::StrCat("is meshgate running at ", endpoint,
                          "? start it with ./deploy/run.sh, or name another gateway with --endpoint");
    case absl::StatusCode::kDeadlineExceeded:
      return "try again, or with a longer --timeout";
    case absl::StatusCode::kUnimplemented:
      return absl::StrCat("is it meshgate that listens at ", endpoint, ", and not older than this meshgatectl?");
    default:
      return "";
  }
}

}  // namespace

int ExitCodeOf(const absl::Status& failed_call) { return kExitCall + failed_call.raw_code(); }

std::string DescribeFailure(const absl::Status& failed_call, const std::string& endpoint) {
  std::string line = absl::StatusCodeToString(failed_call.code());
  if (const std::string reason = client::ReasonOf(failed_call); !reason.empty())
    absl::StrAppend(&line, " (", reason, ")");
  absl::StrAppend(&line, ": ", failed_call.message());
  if (const std::string next = NextStep(failed_call, endpoint); !next.empty()) absl::StrAppend(&line, "; ", next);
  return absl::StrReplaceAll(line, {{"\r", " "}, {"\n", " "}});
}

}  // namespace meshgate::ctl
