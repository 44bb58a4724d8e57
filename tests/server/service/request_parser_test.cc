#include "server/service/request_parser.h"

#include <string>

#include "gtest/gtest.h"
#include "meshgate/v1/config_service.pb.h"
#include "meshgate/v1/registry_service.pb.h"
#include "tests/server/service/handler_harness.h"

namespace meshgate::server {
namespace {

using namespace std::string_literals;  // NOLINT: for bytes with NUL

v1::RegisterRequest FullRegistration() {
  v1::RegisterRequest request;
  request.mutable_instance()->set_id("web-1");
  request.mutable_instance()->set_service("web");
  request.mutable_instance()->add_tags("v1");
  request.mutable_instance()->add_tags("caf\xc3\xa9");
  (*request.mutable_instance()->mutable_meta())["zone"] = "a";
  request.mutable_instance()->mutable_weights()->set_passing(3);
  request.add_checks()->mutable_ttl()->set_seconds(15);
  request.add_checks()->mutable_http()->set_url("http://10.0.0.1/");
  return request;
}

// The walk before the parse must neither lose nor refuse anything of a good request.
TEST(ParseRequestTest, TakesWhatGeneratedCodeWrites) {
  const v1::RegisterRequest sent = FullRegistration();
  v1::RegisterRequest parsed;
  ASSERT_TRUE(ParseRequest(sent.SerializeAsString(), &parsed).ok());
  EXPECT_EQ(parsed.SerializeAsString().size(), sent.SerializeAsString().size());
  EXPECT_EQ(parsed.instance().tags(1), "caf\xc3\xa9");
  EXPECT_EQ(parsed.instance().meta().at("zone"), "a");
  EXPECT_EQ(parsed.checks(1).http().url(), "http://10.0.0.1/");
}

// An empty request is one with every field at its default, and what `out` held before must not show through.
TEST(ParseRequestTest, ReplacesWhatWasThere) {
  v1::RegisterRequest parsed = FullRegistration();
  ASSERT_TRUE(ParseRequest("", &parsed).ok());
  EXPECT_FALSE(parsed.has_instance());
}

// Values are bytes: nothing may be asked of them.
TEST(ParseRequestTest, LeavesBytesAlone) {
  v1::PutConfigRequest sent;
  sent.set_key("a");
  sent.set_value("\xff\xfe\x00\xc0"s);
  v1::PutConfigRequest parsed;
  ASSERT_TRUE(ParseRequest(sent.SerializeAsString(), &parsed).ok());
  EXPECT_EQ(parsed.value(), sent.value());
}

// A newer client's fields are skipped, whatever they hold, or an upgrade of clients would have to wait for ours.
TEST(ParseRequestTest, SkipsUnknownFields) {
  v1::GetConfigRequest parsed;
  const std::string wire = "\x0a\x01k"s + "\xaa\x06\x02\xff\xfe"s + "\xb0\x06\x7f"s;
  ASSERT_TRUE(ParseRequest(wire, &parsed).ok());
  EXPECT_EQ(parsed.key(), "k");
}

// Would break if a megabyte of fields that nobody knows, which become many times that, could be had parsed.
TEST(ParseRequestTest, BoundsTheFields) {
  v1::GetConfigRequest parsed;
  std::string wire;
  for (int i = 0; i < 10'000; ++i) wire += "\x78\x01";
  EXPECT_TRUE(ParseRequest(wire, &parsed).ok());
  ExpectBadField(ParseRequest(wire + "\x78\x01", &parsed), "request");
  // In a group, and in messages.
  ExpectBadField(ParseRequest("\x83\x01"s + wire + "\x84\x01", &parsed), "request");
  v1::CommitConfigRequest commit;
  for (int i = 0; i < 6'000; ++i) commit.add_operations()->mutable_put()->set_key("a");
  ExpectBadField(ParseRequest(commit.SerializeAsString(), &commit), "request");
}

// Whoever sends a key in Latin-1 must be told which field it was.
TEST(ParseRequestTest, NamesTheFieldThatIsNotUtf8) {
  v1::GetConfigRequest get;
  ExpectBadField(ParseRequest("\x0a\x02\x61\xff"s, &get), "key");
  ExpectBadField(ParseRequest("\x0a\x01k\x12\x03\x12\x01\xff"s, &get), "options.datacenter");
}

// A field in a list is told by its number, counted from 0 among its own kind.
TEST(ParseRequestTest, CountsRepeatedFields) {
  v1::RegisterRequest request;
  // instance { service: "w" tags: "a" tags: <FF> }
  ExpectBadField(ParseRequest("\x0a\x09\x12\x01w\x2a\x01\x61\x2a\x01\xff"s, &request), "instance.tags[1]");
  // checks {} checks { name: <FF> }
  ExpectBadField(ParseRequest("\x12\x00\x12\x03\x2a\x01\xff"s, &request), "checks[1].name");
}

// A map's entries have no place of their own on the wire: the map is named, and which half is wrong.
TEST(ParseRequestTest, NamesTheMap) {
  v1::RegisterRequest request;
  const absl::Status key = ParseRequest("\x0a\x08\x32\x06\x0a\x01\xff\x12\x01v"s, &request);
  ExpectBadField(key, "instance.meta");
  EXPECT_NE(key.message().find("a key"), absl::string_view::npos);
  const absl::Status value = ParseRequest("\x0a\x08\x32\x06\x0a\x01k\x12\x01\xff"s, &request);
  ExpectBadField(value, "instance.meta");
  EXPECT_NE(value.message().find("a value"), absl::string_view::npos);
}

// Every way in which the wire format can break must end in the same plain answer, not in a crash or a half-read
// request.
TEST(ParseRequestTest, RefusesWhatIsNotProtobuf) {
  const std::string broken[] = {
      "\xff\xff\xff"s,                                      // a tag that does not end
      "\x0a"s,                                              // no length
      "\x0a\x05k"s,                                         // less than the length says
      "\x0a\xff\xff\xff\xff\x0f"s,                          // a length of 4 GiB
      "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s,  // a length that is no number
      "\x12\x05\x0a\x09zz"s,                                // a field that sticks out of its message
      "\x0e\x01"s,                                          // wire type 6
      "\x00\x01"s,                                          // field number 0
      "\x12\x01\x0b"s,                                      // a group that does not end
      "\x0c"s,                                              // the end of a group that never began
  };
  for (const std::string& wire : broken) {
    v1::GetConfigRequest request;
    ExpectBadField(ParseRequest(wire, &request), "request");
  }
}

// A string field sent with another wire type is an unknown field to protobuf; the walk must see it the same way.
TEST(ParseRequestTest, TakesAWrongWireTypeAsUnknown) {
  v1::GetConfigRequest request;
  ASSERT_TRUE(ParseRequest("\x08\x07"s, &request).ok());
  EXPECT_EQ(request.key(), "");
}

// Cut anywhere or changed in any byte, a request is either parsed or refused; and what is not refused has only strings
// that are UTF-8, which the handlers rely on.
TEST(ParseRequestTest, HoldsForEveryCutAndEveryFlippedByte) {
  const std::string whole = FullRegistration().SerializeAsString();
  for (size_t length = 0; length < whole.size(); ++length) {
    v1::RegisterRequest request;
    const absl::Status status = ParseRequest(whole.substr(0, length), &request);
    if (!status.ok()) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    }
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int flip : {0x01, 0x80, 0xff}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ flip);
      v1::RegisterRequest request;
      const absl::Status status = ParseRequest(changed, &request);
      v1::RegisterRequest reference;
      EXPECT_EQ(status.ok(), reference.ParseFromString(changed)) << at << " " << status;
    }
  }
}

}  // namespace
}  // namespace meshgate::server
