#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <string>

#include "server/http/cors.h"
#include "server/http/gzip.h"
#include "server/http/host.h"
#include "server/http/router.h"

namespace meshgate::server {
namespace {

using ::testing::Contains;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

using Headers = std::vector<std::pair<std::string, std::string>>;

class FiltersTest : public ::testing::Test {
 protected:
  FiltersTest() {
    for (const char* path : {"/api/v1/x", "/metrics"}) {
      router_.Add("GET", path, [this](const HttpRequest&, HttpReply reply) {
        ++handled_;
        HttpResponse response;
        response.body = body_;
        response.streamed = streamed_;
        reply(std::move(response));
      });
    }
  }
  HttpResponse Ask(const std::string& method, const std::string& path, const Headers& headers) {
    HttpRequest request;
    request.method = method;
    request.path = path;
    request.headers = headers;
    HttpResponse out;
    out.status = 0;
    router_.Handle(request, [&out](HttpResponse response) { out = std::move(response); });
    return out;
  }

  Router router_;
  std::string body_ = "x";
  bool streamed_ = false;
  int handled_ = 0;
};

// Would break if a page of any origin could read what a browser on this network can reach, or an allowed one could not.
TEST_F(FiltersTest, Cors) {
  router_.AddFilter(CorsFilter({"https://ui.example.com", "http://localhost:3000"}));
  const HttpResponse allowed = Ask("GET", "/api/v1/x", {{"origin", "http://localhost:3000"}});
  EXPECT_EQ(allowed.status, 200);
  EXPECT_THAT(allowed.headers, Contains(Pair("Access-Control-Allow-Origin", "http://localhost:3000")));
  EXPECT_THAT(allowed.headers, Contains(Pair("Vary", "Origin")));
  EXPECT_THAT(allowed.headers, Contains(Key("Access-Control-Expose-Headers")));
  EXPECT_THAT(allowed.headers, Not(Contains(Key("Access-Control-Allow-Credentials"))));
  for (const char* origin : {"https://evil.example.com", "http://ui.example.com", "https://ui.example.com:444",
                             "https://ui.example.com.evil", "null", "*", ""}) {
    const HttpResponse other = Ask("GET", "/api/v1/x", {{"origin", origin}});
    EXPECT_THAT(other.headers, Not(Contains(Key("Access-Control-Allow-Origin")))) << origin;
    EXPECT_THAT(other.headers, Contains(Pair("Vary", "Origin"))) << origin;
    const HttpResponse preflight =
        Ask("OPTIONS", "/api/v1/x", {{"origin", origin}, {"access-control-request-method", "PUT"}});
    EXPECT_EQ(preflight.status, 405) << origin;
    EXPECT_THAT(preflight.headers, Not(Contains(Key("Access-Control-Allow-Origin")))) << origin;
  }
  // Nobody needs what operators' tools read from a page.
  EXPECT_THAT(Ask("GET", "/metrics", {{"origin", "https://ui.example.com"}}).headers,
              Not(Contains(Key("Access-Control-Allow-Origin"))));
}

// Would break if a browser did not let an allowed page make a conditional write, or a preflight did something.
TEST_F(FiltersTest, Preflight) {
  router_.AddFilter(CorsFilter({"https://ui.example.com"}));
  const HttpResponse response =
      Ask("OPTIONS", "/api/v1/x", {{"origin", "https://ui.example.com"}, {"access-control-request-method", "PUT"}});
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.body, "");
  EXPECT_THAT(response.headers, Contains(Pair("Access-Control-Allow-Origin", "https://ui.example.com")));
  EXPECT_THAT(response.headers, Contains(Pair("Access-Control-Allow-Methods", ::testing::HasSubstr("PUT"))));
  EXPECT_THAT(response.headers, Contains(Pair("Access-Control-Allow-Headers", ::testing::HasSubstr("If-Match"))));
  EXPECT_EQ(handled_, 0);
  // OPTIONS by itself is no preflight.
  EXPECT_EQ(Ask("OPTIONS", "/api/v1/x", {{"origin", "https://ui.example.com"}}).status, 405);
}

std::string Unpacked(const std::string& packed, size_t size) {
  std::string out(size, '\0');
  z_stream stream = {};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  inflateEnd(&stream);
  return out;
}

// Would break if a client got what it cannot read, or something else than was answered.
TEST_F(FiltersTest, Gzip) {
  router_.AddFilter(GzipFilter());
  for (int i = 0; i < 5000; ++i) body_ += std::to_string(i);
  const HttpResponse packed = Ask("GET", "/api/v1/x", {{"accept-encoding", "br, gzip;q=0.5"}});
  EXPECT_THAT(packed.headers, Contains(Pair("Content-Encoding", "gzip")));
  EXPECT_THAT(packed.headers, Contains(Pair("Vary", "Accept-Encoding")));
  EXPECT_LT(packed.body.size(), body_.size());
  EXPECT_EQ(Unpacked(packed.body, body_.size()), body_);
  const HttpResponse plain = Ask("GET", "/api/v1/x", {});
  EXPECT_EQ(plain.body, body_);
  EXPECT_THAT(plain.headers, Not(Contains(Key("Content-Encoding"))));
  EXPECT_THAT(plain.headers, Contains(Pair("Vary", "Accept-Encoding")));
  streamed_ = true;
  EXPECT_EQ(Ask("GET", "/api/v1/x", {{"accept-encoding", "gzip"}}).body, body_);
  streamed_ = false;
  body_ = "small";
  EXPECT_EQ(Ask("GET", "/api/v1/x", {{"accept-encoding", "gzip"}}).body, "small");
  // What does not get smaller goes as it is.
  body_.clear();
  uint32_t random = 1;
  for (int i = 0; i < 8192; ++i) body_ += static_cast<char>((random = random * 1664525 + 1013904223) >> 24);
  EXPECT_EQ(Ask("GET", "/api/v1/x", {{"accept-encoding", "gzip"}}).body, body_);
}

// Would break if a client that has refused gzip got it.
TEST(GzipTest, AcceptEncoding) {
  for (const char* accepts : {"gzip", "GZIP", "deflate, gzip", "gzip;q=1.0", "gzip; q=0.1", "*", "br;q=1, *;q=0.1"}) {
    EXPECT_TRUE(AcceptsGzip(accepts)) << accepts;
  }
  for (const char* refuses :
       {"", "identity", "br", "gzip;q=0", "gzip;q=0.0", "gzip;q=x", "*;q=0", "*, gzip;q=0", "xgzip"}) {
    EXPECT_FALSE(AcceptsGzip(refuses)) << refuses;
  }
}

// Would break if a page in a browser, the name of which leads to the loopback, could read and write; or if this host's
// own programs could not.
TEST(HostFilterTest, TakesAddressesAndLocalhostAlone) {
  for (const char* host : {"127.0.0.1", "127.0.0.1:8080", "LocalHost:8080", "a.localhost", "[::1]:8080", "[::1]"}) {
    EXPECT_TRUE(IsOwnHost(host)) << host;
  }
  for (const char* host : {"", "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example",
                           "[::1", "[evil]", "evillocalhost", "127.0.0.1 evil"}) {
    EXPECT_FALSE(IsOwnHost(host)) << host;
  }
  const HttpFilter filter = LoopbackHostFilter();
  HttpRequest request;
  request.path = "/api/v1/config/a";
  request.headers = {{"host", "evil.example"}};
  HttpResponse answer;
  const auto take = [&answer](HttpResponse response) { answer = std::move(response); };
  EXPECT_TRUE(filter(request, take) == nullptr);
  EXPECT_EQ(answer.status, 403);
  EXPECT_NE(answer.body.find("HOST_NOT_ALLOWED"), std::string::npos);
  request.path = "/metrics";
  EXPECT_FALSE(filter(request, take) == nullptr) << "says nothing that is secret";
}

}  // namespace
}  // namespace meshgate::server
