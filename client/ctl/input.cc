#include "client/ctl/input.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace meshgate::ctl {
namespace {

// The API's limit.
constexpr size_t kMaxValue = 524'288;

absl::StatusOr<std::string> ReadAll(std::istream& in, const std::string& name, size_t max_bytes,
                                    const std::string& what) {
  std::string bytes(max_bytes + 1, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (in.bad()) return absl::UnknownError(absl::StrCat("can't read ", name));
  bytes.resize(static_cast<size_t>(in.gcount()));
  if (bytes.size() > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is too large: ", what, " has at most ", max_bytes, " bytes"));
  }
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> ReadSource(const std::string& source, std::istream* in, size_t max_bytes,
                                       const std::string& what) {
  if (source == "-") return ReadAll(*in, "standard input", max_bytes, what);
  std::ifstream file(source, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat("can't open ", source, ": ", std::strerror(errno)));
  return ReadAll(file, source, max_bytes, what);
}

absl::StatusOr<std::string> ReadValue(const std::string& source, std::istream* in) {
  if (source == "-") return ReadSource(source, in, kMaxValue, "a value");
  if (!absl::StartsWith(source, "@")) return source;
  return ReadSource(source.substr(1), nullptr, kMaxValue, "a value");
}

absl::StatusOr<std::vector<std::string>> SplitWords(const std::string& line) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    char c = line[i];
    if (quote == 0 && absl::ascii_isspace(static_cast<unsigned char>(c))) {
      in_word = false;
      continue;
    }
    if (quote == 0 && !in_word && c == '#') break;
    if (!in_word) words.emplace_back();
    in_word = true;
    if (quote != 0 && c == quote) {
      quote = 0;
      continue;
    }
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
      continue;
    }
    if (c == '\\' && quote != '\'') {
      if (i + 1 == line.size()) return absl::InvalidArgumentError("it ends in a backslash");
      const char next = line[i + 1];
      if (quote == 0 || next == '"' || next == '\\') {
        c = next;
        ++i;
      }
    }
    words.back().push_back(c);
  }
  if (quote != 0) return absl::InvalidArgumentError("a quote is not closed");
  return words;
}

}  // namespace meshgate::ctl
