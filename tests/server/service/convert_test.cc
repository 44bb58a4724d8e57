#include "server/service/convert.h"

#include <limits>
#include <utility>

#include "gtest/gtest.h"
#include "server/service/validate_request.h"
#include "tests/server/service/handler_harness.h"

namespace meshgate::server {
namespace {

google::protobuf::Duration Proto(int64_t seconds, int32_t nanos) {
  google::protobuf::Duration duration;
  duration.set_seconds(seconds);
  duration.set_nanos(nanos);
  return duration;
}

// Durations must survive the way in and out to the nanosecond, up to the longest that the format has.
TEST(DurationTest, KeepsEveryNanosecond) {
  for (const auto& [seconds, nanos] : {std::pair<int64_t, int32_t>(0, 0), {0, 1}, {1, 999999999}, {315576000000, 0}}) {
    absl::StatusOr<absl::Duration> parsed = ParseDuration("d", Proto(seconds, nanos));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    google::protobuf::Duration back;
    ToApi(*parsed, &back);
    EXPECT_EQ(back.seconds(), seconds);
    EXPECT_EQ(back.nanos(), nanos);
  }
}

// Anything that is not a duration must be refused, or it would overflow further in.
TEST(DurationTest, RefusesNegativeAndMalformedOnes) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  for (const auto& [seconds, nanos] : {std::pair<int64_t, int32_t>(-1, 0),
                                       {0, -1},
                                       {-1, -1},
                                       {1, -1},
                                       {-1, 1},
                                       {0, 1000000000},
                                       {315576000001, 0},
                                       {kMax, 999999999},
                                       {kMin, -999999999},
                                       {0, std::numeric_limits<int32_t>::min()}}) {
    ExpectBadField(ParseDuration("d", Proto(seconds, nanos)).status(), "d");
  }
}

// Never, a second or more; and what a timer could not hold is brought down to what it can.
TEST(DurationTest, BoundsTheProgressInterval) {
  EXPECT_EQ(ParseProgressInterval("p", Proto(0, 0)).value(), absl::ZeroDuration());
  EXPECT_EQ(ParseProgressInterval("p", Proto(1, 0)).value(), absl::Seconds(1));
  EXPECT_EQ(ParseProgressInterval("p", Proto(315576000000, 0)).value(), absl::Hours(24));
  ExpectBadField(ParseProgressInterval("p", Proto(0, 999999999)).status(), "p");
}

// The last good length of each text, so that a bound can't shrink unnoticed.
TEST(TextTest, TakesAllThatIsAllowed) {
  EXPECT_TRUE(ValidateText("t", std::string(10, 'x'), 10).ok());
  EXPECT_FALSE(ValidateText("t", std::string(11, 'x'), 10).ok());
  EXPECT_TRUE(ValidateText("t", "caf\xc3\xa9 \xf0\x9f\x98\x80", 100).ok());
  EXPECT_TRUE(ValidateLines("t", "a ==\r\n\tb", 100).ok());
  EXPECT_FALSE(ValidateText("t", "a\tb", 100).ok());
}

// Everything that a caller may register must arrive.
TEST(ParseRegistrationTest, TakesEveryField) {
  v1::RegisterRequest request;
  v1::ServiceInstance* instance = request.mutable_instance();
  instance->set_id("web-1");
  instance->set_service("web");
  instance->set_address("10.0.0.7");
  instance->set_port(65535);
  instance->add_tags("v1");
  instance->add_tags("v1");
  (*instance->mutable_meta())["zone"] = "a";
  instance->mutable_weights()->set_passing(10);
  instance->mutable_weights()->set_warning(0);
  v1::HealthCheck* http = request.add_checks();
  http->set_name("alive");
  http->mutable_http()->set_url("https://10.0.0.7/healthz");
  http->mutable_http()->set_method("HEAD");
  (*http->mutable_http()->mutable_headers())["x-a"] = "b";
  http->mutable_http()->set_tls_skip_verify(true);
  *http->mutable_interval() = Proto(10, 0);
  *http->mutable_timeout() = Proto(0, 500000000);
  *http->mutable_deregister_critical_after() = Proto(60, 0);
  http->set_initial_status(v1::HEALTH_STATUS_PASSING);
  v1::HealthCheck* tcp = request.add_checks();
  tcp->mutable_tcp()->set_address("10.0.0.7:80");
  *tcp->mutable_interval() = Proto(10, 0);
  v1::HealthCheck* grpc = request.add_checks();
  grpc->mutable_grpc()->set_target("10.0.0.7:50051/pay");
  grpc->mutable_grpc()->set_use_tls(true);
  *grpc->mutable_interval() = Proto(10, 0);
  *request.add_checks()->mutable_ttl() = Proto(15, 0);

  absl::StatusOr<consul::Registration> parsed = ParseRegistration(request);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->id, "web-1");
  EXPECT_EQ(parsed->service, "web");
  EXPECT_EQ(parsed->address, "10.0.0.7");
  EXPECT_EQ(parsed->port, 65535u);
  EXPECT_EQ(parsed->tags, (std::vector<std::string>{"v1", "v1"}));
  EXPECT_EQ(parsed->meta, (std::map<std::string, std::string>{{"zone", "a"}}));
  EXPECT_EQ(parsed->weight_passing, 10);
  EXPECT_EQ(parsed->weight_warning, 0);
  ASSERT_EQ(parsed->checks.size(), 4u);
  const auto& http_probe = std::get<consul::HttpProbe>(parsed->checks[0].probe);
  EXPECT_EQ(http_probe.url, "https://10.0.0.7/healthz");
  EXPECT_EQ(http_probe.method, "HEAD");
  EXPECT_EQ(http_probe.headers, (std::map<std::string, std::string>{{"x-a", "b"}}));
  EXPECT_TRUE(http_probe.tls_skip_verify);
  EXPECT_EQ(parsed->checks[0].name, "alive");
  EXPECT_EQ(parsed->checks[0].interval, absl::Seconds(10));
  EXPECT_EQ(parsed->checks[0].timeout, absl::Milliseconds(500));
  EXPECT_EQ(parsed->checks[0].deregister_critical_after, absl::Minutes(1));
  EXPECT_EQ(parsed->checks[0].initial_status, consul::Health::kPassing);
  EXPECT_EQ(std::get<consul::TcpProbe>(parsed->checks[1].probe).address, "10.0.0.7:80");
  EXPECT_EQ(std::get<consul::GrpcProbe>(parsed->checks[2].probe).target, "10.0.0.7:50051/pay");
  EXPECT_TRUE(std::get<consul::GrpcProbe>(parsed->checks[2].probe).use_tls);
  EXPECT_EQ(std::get<consul::TtlProbe>(parsed->checks[3].probe).ttl, absl::Seconds(15));
}

// The defaults that the API promises.
TEST(ParseRegistrationTest, FillsInDefaults) {
  v1::RegisterRequest request;
  request.mutable_instance()->set_service("web");
  *request.add_checks()->mutable_ttl() = Proto(15, 0);
  absl::StatusOr<consul::Registration> parsed = ParseRegistration(request);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->id, "web");
  EXPECT_EQ(parsed->weight_passing, 1);
  EXPECT_EQ(parsed->weight_warning, 1);
  EXPECT_EQ(parsed->checks[0].initial_status, consul::Health::kCritical);
  EXPECT_EQ(parsed->checks[0].deregister_critical_after, absl::ZeroDuration());
}

// Callers report three kinds of health; an unset one means what the method says.
TEST(ParseHealthTest, TakesWhatCanBeReported) {
  using consul::Health;
  EXPECT_EQ(ParseHealth("s", v1::HEALTH_STATUS_UNSPECIFIED, Health::kWarning).value(), Health::kWarning);
  EXPECT_EQ(ParseHealth("s", v1::HEALTH_STATUS_PASSING, Health::kCritical).value(), Health::kPassing);
  EXPECT_EQ(ParseHealth("s", v1::HEALTH_STATUS_WARNING, Health::kCritical).value(), Health::kWarning);
  EXPECT_EQ(ParseHealth("s", v1::HEALTH_STATUS_CRITICAL, Health::kPassing).value(), Health::kCritical);
}

}  // namespace
}  // namespace meshgate::server
