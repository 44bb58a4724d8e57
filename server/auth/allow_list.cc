#include "server/auth/allow_list.h"

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "consul/base/strings.h"

namespace meshgate::server::auth {
namespace {

bool BeginsWith(std::string_view text, std::string_view prefix) {
  return absl::StartsWith(ToAbsl(text), ToAbsl(prefix));
}

}  // namespace

bool NameSet::HasAllBelow(std::string_view prefix) const {
  // What begins it sorts before it, and not always next to it. Lists are short, and names of bounded length.
  for (size_t length = 0; length <= prefix.size(); ++length) {
    if (prefixes_.find(prefix.substr(0, length)) != prefixes_.end()) return true;
  }
  return false;
}

bool NameSet::Has(std::string_view name) const { return names_.find(name) != names_.end() || HasAllBelow(name); }

bool NameSet::HasSomeBelow(std::string_view prefix) const {
  if (HasAllBelow(prefix)) return true;
  for (const auto* names : {&names_, &prefixes_}) {
    const auto first = names->lower_bound(prefix);
    if (first != names->end() && BeginsWith(*first, prefix)) return true;
  }
  return false;
}

const Rules* AllowList::Find(std::string_view identity) const {
  const auto named = named_.find(identity);
  if (named != named_.end()) return &named->second;
  for (size_t slash = identity.rfind('/'); slash != std::string_view::npos && slash > 0;
       slash = identity.rfind('/', slash - 1)) {
    const auto below = below_.find(identity.substr(0, slash + 1));
    if (below != below_.end()) return &below->second;
  }
  return everybody_else_.has_value() ? &*everybody_else_ : nullptr;
}

}  // namespace meshgate::server::auth
