#include "consul/validate.h"

#include <algorithm>
#include <variant>

#include "absl/strings/str_cat.h"
#include "consul/base/errors.h"
#include "consul/base/utf8.h"
#include "consul/validate_text.h"

namespace meshgate::consul {
namespace {

constexpr size_t kMaxInstanceIdBytes = 255;
// Names and numbers of an operation in JSON, at most.
constexpr size_t kCommitOperationBytes = 128;

// What is wrong with a key, or with what one begins with, or null; `path` is not empty. A prefix's last segment is only
// the beginning of one: "a/." may go on as "a/.hidden".
const char* BadPath(std::string_view path, bool is_prefix) {
  if (const char* bad = BadText(path)) return bad;
  if (path.front() == '/') return "must not begin with a slash";
  while (true) {
    const size_t slash = path.find('/');
    if (slash == std::string_view::npos && is_prefix) return nullptr;
    const std::string_view segment = path.substr(0, slash);
    if (segment == "." || segment == "..") return "must not have a segment \".\" or \"..\"";
    if (slash == std::string_view::npos) return nullptr;
    path.remove_prefix(slash + 1);
    if (path.empty()) return nullptr;
    if (path.front() == '/') return "must not have an empty segment (\"//\")";
  }
}

absl::Status ValidatePath(std::string_view field, std::string_view path, bool is_prefix) {
  if (path.size() > kMaxKeyBytes) {
    return InvalidField(field, absl::StrCat("must have at most ", kMaxKeyBytes, " bytes"), reason::kInvalidKey);
  }
  if (const char* bad = BadPath(path, is_prefix)) return InvalidField(field, bad, reason::kInvalidKey);
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateKey(std::string_view field, std::string_view key) {
  if (key.empty()) return InvalidField(field, "must not be empty", reason::kInvalidKey);
  return ValidatePath(field, key, /*is_prefix=*/false);
}

absl::Status ValidatePrefix(std::string_view field, std::string_view prefix) {
  if (prefix.empty()) return absl::OkStatus();
  return ValidatePath(field, prefix, /*is_prefix=*/true);
}

absl::Status ValidateValue(std::string_view field, std::string_view value) {
  if (value.size() <= kMaxValueBytes) return absl::OkStatus();
  return InvalidField(field, absl::StrCat("must have at most ", kMaxValueBytes, " bytes, has ", value.size()),
                      reason::kValueTooLarge);
}

size_t CommitBytes(const std::vector<KvOperation>& operations) {
  struct Size {
    // JSON puts a backslash before these.
    static size_t Quoted(std::string_view text) {
      return text.size() + std::count(text.begin(), text.end(), '"') + std::count(text.begin(), text.end(), '\\');
    }
    size_t operator()(const PutOperation& put) const {
      return Quoted(put.entry.key) + (put.entry.value.size() + 2) / 3 * 4;
    }
    size_t operator()(const DeleteKeyOperation& remove) const { return Quoted(remove.key); }
    size_t operator()(const DeletePrefixOperation& remove) const { return Quoted(remove.prefix); }
  };
  size_t bytes = 0;
  for (const KvOperation& operation : operations) bytes += kCommitOperationBytes + std::visit(Size(), operation);
  return bytes;
}

absl::Status ValidateCommitSize(std::string_view field, const std::vector<KvOperation>& operations) {
  if (operations.empty()) return InvalidField(field, "must not be empty");
  if (operations.size() > kMaxCommitOperations) {
    return InvalidField(field,
                        absl::StrCat("must have at most ", kMaxCommitOperations, " elements, has ", operations.size()));
  }
  if (const size_t bytes = CommitBytes(operations); bytes > kMaxCommitBytes) {
    return InvalidField(field,
                        absl::StrCat("take ", bytes, " bytes of the ", kMaxCommitBytes,
                                     " that Consul takes at once, where values are in base64: write large values one "
                                     "by one"),
                        reason::kValueTooLarge);
  }
  return absl::OkStatus();
}

absl::Status ValidateServiceName(std::string_view field, std::string_view name) {
  if (name.empty()) return InvalidField(field, "must not be empty");
  if (name.size() > kMaxServiceNameBytes) {
    return InvalidField(field, absl::StrCat("must have at most ", kMaxServiceNameBytes, " characters"));
  }
  for (char c : name) {
    if (!IsAlnum(c) && c != '-') return InvalidField(field, "must be a DNS label: letters, digits and '-'");
  }
  if (name.front() == '-' || name.back() == '-') return InvalidField(field, "must not begin or end with '-'");
  return absl::OkStatus();
}

absl::Status ValidateInstanceId(std::string_view field, std::string_view id) {
  if (id.empty()) return InvalidField(field, "must not be empty");
  if (id.size() > kMaxInstanceIdBytes) {
    return InvalidField(field, absl::StrCat("must have at most ", kMaxInstanceIdBytes, " bytes"));
  }
  if (const char* bad = BadText(id)) return InvalidField(field, bad);
  if (id.find('/') != std::string_view::npos) return InvalidField(field, "must not contain '/'");
  if (id == "." || id == "..") return InvalidField(field, "must not be \".\" or \"..\"");
  std::string_view rest = id;
  const char32_t first = *TakeCodePoint(rest);
  char32_t last = first;
  while (!rest.empty()) last = *TakeCodePoint(rest);
  if (IsWhiteSpace(first) || IsWhiteSpace(last)) return InvalidField(field, "must not begin or end with white space");
  return absl::OkStatus();
}

absl::Status ValidateDatacenter(std::string_view field, std::string_view datacenter) {
  for (char c : datacenter) {
    if (!IsAlnum(c) && c != '-' && c != '_') {
      return InvalidField(field, "must be a datacenter's name: letters, digits, '-' and '_'");
    }
  }
  return absl::OkStatus();
}

}  // namespace meshgate::consul
