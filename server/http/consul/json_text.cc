#include "server/http/consul/json_text.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/strings.h"
#include "consul/base/utf8.h"

namespace meshgate::server::consul_api {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

void AppendEscaped(std::string_view text, std::string* out) {
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text.front());
    if (c >= 0x80) {
      const std::string_view before = text;
      if (TakeCodePoint(text).has_value()) {
        out->append(before.substr(0, before.size() - text.size()));
      } else {
        out->append(kReplacement);
        text.remove_prefix(1);
      }
      continue;
    }
    text.remove_prefix(1);
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(static_cast<char>(c));
    } else if (c >= 0x20) {
      out->push_back(static_cast<char>(c));
    } else {
      absl::StrAppend(out, "\\u00", absl::Hex(c, absl::kZeroPad2));
    }
  }
}

}  // namespace

JsonText& JsonText::Begin(char bracket) {
  Separate();
  text_.push_back(bracket);
  ++depth_;
  first_ = true;
  return *this;
}

JsonText& JsonText::End(char bracket) {
  --depth_;
  if (!first_) NewLine();
  text_.push_back(bracket);
  first_ = false;
  return *this;
}

JsonText& JsonText::Key(std::string_view name) {
  Separate();
  text_.push_back('"');
  AppendEscaped(name, &text_);
  text_.append(pretty_ ? "\": " : "\":");
  after_key_ = true;
  return *this;
}

JsonText& JsonText::String(std::string_view text) {
  Separate();
  text_.push_back('"');
  AppendEscaped(text, &text_);
  text_.push_back('"');
  return *this;
}

JsonText& JsonText::Plain(std::string_view text) {
  Separate();
  text_.push_back('"');
  text_.append(text);
  text_.push_back('"');
  return *this;
}

JsonText& JsonText::Number(uint64_t number) {
  Separate();
  absl::StrAppend(&text_, number);
  return *this;
}

JsonText& JsonText::Signed(int64_t number) {
  Separate();
  absl::StrAppend(&text_, number);
  return *this;
}

JsonText& JsonText::Bool(bool value) {
  Separate();
  text_.append(value ? "true" : "false");
  return *this;
}

JsonText& JsonText::Null() {
  Separate();
  text_.append("null");
  return *this;
}

JsonText& JsonText::Strings(const std::vector<std::string>& list) {
  BeginArray();
  for (const std::string& one : list) String(one);
  return EndArray();
}

std::string JsonText::Take() {
  if (pretty_) text_.push_back('\n');
  return std::move(text_);
}

void JsonText::Separate() {
  if (std::exchange(after_key_, false)) return;
  if (depth_ == 0) return;
  if (!std::exchange(first_, false)) text_.push_back(',');
  NewLine();
}

void JsonText::NewLine() {
  if (!pretty_) return;
  text_.push_back('\n');
  text_.append(4 * static_cast<size_t>(depth_), ' ');
}

}  // namespace meshgate::server::consul_api
