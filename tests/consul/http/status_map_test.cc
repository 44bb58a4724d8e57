#include "consul/http/status_map.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"

namespace meshgate::consul::http {
namespace {

constexpr Asked kRead{Endpoint::kKv, false};
constexpr Asked kWrite{Endpoint::kKv, true};
constexpr Asked kTxn{Endpoint::kTxn, true};
constexpr Asked kService{Endpoint::kHealthService, false};
constexpr Asked kRegister{Endpoint::kAgentService, true};
constexpr Asked kCasTxn{Endpoint::kTxn, true, true};
constexpr Asked kCheck{Endpoint::kAgentCheck, true};

std::string Outcome(const absl::Status& status) {
  if (status.ok()) return "OK";
  return absl::StrCat(absl::StatusCodeToString(status.code()), " ", ReasonOf(status));
}

Response Answered(int code, const std::string& body, const std::string& index = "") {
  Response response;
  response.end = Response::End::kAnswered;
  response.code = code;
  response.body = body;
  response.headers.consul_index = index;
  response.sent = true;
  response.received = true;
  return response;
}

Response Ended(Response::End end, bool sent) {
  Response response;
  response.end = end;
  response.sent = sent;
  response.error = "something went wrong";
  return response;
}

// A transaction's 409.
Response RolledBack(const std::string& what) {
  return Answered(409, absl::StrCat(R"({"Results":null,"Errors":[{"OpIndex":0,"What":")", what, R"("}]})"));
}

// Keys, filters and ids are chosen by callers and come back in Consul's errors: one that reads like another error would
// turn a lost race into a lost permission, or the other way round.
TEST(StatusMapTest, CallersCannotSteerTheMapping) {
  const struct {
    Asked asked;
    Response response;
    std::string want;
  } cases[] = {
      {kCasTxn, RolledBack("failed to set key \\\"Permission denied/x\\\", index is stale"), "ABORTED CAS_MISMATCH"},
      {kTxn, RolledBack("failed to set key \\\"is stale\\\": no space"), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kCasTxn, RolledBack("Permission denied: token lacks permission 'key:write' on \\\"index is stale/x\\\""),
       "PERMISSION_DENIED PERMISSION_DENIED"},
      {kTxn, RolledBack("something new"), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kTxn, RolledBack("failed to set key \\\"a\\\", index is stale"), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kCasTxn, Answered(409, "<html>"), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kRead, Answered(403, "Permission denied: token lacks permission 'key:read' on \"ACL not found\""),
       "PERMISSION_DENIED PERMISSION_DENIED"},
      {kService, Answered(500, "Failed to create boolean expression evaluator: \"Permission denied\""),
       "INVALID_ARGUMENT INVALID_FILTER"},
      {kCheck, Answered(500, "CheckID \"service:Permission denied:ttl\" does not have associated TTL"),
       "FAILED_PRECONDITION NO_TTL_CHECK"},
      {kRegister, Answered(404, "Unknown service ID \"ACL not found\". Ensure that"), "NOT_FOUND INSTANCE_NOT_FOUND"},
  };
  for (const auto& c : cases) EXPECT_EQ(Outcome(StatusOf(c.asked, c.response)), c.want) << c.response.body;
}

// Callers branch on code and reason: each answer of Consul, by its text where the code does not tell, has one.
TEST(StatusMapTest, Answers) {
  const struct {
    Asked asked;
    Response response;
    std::string want;
  } cases[] = {
      {kRead, Answered(200, "[]", "5"), "OK"},
      {kRead, Answered(200, "[]"), "OK"},
      {kRead, Answered(404, "", "5"), "OK"},
      {kRead, Answered(404, ""), "INTERNAL UNEXPECTED_ANSWER"},
      {kRead, Answered(404, "<html>"), "INTERNAL UNEXPECTED_ANSWER"},
      {kService, Answered(404, "", "5"), "INTERNAL UNEXPECTED_ANSWER"},
      {kWrite, Answered(200, "true"), "OK"},
      {kWrite, Answered(200, "true\n"), "OK"},
      {kWrite, Answered(200, "false\n"), "ABORTED CAS_MISMATCH"},
      {kWrite, Answered(200, "<html>"), "INTERNAL WRITE_OUTCOME_UNKNOWN"},
      {kWrite, Answered(200, ""), "INTERNAL WRITE_OUTCOME_UNKNOWN"},
      {kWrite, Answered(404, "", "5"), "INTERNAL WRITE_OUTCOME_UNKNOWN"},
      {kRead, Answered(301, ""), "INTERNAL UNEXPECTED_ANSWER"},
      {kWrite, Answered(301, ""), "INTERNAL WRITE_OUTCOME_UNKNOWN"},
      {kRead, Answered(204, ""), "INTERNAL UNEXPECTED_ANSWER"},
      {kRead, Answered(403, "ACL not found"), "UNAUTHENTICATED TOKEN_UNKNOWN"},
      {kRead, Answered(403, "rpc error making call: ACL not found"), "UNAUTHENTICATED TOKEN_UNKNOWN"},
      {kRead, Answered(403, "Permission denied"), "PERMISSION_DENIED PERMISSION_DENIED"},
      {kRead, Answered(500, "rpc error making call: Permission denied"), "PERMISSION_DENIED PERMISSION_DENIED"},
      {kWrite, Answered(403, "Endpoint is blocked by agent configuration"), "PERMISSION_DENIED PERMISSION_DENIED"},
      {kRead, Answered(401, ""), "UNAUTHENTICATED TOKEN_UNKNOWN"},
      {kRead, Answered(500, "No path to datacenter"), "NOT_FOUND DATACENTER_NOT_FOUND"},
      {kTxn, Answered(500, "No path to datacenter"), "NOT_FOUND DATACENTER_NOT_FOUND"},
      {kService, Answered(500, "Failed to create boolean expression evaluator: 1:9", "1"),
       "INVALID_ARGUMENT INVALID_FILTER"},
      {kService, Answered(400, "Failed to create boolean expression evaluator: 1:9"),
       "INVALID_ARGUMENT INVALID_FILTER"},
      {kRead, Answered(400, "Invalid wait time"), "INVALID_ARGUMENT INVALID_REQUEST"},
      {kRegister, Answered(400, "Invalid check: TTL must be > 0"), "INVALID_ARGUMENT INVALID_REQUEST"},
      {kWrite, Answered(413, "Request body too large"), "INVALID_ARGUMENT VALUE_TOO_LARGE"},
      {kTxn, Answered(413, "Request body too large"), "INVALID_ARGUMENT VALUE_TOO_LARGE"},
      {kRead, Answered(429, "Too many requests"), "RESOURCE_EXHAUSTED CONSUL_OVERLOADED"},
      {kWrite, Answered(429, ""), "RESOURCE_EXHAUSTED CONSUL_OVERLOADED"},
      {kRead, Answered(500, "No cluster leader"), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kRead, Answered(500, "rpc error making call: EOF"), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kRead, Answered(503, "<html>"), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kWrite, Answered(500, "No cluster leader"), "UNAVAILABLE WRITE_OUTCOME_UNKNOWN"},
      {kWrite, Answered(500, "leadership lost while committing log"), "UNAVAILABLE WRITE_OUTCOME_UNKNOWN"},
      {kCasTxn, RolledBack("failed to set key \\\"a\\\", index is stale"), "ABORTED CAS_MISMATCH"},
      {kTxn, RolledBack("Permission denied"), "PERMISSION_DENIED PERMISSION_DENIED"},
      {kCasTxn, RolledBack("Permission denied: token lacks permission 'key:write' on \\\"a\\\""),
       "PERMISSION_DENIED PERMISSION_DENIED"},
      {kRegister, Answered(500, "Unknown service \"x\""), "NOT_FOUND INSTANCE_NOT_FOUND"},
      {{Endpoint::kAgentService, false}, Answered(404, "unknown service ID: x"), "NOT_FOUND INSTANCE_NOT_FOUND"},
      {kCheck, Answered(500, "CheckID \"x\" does not have associated TTL"), "FAILED_PRECONDITION NO_TTL_CHECK"},
      {kCheck, Answered(404, "Unknown check ID \"x\". Ensure that the check ID is passed"),
       "FAILED_PRECONDITION NO_TTL_CHECK"},
      {kRead, Answered(500, "CheckID \"x\" does not have associated TTL"), "UNAVAILABLE CONSUL_UNAVAILABLE"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Outcome(StatusOf(c.asked, c.response)), c.want)
        << "HTTP " << c.response.code << " " << c.response.body << (c.asked.write ? " for a write" : " for a read");
  }
}

// Whoever made a commit of many operations would have to guess which of them lost its race.
TEST(StatusMapTest, ACommitNamesItsOperation) {
  Asked commit = kCasTxn;
  commit.commit = true;
  const auto answer = [](const std::string& first, const std::string& second) {
    return Answered(409, absl::StrCat(R"({"Errors":[{"OpIndex":3,"What":")", first, R"("},{"OpIndex":7,"What":")",
                                      second, R"("}]})"));
  };
  const std::string stale = "failed to set key \\\"a\\\", index is stale";
  EXPECT_TRUE(absl::StartsWith(StatusOf(commit, answer(stale, stale)).message(), "operations[3]: "));
  EXPECT_TRUE(absl::StartsWith(StatusOf(commit, answer("Permission denied", stale)).message(), "operations[3]: "));
  EXPECT_EQ(Outcome(StatusOf(commit, answer("Permission denied", stale))), "PERMISSION_DENIED PERMISSION_DENIED");
  EXPECT_TRUE(absl::StartsWith(StatusOf(commit, answer("something new", stale)).message(), "operations[7]: "));
  EXPECT_FALSE(absl::StrContains(StatusOf(kCasTxn, answer(stale, stale)).message(), "operations["));
}

// A failed call must say whether it is worth trying again, and a write whether it may have been applied.
TEST(StatusMapTest, NoAnswer) {
  using End = Response::End;
  const struct {
    Asked asked;
    Response response;
    std::string want;
  } cases[] = {
      {kRead, Ended(End::kCancelled, true), "CANCELLED CANCELLED"},
      {kWrite, Ended(End::kCancelled, true), "CANCELLED WRITE_OUTCOME_UNKNOWN"},
      {kRead, Ended(End::kTimedOut, true), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED"},
      {kRead, Ended(End::kTimedOut, false), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED"},
      {kWrite, Ended(End::kTimedOut, true), "DEADLINE_EXCEEDED WRITE_OUTCOME_UNKNOWN"},
      {kRead, Ended(End::kTooLarge, true), "INTERNAL UNEXPECTED_ANSWER"},
      {kRead, Ended(End::kNotHttp, true), "INTERNAL UNEXPECTED_ANSWER"},
      {kRead, Ended(End::kBroken, false), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kWrite, Ended(End::kBroken, false), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kWrite, Ended(End::kBroken, true), "UNAVAILABLE WRITE_OUTCOME_UNKNOWN"},
      {kRead, Ended(End::kLocalFailure, false), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kRead, Ended(End::kRefused, false), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kWrite, Ended(End::kRefused, false), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kRead, Ended(End::kAbandoned, true), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kWrite, Ended(End::kAbandoned, false), "UNAVAILABLE CONSUL_UNAVAILABLE"},
      {kWrite, Ended(End::kAbandoned, true), "UNAVAILABLE WRITE_OUTCOME_UNKNOWN"},
  };
  for (const auto& c : cases)
    EXPECT_EQ(Outcome(StatusOf(c.asked, c.response)), c.want) << static_cast<int>(c.response.end);
}

// A caller that is not told so would repeat a write that was applied.
TEST(StatusMapTest, SentWritesSayThatTheyMayHaveBeenApplied) {
  for (const Response& response : {Ended(Response::End::kTimedOut, true), Ended(Response::End::kBroken, true),
                                   Ended(Response::End::kCancelled, true), Ended(Response::End::kNotHttp, true),
                                   Answered(500, "leadership lost"), Answered(200, "<html>")}) {
    EXPECT_TRUE(absl::StrContains(StatusOf(kWrite, response).message(), "may have been applied"))
        << StatusOf(kWrite, response);
    EXPECT_EQ(ReasonOf(StatusOf(kWrite, response)), reason::kWriteOutcomeUnknown);
    EXPECT_FALSE(absl::StrContains(StatusOf(kRead, response).message(), "may have been applied"));
  }
  for (const Response& response : {Ended(Response::End::kTimedOut, false), Ended(Response::End::kBroken, false)}) {
    EXPECT_FALSE(absl::StrContains(StatusOf(kWrite, response).message(), "may have been applied"));
  }
}

// At Consul's limit a new connection is closed at once, and clients must slow down; a query that had waited was cut by
// something else, and so may a write have been.
TEST(StatusMapTest, TheLimitOfConnectionsIsTold) {
  Response cut = Ended(Response::End::kBroken, true);
  cut.closed_unanswered = true;
  cut.fresh_connection = true;
  cut.waited = absl::Milliseconds(3);
  EXPECT_EQ(Outcome(StatusOf(kRead, cut)), "RESOURCE_EXHAUSTED CONSUL_OVERLOADED");
  EXPECT_EQ(Outcome(StatusOf(kWrite, cut)), "UNAVAILABLE WRITE_OUTCOME_UNKNOWN");
  Response waited = cut;
  waited.waited = absl::Seconds(3);
  EXPECT_EQ(Outcome(StatusOf(kRead, waited)), "UNAVAILABLE CONSUL_UNAVAILABLE");
  Response reused = cut;
  reused.fresh_connection = false;
  EXPECT_EQ(Outcome(StatusOf(kRead, reused)), "UNAVAILABLE CONSUL_UNAVAILABLE");
  Response handshake = cut;
  handshake.sent = false;
  EXPECT_EQ(Outcome(StatusOf(kRead, handshake)), "RESOURCE_EXHAUSTED CONSUL_OVERLOADED");
  EXPECT_EQ(Outcome(StatusOf(kWrite, handshake)), "RESOURCE_EXHAUSTED CONSUL_OVERLOADED");
  Response said = cut;
  said.closed_unanswered = false;
  EXPECT_EQ(Outcome(StatusOf(kRead, said)), "UNAVAILABLE CONSUL_UNAVAILABLE");
}

// Callers without a hint retry at once, together.
TEST(StatusMapTest, TransientErrorsSayWhenToRetry) {
  for (const absl::Status& status :
       {StatusOf(kRead, Answered(500, "No cluster leader")), StatusOf(kWrite, Answered(500, "No cluster leader")),
        StatusOf(kRead, Answered(429, "")), StatusOf(kRead, Ended(Response::End::kBroken, false)),
        StatusOf(kRead, Ended(Response::End::kRefused, false)),
        StatusOf(kRead, Ended(Response::End::kAbandoned, true))}) {
    EXPECT_TRUE(RetryAfterOf(status).has_value()) << status;
  }
  EXPECT_FALSE(RetryAfterOf(StatusOf(kRead, Answered(403, "Permission denied"))).has_value());
}

// Text from the network ends up in logs and terminals.
TEST(StatusMapTest, QuotesAreTamed) {
  const absl::Status status =
      StatusOf(kRead, Answered(500, absl::StrCat("bad\x1b[31m\r\nthing", std::string(1000, 'x'))));
  EXPECT_LT(status.message().size(), 400u);
  for (const char c : status.message()) EXPECT_TRUE(c >= ' ' && c <= '~');
  EXPECT_FALSE(absl::StrContains(StatusOf(kRead, Answered(502, "<html>secret</html>")).message(), "secret"));
}

}  // namespace
}  // namespace meshgate::consul::http
