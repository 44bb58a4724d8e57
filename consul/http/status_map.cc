#include "consul/http/status_map.h"

#include <initializer_list>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "consul/base/errors.h"
#include "consul/http/parse.h"

namespace meshgate::consul::http {
namespace {

using absl::StatusCode;
using End = Response::End;

constexpr absl::Duration kRetryAfter = absl::Seconds(1);
// A connection at the limit is closed as soon as it is accepted; a query that waits has waited longer than this.
constexpr absl::Duration kClosedAtOnce = absl::Milliseconds(200);
constexpr size_t kMaxQuoted = 200;

constexpr char kMayBeApplied[] = "; it may have been applied: read before you write again";

// Consul's own words for a message of ours. Its errors are a line of text; anything else is not worth quoting.
std::string Quote(absl::string_view body) {
  body = absl::StripAsciiWhitespace(body);
  if (body.empty() || body[0] == '<' || body[0] == '{' || body[0] == '[') return "";
  std::string text(body.substr(0, kMaxQuoted));
  for (char& c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c)) || !absl::ascii_isascii(static_cast<unsigned char>(c))) {
      c = ' ';
    }
  }
  return absl::StrCat(": ", text);
}

absl::Status Unavailable(const Asked& asked, bool begun, absl::string_view what) {
  if (asked.write && begun) {
    return WithRetryAfter(MakeError(StatusCode::kUnavailable, reason::kWriteOutcomeUnknown,
                                    absl::StrCat("the write got no clear answer (", what, ")", kMayBeApplied)),
                          kRetryAfter);
  }
  return WithRetryAfter(
      MakeError(StatusCode::kUnavailable, reason::kConsulUnavailable, absl::StrCat("Consul is unavailable: ", what)),
      kRetryAfter);
}

absl::Status Overloaded(absl::string_view what) {
  return WithRetryAfter(MakeError(StatusCode::kResourceExhausted, reason::kConsulOverloaded,
                                  absl::StrCat("Consul refuses more work", what)),
                        kRetryAfter);
}

absl::Status NotConsul(const Asked& asked, const Response& response, absl::string_view what) {
  const bool open = asked.write && response.sent;
  return MakeError(StatusCode::kInternal, open ? reason::kWriteOutcomeUnknown : reason::kNotConsul,
                   absl::StrCat("the answer is not one that Consul gives: ", what,
                                open ? kMayBeApplied : "; check that --consul_address is a Consul agent's"));
}

// Whether a connection was closed in the way of Consul's limit. A request that was begun may also have died with the
// agent, so that needs more of a proof, and for a write there is none.
bool AtTheLimit(const Asked& asked, const Response& response) {
  if (!response.closed_unanswered) return false;
  if (!response.sent) return true;
  return !asked.write && response.fresh_connection && response.waited < kClosedAtOnce;
}

absl::Status Unanswered(const Asked& asked, const Response& response) {
  switch (response.end) {
    case End::kAnswered:
      break;
    case End::kCancelled:
      if (asked.write && response.sent) {
        return MakeError(StatusCode::kCancelled, reason::kWriteOutcomeUnknown,
                         absl::StrCat("the write was cancelled", kMayBeApplied));
      }
      return MakeError(StatusCode::kCancelled, reason::kCancelled, "the call was cancelled");
    case End::kTimedOut:
      if (asked.write && response.sent) {
        return MakeError(StatusCode::kDeadlineExceeded, reason::kWriteOutcomeUnknown,
                         absl::StrCat("the write got no answer in time", kMayBeApplied));
      }
      return MakeError(StatusCode::kDeadlineExceeded, reason::kDeadline,
                       response.sent ? "Consul did not answer in time" : "no connection to Consul became free in time");
    case End::kTooLarge:
      return NotConsul(asked, response, "it is too large");
    case End::kNotHttp:
      return NotConsul(asked, response, "it is not HTTP");
    case End::kLocalFailure:
      return Unavailable(asked, false, response.error.empty() ? "out of memory" : response.error);
    case End::kRefused:
      return WithRetryAfter(
          MakeError(StatusCode::kUnavailable, reason::kConsulUnavailable,
                    absl::StrCat("Consul is unavailable: ", response.error,
                                 "; nothing was sent, and it is asked until it answers: try again then (cached reads "
                                 "and watches go on with what is known)")),
          kRetryAfter);
    case End::kAbandoned:
      return Unavailable(asked, response.sent, "its agent has stopped answering, and another one is used now");
    case End::kBroken:
      if (AtTheLimit(asked, response)) {
        return Overloaded(
            ": it closed a new connection unanswered, as at limits.http_max_conns_per_client; lower "
            "--consul_max_connections or raise that limit");
      }
      return Unavailable(asked, response.sent, response.error);
  }
  return absl::OkStatus();
}

absl::Status Accepted(const Asked& asked, const Response& response) {
  if (asked.endpoint != Endpoint::kKv || !asked.write) return absl::OkStatus();
  const absl::string_view body = absl::StripAsciiWhitespace(response.body);
  if (body == "true") return absl::OkStatus();
  if (body == "false") {
    return MakeError(StatusCode::kAborted, reason::kCasMismatch,
                     "the entry is not what the write expects; read it again");
  }
  return NotConsul(asked, response, "a write is answered by true or false");
}

absl::Status NoTtlCheck() {
  return MakeError(StatusCode::kFailedPrecondition, reason::kNoTtlCheck, "the instance has no such TTL check");
}

absl::Status PermissionDenied(absl::string_view which = "") {
  return MakeError(StatusCode::kPermissionDenied, reason::kPermissionDenied,
                   absl::StrCat(which, "the token has no permission for this"));
}

// A transaction that was rolled back. Its errors quote keys, which callers choose: only how they begin and end is
// Consul's.
absl::Status RolledBack(const Asked& asked, const Response& response) {
  const std::vector<TxnError> errors = ParseTxnErrors(response.body);
  for (const auto& [operation, what] : errors) {
    const std::string which = asked.commit ? absl::StrCat("operations[", operation, "]: ") : "";
    if (asked.compares && (absl::EndsWith(what, "index is stale") || absl::EndsWith(what, "doesn't exist"))) {
      return MakeError(StatusCode::kAborted, reason::kCasMismatch,
                       absl::StrCat(which, "the entry is not what the write expects; read it again"));
    }
    if (absl::StartsWith(what, "Permission denied")) return PermissionDenied(which);
  }
  return WithRetryAfter(MakeError(StatusCode::kUnavailable, reason::kConsulUnavailable,
                                  absl::StrCat("Consul refused the write and changed nothing",
                                               errors.empty() ? "" : Quote(errors.front().what))),
                        kRetryAfter);
}

// Refusals that Consul gives under various codes, by version: its text tells. It quotes what callers chose - a key, a
// filter, an id - after words of its own, so the words that come first decide.
absl::Status FromText(const Asked& asked, const Response& response) {
  const absl::string_view body = response.body;
  if (asked.endpoint == Endpoint::kAgentCheck && absl::StartsWith(body, "CheckID ") &&
      absl::StrContains(body, "does not have associated TTL")) {
    // The exception: it begins with the id.
    return NoTtlCheck();
  }
  size_t first = absl::string_view::npos;
  absl::Status status;
  const auto says = [&](std::initializer_list<absl::string_view> texts, const absl::Status& meaning) {
    for (const absl::string_view text : texts) {
      const size_t position = body.find(text);
      if (position >= first) continue;
      first = position;
      status = meaning;
    }
  };
  says({"ACL not found"}, MakeError(StatusCode::kUnauthenticated, reason::kTokenUnknown,
                                    "Consul does not know the token: it is wrong, or was deleted"));
  says({"Permission denied"}, PermissionDenied());
  says({"No path to datacenter", "unknown datacenter"},
       MakeError(StatusCode::kNotFound, reason::kDatacenterNotFound, "Consul knows no such datacenter"));
  says({"Failed to create boolean expression evaluator", "Failed to create filter", "Selector path",
        "Error evaluating filter"},
       MakeError(StatusCode::kInvalidArgument, reason::kInvalidFilter,
                 absl::StrCat("the filter is not valid", Quote(body))));
  if (asked.endpoint == Endpoint::kAgentCheck) {
    says({"does not have associated TTL", "Unknown check", "unknown check"}, NoTtlCheck());
  }
  if (asked.endpoint == Endpoint::kAgentService) {
    says({"Unknown service", "unknown service"},
         MakeError(StatusCode::kNotFound, reason::kInstanceNotFound,
                   "no such instance is registered with this agent; register it again"));
  }
  return status;
}

}  // namespace

absl::Status StatusOf(const Asked& asked, const Response& response) {
  if (response.end != End::kAnswered) return Unanswered(asked, response);
  const int code = response.code;
  if (code == 200) return Accepted(asked, response);
  if (code == 404 && asked.endpoint == Endpoint::kKv && !asked.write && !response.headers.consul_index.empty()) {
    return absl::OkStatus();
  }
  if (code >= 400 && code < 600) {
    if (code == 409 && asked.endpoint == Endpoint::kTxn) return RolledBack(asked, response);
    if (absl::Status known = FromText(asked, response); !known.ok()) return known;
  }
  const std::string what = absl::StrCat("HTTP ", code, Quote(response.body));
  switch (code) {
    case 400:
      return MakeError(StatusCode::kInvalidArgument, reason::kInvalidRequest,
                       absl::StrCat("Consul refused the request", Quote(response.body)));
    case 401:
      return MakeError(StatusCode::kUnauthenticated, reason::kTokenUnknown, "Consul asks for a token");
    case 403:
      return MakeError(StatusCode::kPermissionDenied, reason::kPermissionDenied,
                       absl::StrCat("Consul forbids this", Quote(response.body)));
    case 413:
      if (asked.endpoint == Endpoint::kTxn) {
        return MakeError(StatusCode::kInvalidArgument, reason::kValueTooLarge,
                         "this Consul does not take as much at once (limits.txn_max_req_len)");
      }
      return MakeError(StatusCode::kInvalidArgument, reason::kValueTooLarge, "the value is larger than Consul accepts");
    case 429:
      return Overloaded(Quote(response.body));
    default:
      break;
  }
  if (code >= 500 && code < 600) return Unavailable(asked, /*begun=*/true, what);
  return NotConsul(asked, response, what);
}

}  // namespace meshgate::consul::http
