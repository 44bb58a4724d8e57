#include "server/grpc/status.h"

#include <gtest/gtest.h>

#include <string>

#include "consul/base/errors.h"
#include "google/rpc/status.pb.h"

namespace meshgate::server {
namespace {

google::rpc::Status Details(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  return details;
}

// Would break if a code changed on its way to a caller: the two enumerations must agree in all 17.
TEST(StatusTest, EveryCodeKeepsItsNumber) {
  for (int code = 1; code <= 16; ++code) {
    const grpc::Status status = ToGrpcStatus(absl::Status(static_cast<absl::StatusCode>(code), "m"));
    EXPECT_EQ(static_cast<int>(status.error_code()), code);
    EXPECT_EQ(status.error_message(), "m");
    EXPECT_EQ(status.error_details(), "");
  }
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

// Would break if clients could not read the reason, the delay or the field with the helpers of their language.
TEST(StatusTest, EveryPayloadBecomesADetail) {
  const absl::Status error =
      WithRetryAfter(InvalidField("instance.port", "70000 is no port"), absl::Milliseconds(1500));
  const google::rpc::Status details = Details(ToGrpcStatus(error));
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
TEST(StatusTest, IsBounded) {
  const std::string huge(100000, 'x');
  const grpc::Status status = ToGrpcStatus(InvalidField("key", huge));
  EXPECT_LE(status.error_message().size(), 1100u);
  EXPECT_LE(status.error_details().size(), 4400u);
  google::rpc::ErrorInfo info;
  const google::rpc::Status details = Details(status);
  ASSERT_EQ(details.details_size(), 1) << "the small detail stays, the large one goes";
  EXPECT_TRUE(details.details(0).UnpackTo(&info));
}

// Would break if a message that is cut in the middle of a character, or is not UTF-8, failed to serialize.
TEST(StatusTest, MessageStaysUtf8) {
  std::string text(1023, 'x');
  text += "é";
  EXPECT_EQ(ToGrpcStatus(absl::InternalError(text)).error_message(), std::string(1023, 'x') + "...");
  EXPECT_EQ(ToGrpcStatus(absl::InternalError("a\xff"
                                             "b"))
                .error_message(),
            "a?b");
}

}  // namespace
}  // namespace meshgate::server
