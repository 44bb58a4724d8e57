#include <gtest/gtest.h>

#include <string>

#include "consul/base/errors.h"
#include "google/rpc/status.pb.h"
#include "server/wire/call.h"

namespace meshgate::server::wire {
namespace {

google::rpc::Status Details(const Ending& ending) {
  google::rpc::Status details;
  EXPECT_EQ(ending.trailers.size(), 1u);
  for (const auto& [name, value] : ending.trailers) {
    EXPECT_EQ(name, "grpc-status-details-bin");
    const auto bytes = Base64Decode(value);
    EXPECT_TRUE(bytes.has_value() && details.ParseFromString(*bytes));
  }
  return details;
}

// Would break if a code changed on its way to a caller: the two enumerations must agree in all 17.
TEST(EndingTest, EveryCodeKeepsItsNumber) {
  for (int code = 1; code <= 16; ++code) {
    const Ending ending = EndingOf(absl::Status(static_cast<absl::StatusCode>(code), "m"));
    EXPECT_EQ(ending.code, code);
    EXPECT_EQ(ending.message, "m");
    EXPECT_TRUE(ending.trailers.empty());
  }
  EXPECT_EQ(EndingOf(absl::OkStatus()).code, 0);
  EXPECT_TRUE(EndingOf(absl::OkStatus()).trailers.empty());
}

// Would break if clients could not read the reason, the delay or the field with the helpers of their language.
TEST(EndingTest, EveryPayloadBecomesADetail) {
  const absl::Status error =
      WithRetryAfter(InvalidField("instance.port", "70000 is no port"), absl::Milliseconds(1500));
  const google::rpc::Status details = Details(EndingOf(error));
  EXPECT_EQ(details.code(), 3);
  EXPECT_EQ(details.message(), "instance.port: 70000 is no port");
  google::rpc::ErrorInfo info;
  google::rpc::RetryInfo retry;
  google::rpc::BadRequest bad;
  for (const auto& any : details.details()) {
    if (any.UnpackTo(&info) || any.UnpackTo(&retry) || any.UnpackTo(&bad)) continue;
    ADD_FAILURE() << any.type_url();
  }
  EXPECT_EQ(info.reason(), "INVALID_REQUEST");
  EXPECT_EQ(info.domain(), "meshgate");
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 500000000);
  ASSERT_EQ(bad.field_violations_size(), 1);
  EXPECT_EQ(bad.field_violations(0).field(), "instance.port");
}

// Would break if a long key in a message made the trailers larger than clients accept, who then see no error at all.
TEST(EndingTest, IsBounded) {
  const std::string huge(100000, 'x');
  const Ending ending = EndingOf(InvalidField("key", huge));
  EXPECT_LE(ending.message.size(), 1100u);
  // Base64 is a third more.
  ASSERT_EQ(ending.trailers.size(), 1u);
  EXPECT_LE(ending.trailers[0].second.size(), 4400u * 4 / 3);
  google::rpc::ErrorInfo info;
  const google::rpc::Status details = Details(ending);
  ASSERT_EQ(details.details_size(), 1) << "the small detail stays, the large one goes";
  EXPECT_TRUE(details.details(0).UnpackTo(&info));
}

// Would break if a message that is cut in the middle of a character, or is not UTF-8, failed to serialize.
TEST(EndingTest, MessageStaysUtf8) {
  std::string text(1023, 'x');
  text += "é";
  EXPECT_EQ(EndingOf(absl::InternalError(text)).message, std::string(1023, 'x') + "...");
  EXPECT_EQ(EndingOf(absl::InternalError("a\xff"
                                         "b"))
                .message,
            "a?b");
}

}  // namespace
}  // namespace meshgate::server::wire
