#include "tests/bench/load/request_headers.h"

#include <string_view>

namespace meshgate::bench {
namespace {

// Indexes of the static table.
constexpr char kAuthority = 1, kMethodPost = 3, kPath = 4, kSchemeHttp = 6, kContentType = 31, kUserAgent = 58;
constexpr char kFirstDynamic = 62;

constexpr char kIndexed = static_cast<char>(0x80), kAddToTable = 0x40;

void AppendString(std::string_view text, std::string* out) {
  out->push_back(static_cast<char>(text.size()));
  out->append(text);
}

void AppendField(char name_index, std::string_view value, std::string* out) {
  out->push_back(static_cast<char>(kAddToTable | name_index));
  AppendString(value, out);
}

}  // namespace

RequestHeaders MakeRequestHeaders(const std::string& path) {
  RequestHeaders headers;
  headers.first = {static_cast<char>(kIndexed | kMethodPost), static_cast<char>(kIndexed | kSchemeHttp)};
  headers.later = headers.first;
  AppendField(kPath, path, &headers.first);
  AppendField(kAuthority, "bench", &headers.first);
  headers.first.push_back(kAddToTable);
  AppendString("te", &headers.first);
  AppendString("trailers", &headers.first);
  AppendField(kContentType, "application/grpc", &headers.first);
  AppendField(kUserAgent, "meshgate-bench", &headers.first);
  constexpr int kAdded = 5;
  // The latest has the lowest index.
  for (int i = kAdded - 1; i >= 0; --i) headers.later.push_back(static_cast<char>(kIndexed | (kFirstDynamic + i)));
  return headers;
}

}  // namespace meshgate::bench
