// What the tests of the loop share: requests, and a server that answers what a test wants.
#ifndef MESHGATE_TESTS_CONSUL_HTTP_CURL_LOOP_FIXTURE_H_
#define MESHGATE_TESTS_CONSUL_HTTP_CURL_LOOP_FIXTURE_H_

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "consul/http/curl_loop.h"
#include "tests/testing/pending.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::consul::http {

using testing::Pending;
using testing::TinyHttpServer;
using Connection = testing::TinyHttpServer::Connection;
using End = Response::End;

inline constexpr absl::Duration kBound = absl::Seconds(30);

inline CurlLoopOptions OptionsFor(const TinyHttpServer& server) {
  CurlLoopOptions options;
  options.base_url = absl::StrCat("http://127.0.0.1:", server.port());
  return options;
}

inline Request Get(const std::string& target, absl::Duration timeout = kBound) {
  Request request;
  request.target = target;
  request.timeout = timeout;
  return request;
}

inline Request Put(const std::string& target, const std::string& body) {
  Request request = Get(target);
  request.method = Method::kPut;
  request.body = body;
  return request;
}

inline Response Fetch(CurlLoop& loop, Request request) {
  Pending<Response> pending;
  loop.Start(std::move(request), pending.Callback());
  std::optional<Response> response = pending.Get(kBound);
  EXPECT_TRUE(response.has_value()) << "no answer";
  return response.value_or(Response{});
}

// A server whose every connection answers each request with the same bytes.
inline TinyHttpServer::Script Always(const std::string& bytes) {
  return [bytes](Connection& connection) {
    while (!connection.ReadRequest().empty()) {
      if (!connection.Write(bytes)) return;
    }
  };
}

inline std::string Ok(const std::string& body) {
  return absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
}

}  // namespace meshgate::consul::http

#endif  // MESHGATE_TESTS_CONSUL_HTTP_CURL_LOOP_FIXTURE_H_
