#include "consul/http/paths.h"

#include "absl/strings/ascii.h"

namespace meshgate::consul::http {
namespace {

void AppendEncoded(std::string_view text, bool keep_slashes, std::string& out) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool unreserved = absl::ascii_isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~';
    if (unreserved || (keep_slashes && c == '/')) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
}

}  // namespace

std::string EncodeSegment(std::string_view segment) {
  std::string out;
  AppendEncoded(segment, /*keep_slashes=*/false, out);
  return out;
}

std::string EncodeKey(std::string_view key) {
  std::string out;
  AppendEncoded(key, /*keep_slashes=*/true, out);
  return out;
}

Target& Target::Segment(std::string_view segment) {
  AppendEncoded(segment, /*keep_slashes=*/false, text_);
  return *this;
}

Target& Target::Key(std::string_view key) {
  AppendEncoded(key, /*keep_slashes=*/true, text_);
  return *this;
}

Target& Target::Query(std::string_view name, std::string_view value) {
  Separate();
  text_.append(name);
  text_.push_back('=');
  AppendEncoded(value, /*keep_slashes=*/false, text_);
  return *this;
}

Target& Target::Flag(std::string_view name) {
  Separate();
  text_.append(name);
  return *this;
}

Target& Target::QueryUnlessEmpty(std::string_view name, std::string_view value) {
  return value.empty() ? *this : Query(name, value);
}

void Target::Separate() {
  text_.push_back(has_query_ ? '&' : '?');
  has_query_ = true;
}

}  // namespace meshgate::consul::http
