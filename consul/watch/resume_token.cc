#include "consul/watch/resume_token.h"

#include <boost/endian/conversion.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "consul/base/strings.h"

namespace meshgate::consul {
namespace {

// The format's version: a later one gets another letter, and is then refused by this code rather than misread.
constexpr char kVersion = 'a';
constexpr size_t kBytes = 8 + 16;

}  // namespace

std::string ResumeToken::ToString() const {
  std::string bytes(8, '\0');
  boost::endian::store_little_u64(reinterpret_cast<unsigned char*>(bytes.data()), index);
  bytes += digest.ToBytes();
  return absl::StrCat(std::string(1, kVersion), absl::WebSafeBase64Escape(bytes));
}

std::optional<ResumeToken> ResumeToken::Parse(std::string_view text) {
  std::string bytes;
  if (text.empty() || text[0] != kVersion || !absl::WebSafeBase64Unescape(ToAbsl(text.substr(1)), &bytes) ||
      bytes.size() != kBytes) {
    return std::nullopt;
  }
  ResumeToken token;
  token.index = boost::endian::load_little_u64(reinterpret_cast<const unsigned char*>(bytes.data()));
  token.digest = Digest::FromBytes(bytes.substr(8));
  // Unescaping passes over spaces and padding.
  if (token.ToString() != text) return std::nullopt;
  return token;
}

}  // namespace meshgate::consul
