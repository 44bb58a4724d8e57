#ifndef MESHGATE_SERVER_AUTH_ALLOW_LIST_H_
#define MESHGATE_SERVER_AUTH_ALLOW_LIST_H_

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace meshgate::server::auth {

// Names, alone or by how they begin: of keys, or of services.
class NameSet {
 public:
  void AddName(std::string name) { names_.insert(std::move(name)); }
  // All names that begin so; empty: all.
  void AddPrefix(std::string prefix) { prefixes_.insert(std::move(prefix)); }

  bool empty() const { return names_.empty() && prefixes_.empty(); }
  bool Has(std::string_view name) const;
  // Whether it has every name, or any name, that begins with `prefix`.
  bool HasAllBelow(std::string_view prefix) const;
  bool HasSomeBelow(std::string_view prefix) const;

 private:
  std::set<std::string, std::less<>> names_;
  std::set<std::string, std::less<>> prefixes_;
};

// What one caller may do. None of it includes another.
struct Rules {
  NameSet read_keys;
  // With their instances, whatever nodes those are on.
  NameSet read_services;
  NameSet write_keys;
  NameSet register_services;
};

// Who may do what, by the name in a client's certificate. Immutable once it is made.
//
//   identities:
//     spiffe://example.org/ns/prod/sa/web:
//       read:
//         keys: [config/web/, config/common/flags]
//         services: ["*"]
//       write: {keys: [config/web/state/]}
//       register: {services: [web]}
//     spiffe://example.org/ns/test/*: {read: {keys: [config/]}}
//
// Of names, "web" is that one alone; "web/", which ends with a slash, everything below it; "web*" everything that
// begins so; "*" everything. Of identities, one that begins with spiffe:// and ends with "/*" stands for all below it,
// and "*" for everybody else. One entry counts for a caller: its own, or else the longest that it is below of, or else
// that for everybody else.
class AllowList {
 public:
  static constexpr size_t kMaxBytes = 4 << 20;

  // INVALID_ARGUMENT: all that is wrong in the text, in its order, with ";" between: "FILE:12: ..." each, at most 20.
  static absl::StatusOr<AllowList> Parse(const std::string& text, const std::string& file);

  // Null: nobody has listed it. Lives as long as the list.
  const Rules* Find(std::string_view identity) const;
  // Entries.
  size_t size() const { return named_.size() + below_.size() + (everybody_else_.has_value() ? 1 : 0); }

 private:
  friend class AllowListReader;

  std::map<std::string, Rules, std::less<>> named_;
  // By what they begin with, the slash included.
  std::map<std::string, Rules, std::less<>> below_;
  std::optional<Rules> everybody_else_;
};

}  // namespace meshgate::server::auth

#endif  // MESHGATE_SERVER_AUTH_ALLOW_LIST_H_
