// What the tables of bad requests are made of; for bad_input_*.cc alone.
#ifndef MESHGATE_TESTS_TESTING_BAD_INPUT_TABLE_H_
#define MESHGATE_TESTS_TESTING_BAD_INPUT_TABLE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "meshgate/v1/common.pb.h"
#include "tests/testing/bad_input.h"

namespace meshgate::testing::bad_input {

using google::protobuf::Duration;
using google::protobuf::Message;

// One length-delimited field, whatever its bytes are: the generated code would refuse, or complain of, some of them.
template <typename M>
std::string Field(const std::string& name, std::string_view bytes) {
  std::string wire;
  {
    google::protobuf::io::StringOutputStream stream(&wire);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.WriteTag(static_cast<uint32_t>(M::descriptor()->FindFieldByName(name)->number()) << 3 | 2);
    out.WriteVarint32(static_cast<uint32_t>(bytes.size()));
    out.WriteString(std::string(bytes));
  }
  return wire;
}

inline Duration Length(int64_t seconds, int32_t nanos = 0) {
  Duration duration;
  duration.set_seconds(seconds);
  duration.set_nanos(nanos);
  return duration;
}

struct Named {
  std::string name;
  std::string bytes;
};

inline std::vector<Named> NotUtf8() {
  return {{"ByteFF", "a\xff"}, {"Overlong", "a\xc0\xaf"}, {"Surrogate", "a\xed\xa0\x80"}, {"CutOff", "a\xe2\x82"}};
}

// Neither a key nor a prefix.
inline std::vector<Named> BadPaths() {
  std::vector<Named> paths = {
      {"DotDot", "a/../b"},   {"DotDotFirst", "../agent/self"},
      {"Dot", "a/./b"},       {"DoubleSlash", "a//b"},
      {"LeadingSlash", "/a"}, {"ControlCharacter", "a\x01z"},
      {"LineFeed", "a\nb"},   {"Nul", std::string("a\0b", 3)},
      {"Delete", "a\x7f"},    {"TooLong", std::string(1025, 'k')},
  };
  for (Named& bad : NotUtf8()) paths.push_back(std::move(bad));
  return paths;
}

// As a prefix "a/.." may go on as "a/..b".
inline std::vector<Named> BadKeys() {
  std::vector<Named> keys = BadPaths();
  keys.push_back({"DotDotLast", "a/.."});
  return keys;
}

inline std::vector<Named> BadServiceNames() {
  return {{"Empty", ""},
          {"LeadingDash", "-web"},
          {"TrailingDash", "web-"},
          {"Underscore", "web_1"},
          {"Dotted", "web.prod"},
          {"Space", "we b"},
          {"Slash", "a/b"},
          {"NotAscii",
           "w\xc3\xa9"
           "b"},
          {"TooLong", std::string(64, 'w')},
          {"NotUtf8", "web\xff"}};
}

inline std::vector<Named> BadInstanceIds() {
  return {{"Slash", "web/1"},       {"LineFeed", "web\n1"},    {"DotDot", ".."},
          {"LeadingSpace", " web"}, {"TrailingSpace", "web "}, {"TooLong", std::string(256, 'i')},
          {"NotUtf8", "web\xff"}};
}

inline std::vector<Named> BadDatacenters() {
  return {{"Slash", "dc/1"}, {"Space", "dc 1"}, {"Query", "dc1&stale"}, {"NotUtf8", "dc\xff"}};
}

class Table {
 public:
  explicit Table(std::string service) : service_(std::move(service)) {}

  void Add(const std::string& rpc, const std::string& what, const std::string& field, std::string bytes) {
    rows_.push_back(
        {absl::StrCat(rpc, "_", what), absl::StrCat("/meshgate.v1.", service_, "/", rpc), std::move(bytes), field});
  }
  void Add(const std::string& rpc, const std::string& what, const std::string& field, const Message& request) {
    Add(rpc, what, field, request.SerializeAsString());
  }
  // Each of `values` in the string field `field` of a request that is otherwise `rest`.
  template <typename M>
  void AddStrings(const std::string& rpc, const std::string& field, const std::vector<Named>& values,
                  const M& rest = M()) {
    for (const Named& value : values) {
      Add(rpc, absl::StrCat(field, value.name), field, rest.SerializeAsString() + Field<M>(field, value.bytes));
    }
  }
  // For an RPC that takes ReadOptions beside `rest`.
  template <typename M>
  void AddReadOptions(const std::string& rpc, const M& rest = M());
  // For a stream, beside `rest`.
  template <typename M>
  void AddStreamFields(const std::string& rpc, const M& rest);
  // What no message is made of.
  void AddMalformed(const std::string& rpc) {
    Add(rpc, "NotProtobuf", "request", std::string("\xff\xff\xff"));
    Add(rpc, "CutOff", "request",
        std::string("\x0a\x20"
                    "abc"));
  }

  std::vector<BadInput> Take() { return std::move(rows_); }

 private:
  const std::string service_;
  std::vector<BadInput> rows_;
};

template <typename M>
void Table::AddReadOptions(const std::string& rpc, const M& rest) {
  const auto add = [&](const std::string& what, const std::string& field, auto change) {
    M request = rest;
    change(request.mutable_options());
    Add(rpc, what, field, request);
  };
  for (int unknown : {5, 99, -1}) {
    add(absl::StrCat("Consistency", unknown), "options.consistency",
        [unknown](v1::ReadOptions* o) { o->set_consistency(static_cast<v1::Consistency>(unknown)); });
  }
  add("MaxAgeNegative", "options.max_age", [](v1::ReadOptions* o) { *o->mutable_max_age() = Length(-1); });
  add("MaxAgeBarelyNegative", "options.max_age", [](v1::ReadOptions* o) { *o->mutable_max_age() = Length(0, -1); });
  add("MaxAgeMalformed", "options.max_age", [](v1::ReadOptions* o) { *o->mutable_max_age() = Length(1, 2000000000); });
  add("MaxAgeMixedSigns", "options.max_age", [](v1::ReadOptions* o) { *o->mutable_max_age() = Length(1, -1); });
  for (v1::Consistency uncached : {v1::CONSISTENCY_DEFAULT, v1::CONSISTENCY_CONSISTENT, v1::CONSISTENCY_STALE}) {
    add(absl::StrCat("MaxAgeWith", v1::Consistency_Name(uncached)), "options.max_age", [=](v1::ReadOptions* o) {
      o->set_consistency(uncached);
      *o->mutable_max_age() = Length(1);
    });
  }
  for (const Named& datacenter : BadDatacenters()) {
    Add(rpc, absl::StrCat("OptionsDatacenter", datacenter.name), "options.datacenter",
        rest.SerializeAsString() + Field<M>("options", Field<v1::ReadOptions>("datacenter", datacenter.bytes)));
  }
}

template <typename M>
void Table::AddStreamFields(const std::string& rpc, const M& rest) {
  AddStrings<M>(rpc, "datacenter", BadDatacenters(), rest);
  AddStrings<M>(rpc, "resume_token",
                {{"Junk", "junk"},
                 {"TooLong", std::string(129, 't')},
                 {"Space", "a b"},
                 {"LineFeed", "a\n"},
                 {"NotUtf8", "\xff"}},
                rest);
  AddStrings<M>(rpc, "subscriber",
                {{"TooLong", std::string(257, 's')}, {"LineFeed", "a\nb"}, {"C1", "a\xc2\x85"}, {"NotUtf8", "\xff"}},
                rest);
  const std::pair<std::string, Duration> intervals[] = {{"Negative", Length(-1)},
                                                        {"BarelyNegative", Length(0, -1)},
                                                        {"UnderASecond", Length(0, 999999999)},
                                                        {"Malformed", Length(1, 1000000000)},
                                                        {"TooLong", Length(315576000001)}};
  for (const auto& [what, interval] : intervals) {
    M request = rest;
    *request.mutable_progress_interval() = interval;
    Add(rpc, absl::StrCat("ProgressInterval", what), "progress_interval", request);
  }
}

// The rows of each service.
void AddConfigService(Table& table);
void AddRegistryService(Table& table);

}  // namespace meshgate::testing::bad_input

#endif  // MESHGATE_TESTS_TESTING_BAD_INPUT_TABLE_H_
