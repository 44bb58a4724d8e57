#include "tests/bench/load/http1_parser.h"

#include <string.h>

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace meshgate::bench {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kHeadEnd = "\r\n\r\n";

}  // namespace

bool Http1Parser::Next() {
  if (broken_ || (!in_body_ && !TakeHead())) return false;
  if (chunked_) {
    if (!TakeChunks()) return false;
  } else {
    if (input_.size() < length_) return false;
    body_.assign(input_, 0, length_);
    input_.erase(0, length_);
  }
  in_body_ = false;
  return true;
}

bool Http1Parser::TakeHead() {
  const size_t end = input_.find(kHeadEnd);
  if (end == std::string::npos) return false;
  // "HTTP/1.1 200 OK"
  code_ = end > 12 ? atoi(input_.c_str() + 9) : 0;
  chunked_ = false;
  length_ = 0;
  bool has_length = false;
  for (size_t at = input_.find(kLineEnd); at < end;) {
    at += kLineEnd.size();
    const size_t line_end = input_.find(kLineEnd, at);
    const absl::string_view line(input_.data() + at, line_end - at);
    const size_t colon = line.find(": ");
    if (colon != absl::string_view::npos) {
      const absl::string_view name = line.substr(0, colon), value = line.substr(colon + 2);
      if (absl::EqualsIgnoreCase(name, "content-length")) has_length = absl::SimpleAtoi(value, &length_);
      if (absl::EqualsIgnoreCase(name, "transfer-encoding")) chunked_ = absl::EqualsIgnoreCase(value, "chunked");
      uint64_t index = 0;
      if (absl::EqualsIgnoreCase(name, "x-consul-index") && absl::SimpleAtoi(value, &index)) consul_index_ = index;
    }
    at = line_end;
  }
  input_.erase(0, end + kHeadEnd.size());
  broken_ = code_ == 0 || (!chunked_ && !has_length);
  in_body_ = true;
  body_.clear();
  return !broken_;
}

bool Http1Parser::TakeChunks() {
  while (true) {
    const size_t line_end = input_.find(kLineEnd);
    if (line_end == std::string::npos) return false;
    const size_t size = strtoul(input_.c_str(), nullptr, 16);
    const size_t begin = line_end + kLineEnd.size();
    if (input_.size() < begin + size + kLineEnd.size()) return false;
    body_.append(input_, begin, size);
    input_.erase(0, begin + size + kLineEnd.size());
    if (size == 0) return true;
  }
}

}  // namespace meshgate::bench
