#include "server/http/api/fields.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "consul/base/errors.h"
#include "google/protobuf/duration.pb.h"

namespace meshgate::server::api {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// HealthStatus -> "HEALTH_STATUS_".
std::string PrefixOf(const EnumDescriptor& type) {
  std::string prefix;
  for (const char c : type.name()) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return prefix + "_";
}

template <typename Number>
absl::Status ParseNumber(std::string_view name, const std::string& text, Number* out) {
  const bool digits =
      !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isdigit(c); });
  if (digits && absl::SimpleAtoi(text, out)) return absl::OkStatus();
  return InvalidField(name, absl::StrCat("must be a whole number from 0 to ", std::numeric_limits<Number>::max()));
}

absl::Status ParseEnum(std::string_view name, const std::string& text, const EnumDescriptor& type, int* out) {
  std::vector<std::string> known;
  for (int i = 0; i < type.value_count(); ++i) {
    const EnumValueDescriptor& value = *type.value(i);
    // Zero is what is there when nothing is said.
    if (value.number() == 0) continue;
    if (text == value.name() || text == ShortName(value)) {
      *out = value.number();
      return absl::OkStatus();
    }
    known.push_back(ShortName(value));
  }
  return InvalidField(name, "must be one of " + absl::StrJoin(known, ", "));
}

absl::Status ParseDuration(std::string_view name, const std::string& text, Message* out) {
  absl::Duration duration;
  // A reader takes "0" for a number whose unit was forgotten.
  if (text == "0" || !absl::ParseDuration(text, &duration) || duration == absl::InfiniteDuration() ||
      duration == -absl::InfiniteDuration()) {
    return InvalidField(name, "must be a number with its unit, such as 500ms, 30s or 1m30s");
  }
  auto* message = static_cast<google::protobuf::Duration*>(out);
  message->set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  message->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return absl::OkStatus();
}

bool IsSet(const Message& message, const FieldDescriptor* field) {
  // Whatever has no presence is set where it is not its default.
  return message.GetReflection()->HasField(message, field);
}

absl::Status SetScalar(std::string_view name, const std::string& text, const FieldDescriptor* field, Message* message) {
  const auto* reflection = message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      reflection->SetString(message, field, text);
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_BOOL:
      if (text != "" && text != "true" && text != "false") return InvalidField(name, "must be true or false");
      reflection->SetBool(message, field, text != "false");
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t number;
      if (absl::Status s = ParseNumber(name, text, &number); !s.ok()) return s;
      reflection->SetUInt64(message, field, number);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_INT32: {
      int32_t number;
      if (absl::Status s = ParseNumber(name, text, &number); !s.ok()) return s;
      reflection->SetInt32(message, field, number);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      int number;
      if (absl::Status s = ParseEnum(name, text, *field->enum_type(), &number); !s.ok()) return s;
      reflection->SetEnumValue(message, field, number);
      return absl::OkStatus();
    }
    default:
      // A Duration: routes have no other message in their parameters.
      return ParseDuration(name, text, reflection->MutableMessage(message, field));
  }
}

}  // namespace

const FieldDescriptor* FieldAt(const Descriptor* type, std::string_view path) {
  const size_t dot = path.find('.');
  const FieldDescriptor* field = type->FindFieldByName(std::string(path.substr(0, dot)));
  if (field == nullptr || dot == std::string_view::npos) return field;
  return FieldAt(field->message_type(), path.substr(dot + 1));
}

bool IsList(const Descriptor* type, std::string_view path) { return FieldAt(type, path)->is_repeated(); }

std::string ShortName(const EnumValueDescriptor& value) {
  return absl::AsciiStrToLower(value.name().substr(PrefixOf(*value.type()).size()));
}

absl::Status SetField(std::string_view name, std::string_view path, const std::string& text, Message* message) {
  if (const size_t dot = path.find('.'); dot != std::string_view::npos) {
    const FieldDescriptor* parent = FieldAt(message->GetDescriptor(), path.substr(0, dot));
    return SetField(name, path.substr(dot + 1), text, message->GetReflection()->MutableMessage(message, parent));
  }
  const FieldDescriptor* field = FieldAt(message->GetDescriptor(), path);
  if (field->is_repeated()) {
    message->GetReflection()->AddString(message, field, text);
    return absl::OkStatus();
  }
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING && IsSet(*message, field)) {
    if (message->GetReflection()->GetString(*message, field) == text) return absl::OkStatus();
    return InvalidField(name, "the body has another value: leave it out of one of them");
  }
  if (IsSet(*message, field)) return InvalidField(name, "the body has it, too: leave it out of one of them");
  return SetScalar(name, text, field, message);
}

}  // namespace meshgate::server::api
