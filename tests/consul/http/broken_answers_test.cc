// Answers that no agent gives whole: none of them may read as a deletion.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/thread_pool_scheduler.h"
#include "consul/http/consul_backend.h"
#include "tests/testing/pending.h"
#include "tests/testing/scripted_agent.h"

namespace meshgate::consul::http {
namespace {

using testing::Pending;
using testing::ScriptedAgent;
using Reply = ScriptedAgent::Reply;
using Then = Reply::Then;

constexpr absl::Duration kBound = absl::Seconds(30);
constexpr char kHead[] = "HTTP/1.1 200 OK\r\nX-Consul-Index: 9\r\n";

struct Case {
  const char* what;
  Reply reply;
  absl::StatusCode want;
};

std::vector<Case> Cases() {
  const auto unavailable = absl::StatusCode::kUnavailable;
  const auto internal = absl::StatusCode::kInternal;
  const std::string head = kHead;
  return {
      {"cut in mid-body", {head + "Content-Length: 50\r\n\r\n[", Then::kClose}, unavailable},
      {"reset in mid-body", {head + "Content-Length: 50\r\n\r\n[]", Then::kReset}, unavailable},
      {"cut within the headers", {head, Then::kClose}, unavailable},
      {"a missing key, cut within the headers",
       {"HTTP/1.1 404 Not Found\r\nX-Consul-Index: 9\r\n", Then::kClose},
       unavailable},
      {"a chunk that is cut", {head + "Transfer-Encoding: chunked\r\n\r\n5\r\n[", Then::kClose}, unavailable},
      {"no last chunk", {head + "Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n", Then::kClose}, unavailable},
      {"a chunk size that is none",
       {head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n", Then::kClose},
       unavailable},
      {"no length, closed in the middle of a list", {head + "\r\n[{\"Key\":\"a\"", Then::kClose}, internal},
      {"HTML", {ScriptedAgent::Http(200, "<html>down for maintenance</html>", "X-Consul-Index: 9\r\n")}, internal},
      {"an empty body", {ScriptedAgent::Http(200, "", "X-Consul-Index: 9\r\n")}, internal},
      {"null", {ScriptedAgent::Http(200, "null", "X-Consul-Index: 9\r\n")}, internal},
      {"another shape", {ScriptedAgent::Http(200, "{}", "X-Consul-Index: 9\r\n")}, internal},
      {"an empty list for a key", {ScriptedAgent::Http(200, "[]", "X-Consul-Index: 9\r\n")}, internal},
      {"a 404 that is a proxy's", {ScriptedAgent::Http(404, "<html>no such page</html>")}, internal},
      {"a proxy whose Consul is away", {ScriptedAgent::Http(502, "<html>bad gateway</html>")}, unavailable},
      {"a compression that was not asked for",
       {ScriptedAgent::Http(200, "\x1f\x8b garbage", "X-Consul-Index: 9\r\nContent-Encoding: gzip\r\n")},
       internal},
      {"not HTTP", {"+PONG\r\n", Then::kClose}, internal},
  };
}

// Readers would lose what they hold, or be given something that is not from Consul, by an agent that dies in the middle
// of its answer or something that is no agent.
TEST(BrokenAnswersTest, AreErrorsAndNeverEmpty) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c.what);
    ScriptedAgent agent([&c](const std::string& request) {
      return request == "GET /v1/status/leader" ? ScriptedAgent::Leader() : c.reply;
    });
    ThreadPoolScheduler scheduler(1, "broken");
    BackendReporter reporter;
    ConsulBackendOptions options;
    options.address = agent.url();
    auto backend = ConsulBackend::Create(options, &scheduler, &reporter);
    ASSERT_TRUE(backend.ok());
    for (const uint64_t index : {0, 8}) {
      Pending<absl::StatusOr<Answer<std::vector<KvEntry>>>> pending;
      ReadOptions read;
      read.index = index;
      (*backend)->ReadKey("a", read, pending.Callback());
      const auto answer = pending.Get(kBound);
      ASSERT_TRUE(answer.has_value());
      EXPECT_EQ(answer->status().code(), c.want) << answer->status();
    }
    // A write's outcome is open.
    Pending<absl::Status> written;
    (*backend)->DeleteKey("a", std::nullopt, {}, written.Callback());
    const auto status = written.Get(kBound);
    ASSERT_TRUE(status.has_value());
    EXPECT_FALSE(status->ok());
  }
}

}  // namespace
}  // namespace meshgate::consul::http
