#include "consul/http/calls.h"

#include <gtest/gtest.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "tests/testing/pending.h"
#include "tests/testing/tiny_http_server.h"

namespace meshgate::consul::http {
namespace {

// The thread that began a call's first request may be overtaken by its second one: Cancel() would then go to the first,
// which is over, and the call would run on.
TEST(ActiveCallTest, CancelReachesTheLatestStep) {
  testing::TinyHttpServer server([](testing::TinyHttpServer::Connection& connection) {
    while (connection.ReadRequest().rfind("GET /first", 0) == 0) {
      connection.Write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    connection.AwaitClose();
  });
  CurlLoopOptions options;
  options.base_url = absl::StrCat("http://127.0.0.1:", server.port());
  auto loop = std::make_shared<CurlLoop>(options);
  ActiveCall call(loop, absl::InfiniteFuture());
  Request request;
  request.timeout = absl::Seconds(30);
  const int first_step = call.NextStep();
  request.target = "/first";
  testing::Pending<Response> first;
  CurlLoop::TransferHandle ended = loop->Start(request, first.Callback());
  ASSERT_EQ(first.Get(absl::Seconds(30))->code, 200);
  const int second_step = call.NextStep();
  request.target = "/second";
  testing::Pending<Response> second;
  call.Attach(second_step, loop->Start(request, second.Callback()));
  call.Attach(first_step, ended);
  call.Cancel();
  EXPECT_EQ(second.Get(absl::Seconds(30))->end, Response::End::kCancelled);
}

}  // namespace
}  // namespace meshgate::consul::http
