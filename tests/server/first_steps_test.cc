#include "server/first_steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace meshgate::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Would break if the first commands that a newcomer types went to where nothing listens.
TEST(FirstStepsTest, NamesAnEndpointThatCanBeReached) {
  const std::string usual = FirstSteps("/src", {"127.0.0.1:50051"}, "127.0.0.1:8080");
  EXPECT_THAT(usual, HasSubstr("in /src:\n"));
  EXPECT_THAT(usual, HasSubstr("\n  bin/meshgatectl get demo/greeting\n"));
  EXPECT_THAT(usual, HasSubstr("http://127.0.0.1:8080\n"));
  EXPECT_THAT(usual, Not(HasSubstr("--endpoint")));
  EXPECT_THAT(FirstSteps("/", {"0.0.0.0:7", "unix:/s"}, "0.0.0.0:8"),
              HasSubstr("put demo/greeting hello --endpoint 127.0.0.1:7\n"));
  EXPECT_THAT(FirstSteps("/", {"[::]:7"}, "[::]:8"), HasSubstr("http://[::1]:8\n"));
  EXPECT_THAT(FirstSteps("/", {"[::]:7"}, "[::]:8"), HasSubstr("watch --prefix demo/ --endpoint [::1]:7\n"));
  EXPECT_THAT(FirstSteps("/", {"unix:/run/m.sock"}, "127.0.0.1:8"), HasSubstr(" --endpoint unix:/run/m.sock\n"));
  EXPECT_THAT(FirstSteps("/", {"[::]:7"}, "[::]:8"),
              HasSubstr("curl -N 'http://[::1]:8/api/v1/watch/config?prefix=demo/'"));
}

// Would break if they were refused by a gateway that speaks TLS.
TEST(FirstStepsTest, SaysWhatTlsNeeds) {
  const std::string mutual = FirstSteps("/", {"127.0.0.1:50051"}, "127.0.0.1:8080", {true, true, true});
  EXPECT_THAT(mutual, HasSubstr("get demo/greeting --ca-file CA.pem --cert-file CERTIFICATE.pem --key-file KEY.pem\n"));
  EXPECT_THAT(mutual, HasSubstr(" on https://127.0.0.1:8080\n"));
  const std::string grpc = FirstSteps("/", {"127.0.0.1:50051"}, "127.0.0.1:8080", {true, false, false});
  EXPECT_THAT(grpc, HasSubstr("get demo/greeting --ca-file CA.pem\n"));
  EXPECT_THAT(grpc, HasSubstr(" on http://127.0.0.1:8080\n"));
}

}  // namespace
}  // namespace meshgate::server
