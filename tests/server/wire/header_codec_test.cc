#include "server/wire/header_codec.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace meshgate::server::wire {
namespace {

// Would break if a message of ours could not go into a header, or came out as another: gRPC percent-encodes all but
// printable ASCII, and the percent sign.
TEST(HeaderCodecTest, PercentEncodes) {
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"no such key: 'a/b'", "no such key: 'a/b'"},
      {"100%", "100%25"},
      {"a\nb\r\x7f", "a%0Ab%0D%7F"},
      {"\xc3\xa9", "%C3%A9"},
      {std::string("\0\xff", 2), "%00%FF"},
      {" ~", " ~"},
  };
  for (const auto& [text, want] : cases) EXPECT_EQ(PercentEncode(text), want);
}

// Would break if details of errors, or binary metadata, did not reach those who decode base64 (RFC 4648, section 10).
TEST(HeaderCodecTest, Base64BothWays) {
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "+/8"},
  };
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(Base64Encode(bytes), text);
    EXPECT_EQ(Base64Decode(text), bytes);
    // Some senders pad.
    EXPECT_EQ(Base64Decode(text + std::string((4 - text.size() % 4) % 4, '=')), bytes);
  }
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(Base64Decode(Base64Encode(all)), all);
}

// Would break if what is not base64 were taken for bytes.
TEST(HeaderCodecTest, RefusesWhatIsNotBase64) {
  for (const char* text : {"Z", "Zm9vY", "Zm 9", "Zm9v\n", "Zm-_", "Z=9v", "Zm9v!"}) {
    EXPECT_EQ(Base64Decode(text), std::nullopt) << text;
  }
}

// Would break if a call had another deadline than its caller, or a nonsense one were taken for one.
TEST(HeaderCodecTest, Timeouts) {
  const std::pair<const char*, absl::Duration> cases[] = {
      {"2H", absl::Hours(2)},        {"3M", absl::Minutes(3)},
      {"45S", absl::Seconds(45)},    {"100m", absl::Milliseconds(100)},
      {"7u", absl::Microseconds(7)}, {"99999999n", absl::Nanoseconds(99999999)},
      {"0m", absl::ZeroDuration()},  {"99999999H", absl::Hours(99999999)}};
  for (const auto& [text, want] : cases) EXPECT_EQ(ParseTimeout(text), want) << text;
  for (const char* text : {"", "m", "1", "100000000m", "-1m", "+1m", "1s", "1.5S", " 1S", "1 S", "1x"}) {
    EXPECT_EQ(ParseTimeout(text), std::nullopt) << text;
  }
}

// Would break if text were decoded as bytes, or the other way round.
TEST(HeaderCodecTest, BinaryNames) {
  EXPECT_TRUE(IsBinary("grpc-status-details-bin"));
  EXPECT_TRUE(IsBinary("x-bin"));
  EXPECT_FALSE(IsBinary("x-binary"));
  EXPECT_FALSE(IsBinary("-bin"));
  EXPECT_FALSE(IsBinary("bin"));
}

// Would break if a client of another message format's name were refused, or a browser's request were taken for gRPC.
TEST(HeaderCodecTest, ContentTypes) {
  for (const char* type : {"application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"}) {
    EXPECT_TRUE(IsGrpcContentType(type)) << type;
  }
  for (const char* type : {"", "application/json", "application/grpc-web", "application/grpcx", "text/html"}) {
    EXPECT_FALSE(IsGrpcContentType(type)) << type;
  }
}

}  // namespace
}  // namespace meshgate::server::wire
