#include "client/ctl/failure.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/errors.h"

namespace meshgate::ctl {
namespace {

struct Advice {
  // Or what the message has in it.
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
    {"TOKEN_UNKNOWN",
     "check the token that is sent (--token-file, $MESHGATE_TOKEN), or without one that of the gateway"},
    {"PERMISSION_DENIED", "check the Consul policies of the token that is sent (--token-file, $MESHGATE_TOKEN)"},
    {"CHECK_NOT_ALLOWED", "or register with --check-ttl, which connects to nothing"},
    {"DRAINING", "the gateway is shutting down: try again"},
};

// What gRPC says of connections that came to nothing, and what is behind it.
constexpr Advice kByMessage[] = {
    {"certificate verify failed", "the gateway's certificate is signed by nobody who is trusted: check --ca-file"},
    {"Hostname Verification Check failed", "the gateway's certificate is for another name: check --tls-server-name"},
    {"wrong version number", "that port does not speak TLS: leave out --tls, --ca-file and the like"},
    {"Socket closed",
     "if that port speaks TLS, give --tls or --ca-file, and --cert-file with --key-file where it asks for them"},
    {"Endpoint read failed", "the gateway may ask for a certificate that it knows: --cert-file and --key-file"},
};

std::string NextStep(const absl::Status& status, const std::string& endpoint) {
  const std::string reason = client::ReasonOf(status);
  if (reason == "CAS_MISMATCH" && absl::StrContains(status.message(), "does not exist")) {
    return "there is nothing to read: --if-modify-index 0 creates it";
  }
  for (const Advice& advice : kByReason) {
    if (reason == advice.reason) return advice.next;
  }
  if (!reason.empty()) return "";
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      for (const Advice& advice : kByMessage) {
        if (absl::StrContains(status.message(), advice.reason)) return advice.next;
      }
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
  if (const auto retry = client::RetryAfterOf(failed_call); retry.has_value()) {
    absl::StrAppend(&line, "; retry in ", absl::FormatDuration(*retry));
  }
  // Messages quote what callers and Consul sent: neither a second line nor an escape sequence for a terminal.
  for (char& c : line) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  return line;
}

}  // namespace meshgate::ctl
