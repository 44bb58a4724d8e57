#include "consul/http/relay_request.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace meshgate::consul::http {
namespace {

RelayRequest To(const std::string& target) {
  RelayRequest request;
  request.method = "GET";
  request.target = target;
  return request;
}

// One connection's settings would be taken for the other's, a body's length told twice, and a caller's own credentials
// sent past the token that was checked.
TEST(RelayRequestTest, HeadersThatAreNotPassedOn) {
  RelayRequest request = To("/v1/kv/a");
  request.headers = {{"X-First", " 1 "},
                     {"connection", "close, X-Named"},
                     {"Keep-Alive", "timeout=5"},
                     {"Transfer-Encoding", "chunked"},
                     {"TE", "trailers"},
                     {"Trailer", "X-Sum"},
                     {"Upgrade", "h2c"},
                     {"Proxy-Authorization", "Basic eA=="},
                     {"proxy-connection", "keep-alive"},
                     {"x-named", "by Connection"},
                     {"Host", "consul"},
                     {"content-length", "7"},
                     {"Expect", "100-continue"},
                     {"Accept-Encoding", "gzip"},
                     {"x-consul-token", "secret"},
                     {"AUTHORIZATION", "Bearer secret"},
                     {"x-first", "2"},
                     {"X-Empty", ""}};
  const auto sent = ToRequest(request);
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_EQ(sent->headers, (HeaderList{{"X-First", "1"}, {"x-first", "2"}, {"X-Empty", ""}}));
  EXPECT_EQ(PassedOn({{"Connection", "keep-alive"}, {"Date", "today"}, {"Transfer-Encoding", "chunked"}}),
            (HeaderList{{"Date", "today"}}));
}

// A caller could send Consul requests of its own making, with the gateway's token.
TEST(RelayRequestTest, NothingBeginsARequestOfItsOwn) {
  std::vector<RelayRequest> requests;
  for (const std::string& bad : {std::string("a\rb"), std::string("a\nb"), std::string("a\0b", 3)}) {
    for (int where = 0; where < 4; ++where) {
      RelayRequest request = To("/v1/kv/a");
      if (where == 0) request.headers = {{bad, "value"}};
      if (where == 1) request.headers = {{"X-Name", bad}};
      if (where == 2) request.target += bad;
      if (where == 3) request.token = bad;
      requests.push_back(request);
    }
  }
  // Also where it would be dropped.
  requests.push_back(To("/v1/kv/a"));
  requests.back().headers = {{"Host", "a\r\nX-Consul-Token: b"}};
  for (const char* name : {"", "X Name", "X-Name:", "X-Name;"}) {
    requests.push_back(To("/v1/kv/a"));
    requests.back().headers = {{name, "value"}};
  }
  for (const char* target : {"", "/v1", "/ui/", "http://127.0.0.1/v1/kv/a", "/v1/kv/a b", "/v1/kv/\x7f"}) {
    requests.push_back(To(target));
  }
  for (const char* method : {"", "get", "HEAD", "PATCH", "GET /v1/kv/b HTTP/1.1\r\n\r\nGET"}) {
    requests.push_back(To("/v1/kv/a"));
    requests.back().method = method;
  }
  for (const RelayRequest& request : requests) {
    EXPECT_EQ(ToRequest(request).status().code(), absl::StatusCode::kInvalidArgument)
        << request.method << " " << request.target;
  }
  RelayRequest odd = To("/v1/kv/\xc3\xbc/../%2F?x=[]{}|\"<>^`#");
  odd.headers = {{"X!#$%&'*+.^_`|~9", "\xc3\xbc \t\"(),/:;<=>?@[\\]{}"}};
  EXPECT_TRUE(ToRequest(odd).ok());
}

// While there is no leader, what an agent still answers would be refused, or what it can't would be sent.
TEST(RelayRequestTest, WhatNeedsALeader) {
  for (const char* target : {"/v1/agent/self", "/v1/agent/service/register", "/v1/status/leader", "/v1/kv/a?stale",
                             "/v1/kv/a?dc=x&stale=", "/v1/catalog/nodes?stale=1&near=_agent"}) {
    EXPECT_FALSE(ToRequest(To(target))->needs_leader) << target;
  }
  for (const char* target : {"/v1/kv/a", "/v1/kv/stale", "/v1/kv/a?key=stale", "/v1/kv/a?stales", "/v1/txn",
                             "/v1/session/list", "/v1/catalog/nodes?near=agent"}) {
    EXPECT_TRUE(ToRequest(To(target))->needs_leader) << target;
  }
}

// Metrics would count one family's requests as another's.
TEST(RelayRequestTest, Families) {
  for (const auto& [target, family] :
       std::vector<std::pair<const char*, const char*>>{{"/v1/kv/a", "kv"},
                                                        {"/v1/kv/?recurse", "kv"},
                                                        {"/v1/txn", "txn"},
                                                        {"/v1/health/service/web?passing", "health_service"},
                                                        {"/v1/health/state/any", "health"},
                                                        {"/v1/health/node/n", "health"},
                                                        {"/v1/catalog/services", "catalog"},
                                                        {"/v1/agent/service/register", "agent_service"},
                                                        {"/v1/agent/services", "agent_service"},
                                                        {"/v1/agent/check/pass/a", "agent_check"},
                                                        {"/v1/agent/checks", "agent_check"},
                                                        {"/v1/agent/self", "agent"},
                                                        {"/v1/agent/monitor", "agent"},
                                                        {"/v1/session/create", "session"},
                                                        {"/v1/status/peers", "status"},
                                                        {"/v1/internal/acl/authorize", "authorize"},
                                                        {"/v1/acl/tokens", "acl"},
                                                        {"/v1/event/list", "other"},
                                                        {"/v1/operator/raft/configuration?x=/v1/kv/", "other"},
                                                        {"/v1/", "other"}}) {
    EXPECT_EQ(ToString(EndpointOf(target)), family) << target;
  }
}

}  // namespace
}  // namespace meshgate::consul::http
