// The allow-list's file. Whoever wrote a mistake is told its line, and what is right in its place.
#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "consul/base/utf8.h"
#include "consul/validate.h"
#include "server/auth/allow_list.h"
#include "yaml-cpp/yaml.h"

namespace meshgate::server::auth {
namespace {

constexpr char kField[] = "name";
constexpr char kSpiffe[] = "spiffe://";
constexpr size_t kMaxIdentityBytes = 2048;
constexpr size_t kMaxMistakes = 20;
// With aliases a small file may spell out a great many.
constexpr size_t kMaxNames = 250'000;

enum class Kind { kKey, kService };

// What begins a name of a service; empty: any does.
bool BeginsServices(const std::string& text) {
  return text.size() <= consul::kMaxServiceNameBytes && (text.empty() || text.front() != '-') &&
         std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isalnum(c) || c == '-'; });
}

bool IsPlainText(std::string_view text) {
  while (!text.empty()) {
    const std::optional<char32_t> code = TakeCodePoint(text);
    if (!code.has_value() || IsControl(*code)) return false;
  }
  return true;
}

// The line on which it begins, or 0. Not by YAML::LoadAll(), which finds documents without end where the first one
// begins with a comma.
int SecondDocument(const std::string& text) {
  bool begun = false, ended = false;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const absl::string_view bare = absl::StripAsciiWhitespace(line);
    if (bare.empty() || bare.front() == '#') continue;
    const absl::string_view marker = line.substr(0, 3);
    const bool marks = line.size() <= 3 || absl::ascii_isspace(line[3]);
    if (ended || (begun && marks && marker == "---")) return number;
    ended = marks && marker == "...";
    begun = begun || bare.front() != '%';
  }
  return 0;
}

std::string Clipped(const std::string& text) {
  constexpr size_t kMost = 100;
  return text.size() <= kMost ? text : absl::StrCat(text.substr(0, kMost), "...");
}

}  // namespace

class AllowListReader {
 public:
  explicit AllowListReader(const std::string& file) : file_(file) {}

  absl::StatusOr<AllowList> Read(const std::string& text) {
    try {
      ReadRoot(YAML::Load(text));
      if (const int line = SecondDocument(text); line > 0) {
        mistakes_.push_back(absl::StrCat(file_, ":", line, ": a second document (---), which nobody would read"));
      }
    } catch (const YAML::ParserException& e) {
      // Of a name that is not in quotes.
      const char* hint = absl::StrContains(e.msg, "alias") ? ": write \"*\" in quotes" : "";
      mistakes_.push_back(absl::StrCat(file_, ":", e.mark.line + 1, ": ", e.msg, hint));
    } catch (const YAML::Exception& e) {
      mistakes_.push_back(absl::StrCat(file_, ": ", e.msg));
    }
    if (mistakes_.empty()) return std::move(list_);
    const size_t more = mistakes_.size() > kMaxMistakes ? mistakes_.size() - kMaxMistakes : 0;
    mistakes_.resize(mistakes_.size() - more);
    return absl::InvalidArgumentError(
        absl::StrCat(absl::StrJoin(mistakes_, "; "), more == 0 ? "" : absl::StrCat("; and ", more, " more mistakes")));
  }

 private:
  using Place = std::string;

  void ReadRoot(const YAML::Node& root) {
    const char* const example = "identities: {spiffe://example.org/web: {read: {keys: [config/web/]}}}";
    if (!root.IsMap()) return Mistake(root, "", absl::StrCat("names nobody; an allow-list looks like ", example));
    bool named = false;
    ForEach(root, "", [&](const std::string& name, const YAML::Node& key, const YAML::Node& value) {
      if (name != "identities") return Mistake(key, name, "is unknown; there is identities, and nothing beside it");
      named = true;
      if (!value.IsMap() || value.size() == 0) return Mistake(key, name, "names nobody, so nobody could call");
      ForEach(value, "", [&](const std::string& identity, const YAML::Node& at, const YAML::Node& rules) {
        ReadIdentity(identity, at, rules);
      });
    });
    if (!named && mistakes_.empty()) Mistake(root, "", absl::StrCat("names nobody; it looks like ", example));
  }

  void ReadIdentity(const std::string& identity, const YAML::Node& key, const YAML::Node& value) {
    const Place place = Clipped(identity);
    const std::string wrong = WrongWith(identity);
    if (!wrong.empty()) return Mistake(key, place, wrong);
    Rules rules;
    if (!value.IsMap()) {
      return Mistake(key, place, "needs read, write or register below it, or {} for somebody who may do nothing");
    }
    ForEach(value, place, [&](const std::string& verb, const YAML::Node& at, const YAML::Node& what) {
      const Place here = absl::StrCat(place, ": ", Clipped(verb));
      if (verb == "read") {
        ReadVerb(at, what, here, &rules.read_keys, &rules.read_services);
      } else if (verb == "write") {
        ReadVerb(at, what, here, &rules.write_keys, nullptr);
      } else if (verb == "register") {
        ReadVerb(at, what, here, nullptr, &rules.register_services);
      } else {
        Mistake(at, here, "is no permission; there are read, write and register");
      }
    });
    if (identity == "*") {
      list_.everybody_else_ = std::move(rules);
    } else if (absl::EndsWith(identity, "/*")) {
      list_.below_.emplace(identity.substr(0, identity.size() - 1), std::move(rules));
    } else {
      list_.named_.emplace(identity, std::move(rules));
    }
  }

  // Empty: nothing.
  static std::string WrongWith(const std::string& identity) {
    if (identity.empty() || identity.size() > kMaxIdentityBytes || !IsPlainText(identity)) {
      return absl::StrCat("is no identity: 1 to ", kMaxIdentityBytes, " bytes of UTF-8 without control characters");
    }
    if (identity == "*") return "";
    if (!absl::StartsWithIgnoreCase(identity, kSpiffe)) {
      // A wildcard certificate's common name begins with one.
      if (identity.back() != '*') return "";
      return absl::StrCat("only an identity that begins with ", kSpiffe, " may end with /*; \"*\" is everybody else");
    }
    if (!absl::StartsWith(identity, kSpiffe)) return absl::StrCat("is written with ", kSpiffe, " in lower case");
    absl::string_view path = absl::string_view(identity).substr(sizeof kSpiffe - 1);
    const bool below = absl::ConsumeSuffix(&path, "/*");
    if (absl::StrContains(path, "*")) return "a * stands at the end alone, after a slash";
    if (path.empty() || path.front() == '/') return absl::StrCat("needs a trust domain after ", kSpiffe);
    if (!below && path.back() == '/') return "ends with a slash, which no SPIFFE ID does; /* is everything below it";
    return "";
  }

  // Null: the verb knows no such names.
  void ReadVerb(const YAML::Node& key, const YAML::Node& value, const Place& place, NameSet* keys, NameSet* services) {
    const char* const known = services == nullptr ? "keys" : keys == nullptr ? "services" : "keys and services";
    if (!value.IsMap()) return Mistake(key, place, absl::StrCat("needs lists of ", known, " below it"));
    ForEach(value, place, [&](const std::string& name, const YAML::Node& at, const YAML::Node& names) {
      const Place here = absl::StrCat(place, ".", Clipped(name));
      if (name == "keys" && keys != nullptr) {
        ReadNames(at, names, here, Kind::kKey, keys);
      } else if (name == "services" && services != nullptr) {
        ReadNames(at, names, here, Kind::kService, services);
      } else {
        Mistake(at, here, absl::StrCat("is unknown; there are lists of ", known));
      }
    });
  }

  void ReadNames(const YAML::Node& key, const YAML::Node& value, const Place& place, Kind kind, NameSet* names) {
    if (!value.IsSequence()) {
      return Mistake(key, place,
                     kind == Kind::kKey ? "is a list, such as [config/web/]" : "is a list, such as [web, \"api-*\"]");
    }
    size_t number = 0;
    for (const YAML::Node& item : value) {
      const Place here = absl::StrCat(place, "[", number++, "]");
      if (++names_ > kMaxNames) {
        if (names_ == kMaxNames + 1)
          Mistake(item, here, absl::StrCat("is one name more than the ", kMaxNames, " there may be"));
        return;
      }
      if (!item.IsScalar() || item.Scalar().empty()) {
        Mistake(item, here, "needs text; \"*\" stands for everything");
      } else {
        ReadName(item, item.Scalar(), here, kind, names);
      }
    }
  }

  void ReadName(const YAML::Node& at, const std::string& text, const Place& place, Kind kind, NameSet* names) {
    absl::string_view stem = text;
    const bool starred = absl::ConsumeSuffix(&stem, "*");
    if (absl::StrContains(stem, "*")) {
      return Mistake(at, place, "a * stands at the end alone: for everything that begins with what is before it");
    }
    const bool prefix = starred || (kind == Kind::kKey && absl::EndsWith(stem, "/"));
    const std::string name(stem);
    absl::Status status;
    if (kind == Kind::kKey) {
      status = prefix ? consul::ValidatePrefix(kField, name) : consul::ValidateKey(kField, name);
    } else if (!prefix) {
      status = consul::ValidateServiceName(kField, name);
    } else if (!BeginsServices(name)) {
      return Mistake(at, place, "is not what a service's name begins with: letters, digits and '-'");
    }
    // It begins with the field, which is said better here.
    if (!status.ok()) return Mistake(at, place, std::string(status.message().substr(sizeof kField + 1)));
    prefix ? names->AddPrefix(name) : names->AddName(name);
  }

  // Calls `read` for each key of the map, once.
  template <typename Read>
  void ForEach(const YAML::Node& map, const Place& place, Read read) {
    std::set<std::string> seen;
    for (const auto& item : map) {
      if (!item.first.IsScalar()) {
        Mistake(item.first, place, "a key must be text");
        continue;
      }
      const std::string& name = item.first.Scalar();
      if (seen.insert(name).second) {
        read(name, item.first, item.second);
      } else {
        Mistake(item.first, place.empty() ? Clipped(name) : absl::StrCat(place, ": ", Clipped(name)),
                "is there twice; one of them would not count");
      }
    }
  }

  void Mistake(const YAML::Node& at, const Place& place, const std::string& what) {
    // An empty document is nowhere.
    const int line = std::max(at.Mark().line, 0) + 1;
    mistakes_.push_back(absl::StrCat(file_, ":", line, ": ", place, place.empty() ? "" : ": ", what));
  }

  const std::string file_;
  AllowList list_;
  size_t names_ = 0;
  std::vector<std::string> mistakes_;
};

absl::StatusOr<AllowList> AllowList::Parse(const std::string& text, const std::string& file) {
  if (text.size() > kMaxBytes) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": has more than ", kMaxBytes, " bytes"));
  }
  return AllowListReader(file).Read(text);
}

}  // namespace meshgate::server::auth
