#include "server/http/api/conditions.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "consul/base/errors.h"
#include "consul/base/strings.h"

namespace meshgate::server::api {
namespace {

constexpr char kIfMatch[] = "if-match";
constexpr char kIfNoneMatch[] = "if-none-match";

}  // namespace

std::string EntityTag(uint64_t modify_index) { return absl::StrCat("\"", modify_index, "\""); }

bool HasCurrent(std::string_view if_none_match, uint64_t modify_index) {
  if (modify_index == 0) return false;
  const std::string tag = EntityTag(modify_index);
  for (absl::string_view one : absl::StrSplit(ToAbsl(if_none_match), ',')) {
    one = absl::StripAsciiWhitespace(one);
    // A proxy that packs the body makes the tag a weak one; for a read that is as good.
    if (one == "*" || absl::StripPrefix(one, "W/") == tag) return true;
  }
  return false;
}

absl::StatusOr<std::optional<uint64_t>> WriteCondition(const HttpRequest& http) {
  const auto count = [&http](std::string_view name) {
    return std::count_if(http.headers.begin(), http.headers.end(),
                         [name](const auto& header) { return header.first == name; });
  };
  const auto matches = count(kIfMatch), none_matches = count(kIfNoneMatch);
  if (matches + none_matches == 0) return std::nullopt;
  if (matches + none_matches > 1) return InvalidField("If-Match", "give one condition");
  if (none_matches == 1) {
    if (absl::StripAsciiWhitespace(ToAbsl(http.header(kIfNoneMatch))) == "*") return 0;
    return InvalidField("If-None-Match", "a write takes * alone, which creates the key where it does not exist");
  }
  absl::string_view tag = absl::StripAsciiWhitespace(ToAbsl(http.header(kIfMatch)));
  // As a proxy that packs bodies makes of it; there is one state to an index, whatever it looks like.
  absl::ConsumePrefix(&tag, "W/");
  uint64_t index;
  const bool quoted = absl::ConsumePrefix(&tag, "\"") && absl::ConsumeSuffix(&tag, "\"");
  const bool digits = std::all_of(tag.begin(), tag.end(), [](unsigned char c) { return absl::ascii_isdigit(c); });
  if (!quoted || !digits || !absl::SimpleAtoi(tag, &index) || index == 0) {
    return InvalidField(
        "If-Match", "must be the ETag of the key as it was read, with its quotes, such as \"42\"; \"*\" is not taken");
  }
  return index;
}

}  // namespace meshgate::server::api
