#include "server/rpc_status.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "consul/base/strings.h"
#include "consul/base/utf8.h"

namespace meshgate::server {
namespace {

constexpr size_t kMaxMessageBytes = 1024;
constexpr size_t kMaxDetailBytes = 3072;

// Protobuf's strings are UTF-8; what is not becomes '?'. Cut at a whole character.
std::string Text(std::string_view message) {
  std::string out;
  while (!message.empty()) {
    const std::string_view at = message;
    size_t length = 1;
    const bool valid = TakeCodePoint(message).has_value();
    if (valid) {
      length = at.size() - message.size();
    } else {
      message.remove_prefix(1);
    }
    if (out.size() + length > kMaxMessageBytes) return out + "...";
    out += valid ? at.substr(0, length) : "?";
  }
  return out;
}

}  // namespace

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status out;
  out.set_code(static_cast<int>(status.raw_code()));
  out.set_message(Text(ToStd(status.message())));

  std::vector<std::pair<std::string, std::string>> payloads;
  status.ForEachPayload([&payloads](absl::string_view url, const absl::Cord& bytes) {
    payloads.emplace_back(std::string(bytes), std::string(url));
  });
  std::sort(payloads.begin(), payloads.end(), [](const auto& a, const auto& b) {
    return a.first.size() != b.first.size() ? a.first.size() < b.first.size() : a.second < b.second;
  });
  size_t total = 0;
  for (auto& [bytes, url] : payloads) {
    total += bytes.size() + url.size();
    if (total > kMaxDetailBytes) break;
    auto* detail = out.add_details();
    detail->set_type_url(std::move(url));
    detail->set_value(std::move(bytes));
  }
  return out;
}

}  // namespace meshgate::server
