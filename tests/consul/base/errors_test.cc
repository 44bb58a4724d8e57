#include "consul/base/errors.h"

#include <gtest/gtest.h>

namespace meshgate {
namespace {

// Programs compare the reason; a message alone would tie them to its wording.
TEST(ErrorsTest, CarryTheirReasonAndWhenToRetry) {
  absl::Status status = MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "no leader");
  EXPECT_EQ(status.message(), "no leader");
  EXPECT_EQ(ReasonOf(status), "CONSUL_UNAVAILABLE");
  EXPECT_EQ(RetryAfterOf(status), std::nullopt);
  status = WithRetryAfter(status, absl::Milliseconds(1500));
  EXPECT_EQ(RetryAfterOf(status), absl::Milliseconds(1500));
  EXPECT_EQ(ReasonOf(status), "CONSUL_UNAVAILABLE");
}

// The message alone must tell which field was wrong.
TEST(ErrorsTest, InvalidFieldNamesTheField) {
  const absl::Status status = InvalidField("instance.port", "must be at most 65535");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "instance.port: must be at most 65535");
  EXPECT_EQ(ReasonOf(status), "INVALID_REQUEST");
}

// Whoever sent a message inside another one must find the field in what was sent.
TEST(ErrorsTest, InParentFieldLeadsTheWay) {
  const absl::Status inner = InvalidField("instance.port", "must be at most 65535", reason::kInvalidKey);
  const absl::Status status = InParentField("registration", inner);
  EXPECT_EQ(status, InvalidField("registration.instance.port", "must be at most 65535", reason::kInvalidKey));
  EXPECT_EQ(InParentField("registration", absl::InternalError("x")), absl::InternalError("x"));
  EXPECT_EQ(InParentField("registration", absl::OkStatus()), absl::OkStatus());
}

// Errors of others have no reason; asking must not invent one.
TEST(ErrorsTest, ForeignErrorsHaveNone) {
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), "");
  EXPECT_EQ(ReasonOf(absl::OkStatus()), "");
}

}  // namespace
}  // namespace meshgate
