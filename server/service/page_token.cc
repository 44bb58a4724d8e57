#include "server/service/page_token.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"

namespace meshgate::server {
namespace {

// Layout before base64: version, index (8 bytes), digest (8 bytes), key. The digest covers the rest and the list that
// the token belongs to. It tells junk and mix-ups, which is all it is for: the token gives no access to anything.
constexpr char kVersion = 1;
constexpr size_t kDigestAt = 1 + 8;
constexpr size_t kKeyAt = kDigestAt + 8;

void AppendUint64(uint64_t value, std::string* out) {
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

uint64_t ReadUint64(std::string_view bytes) {
  uint64_t value = 0;
  for (char c : bytes.substr(0, 8)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

// FNV-1a: the same in every process and version, unlike absl::Hash.
uint64_t Digest(const PagePosition& position, std::string_view prefix, std::string_view datacenter) {
  std::string covered;
  AppendUint64(position.index, &covered);
  for (std::string_view part : {std::string_view(position.after), prefix, datacenter}) {
    AppendUint64(part.size(), &covered);
    covered.append(part);
  }
  uint64_t hash = 14695981039346656037u;
  for (char c : covered) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash;
}

}  // namespace

std::string EncodePageToken(const PagePosition& position, std::string_view prefix, std::string_view datacenter) {
  std::string bytes(1, kVersion);
  AppendUint64(position.index, &bytes);
  AppendUint64(Digest(position, prefix, datacenter), &bytes);
  bytes += position.after;
  return absl::WebSafeBase64Escape(bytes);
}

absl::StatusOr<PagePosition> DecodePageToken(std::string_view token, std::string_view prefix,
                                             std::string_view datacenter) {
  std::string bytes;
  PagePosition position;
  if (absl::WebSafeBase64Unescape(ToAbsl(token), &bytes) && bytes.size() > kKeyAt && bytes[0] == kVersion) {
    position.index = ReadUint64(std::string_view(bytes).substr(1));
    position.after = bytes.substr(kKeyAt);
    // Made anew, because unescaping passes over spaces and padding.
    if (EncodePageToken(position, prefix, datacenter) == token) return position;
  }
  return InvalidField("page_token",
                      "not a token of this list: send next_page_token as it was received, with the same prefix and "
                      "datacenter, or none to start with the first page",
                      reason::kInvalidPageToken);
}

}  // namespace meshgate::server
