#include "server/service/request_parser.h"

#include <climits>
#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/stubs/common.h"
#include "google/protobuf/wire_format_lite.h"

namespace meshgate::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// The parser takes sixteen bytes for each field that it does not know, of two on the wire, and as long for a million of
// them as for megabytes of values. The largest registration or commit has a few hundred.
constexpr int kMaxFields = 10'000;
// Within each other; the parser takes no more either.
constexpr int kMaxGroups = 100;

// Looks for strings that are not UTF-8, and for more fields than a request has. Stops quietly where the wire format
// breaks: the generated parser says so then.
class Utf8Walker {
 public:
  explicit Utf8Walker(std::string_view bytes)
      : in_(reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<int>(bytes.size())) {}

  absl::Status Walk(const Descriptor* type) { return WalkMessage(type, ""); }

 private:
  absl::Status WalkMessage(const Descriptor* type, const std::string& path) {
    std::map<int, int> elements;  // of repeated fields, by number
    while (const uint32_t tag = in_.ReadTag()) {
      if (++fields_ > kMaxFields) return TooMany();
      const FieldDescriptor* field = type->FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
      const bool nested = field != nullptr && field->type() == FieldDescriptor::TYPE_MESSAGE;
      const bool text = field != nullptr && field->type() == FieldDescriptor::TYPE_STRING;
      if ((!nested && !text) || WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
        if (!Skip(tag, kMaxGroups)) return fields_ > kMaxFields ? TooMany() : Broken();
        continue;
      }
      uint32_t length;
      const void* data;
      int available;
      if (!in_.ReadVarint32(&length)) return Broken();
      in_.GetDirectBufferPointerInline(&data, &available);
      if (length > static_cast<uint32_t>(available)) return Broken();
      const int element = field->is_repeated() ? elements[field->number()]++ : 0;
      if (text) {
        if (!google::protobuf::internal::IsStructurallyValidUTF8(static_cast<const char*>(data),
                                                                 static_cast<int>(length))) {
          return NotUtf8(type, field, path, element);
        }
        in_.Skip(static_cast<int>(length));
        continue;
      }
      const CodedInputStream::Limit limit = in_.PushLimit(static_cast<int>(length));
      if (absl::Status s = WalkMessage(field->message_type(), PathOf(field, path, element)); !s.ok()) return s;
      if (broken_ || !in_.ConsumedEntireMessage()) return Broken();
      in_.PopLimit(limit);
    }
    return absl::OkStatus();
  }

  // A field that holds nothing to be looked at; a group's fields count, as the parser keeps them.
  bool Skip(uint32_t tag, int groups) {
    if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_START_GROUP) {
      return WireFormatLite::SkipField(&in_, tag);
    }
    if (groups == 0) return false;
    while (const uint32_t inside = in_.ReadTag()) {
      if (WireFormatLite::GetTagWireType(inside) == WireFormatLite::WIRETYPE_END_GROUP) {
        return WireFormatLite::GetTagFieldNumber(inside) == WireFormatLite::GetTagFieldNumber(tag);
      }
      if (++fields_ > kMaxFields || !Skip(inside, groups - 1)) return false;
    }
    return false;
  }

  static absl::Status TooMany() { return InvalidField("request", absl::StrCat("more than ", kMaxFields, " fields")); }

  absl::Status Broken() {
    broken_ = true;
    return absl::OkStatus();
  }

  static std::string PathOf(const FieldDescriptor* field, const std::string& path, int element) {
    std::string child = absl::StrCat(path, path.empty() ? "" : ".", field->name());
    if (field->is_repeated() && !field->is_map()) absl::StrAppend(&child, "[", element, "]");
    return child;
  }

  static absl::Status NotUtf8(const Descriptor* type, const FieldDescriptor* field, const std::string& path,
                              int element) {
    if (!type->options().map_entry()) return InvalidField(PathOf(field, path, element), "not valid UTF-8");
    return InvalidField(path, field->number() == 1 ? "a key is not valid UTF-8" : "a value is not valid UTF-8");
  }

  CodedInputStream in_;
  int fields_ = 0;
  bool broken_ = false;
};

}  // namespace

absl::Status ParseRequest(std::string_view bytes, google::protobuf::Message* out) {
  if (bytes.size() > INT_MAX) return InvalidField("request", "larger than 2 GiB");
  if (absl::Status s = Utf8Walker(bytes).Walk(out->GetDescriptor()); !s.ok()) return s;
  if (!out->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return InvalidField("request", "malformed protobuf message");
  }
  return absl::OkStatus();
}

}  // namespace meshgate::server
