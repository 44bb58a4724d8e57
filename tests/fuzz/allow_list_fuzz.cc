// An allow-list that somebody else may have written, or a part of one.
#include <string>

#include "server/auth/allow_list.h"
#include "tests/fuzz/input.h"

namespace {

// Whatever it says, it says the same of a name however that is asked for.
void Check(const meshgate::server::auth::NameSet& names) {
  for (const std::string name : {"", "a", "a/", "a/b", "config/web/state"}) {
    if (names.HasAllBelow(name)) MESHGATE_FUZZ_CHECK(names.Has(name) && names.HasSomeBelow(name));
    if (names.Has(name)) MESHGATE_FUZZ_CHECK(names.HasSomeBelow(name) && !names.empty());
  }
  MESHGATE_FUZZ_CHECK(names.HasSomeBelow("") == !names.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using meshgate::server::auth::AllowList;
  const auto list = AllowList::Parse(std::string(reinterpret_cast<const char*>(data), size), "list.yaml");
  if (!list.ok()) {
    const auto message = list.status().message();
    MESHGATE_FUZZ_CHECK(message.substr(0, 10) == "list.yaml:");
    return 0;
  }
  MESHGATE_FUZZ_CHECK(list->size() > 0);
  for (const char* identity : {"a", "spiffe://a", "spiffe://a/b", "spiffe://a/b/c"}) {
    const auto* const rules = list->Find(identity);
    if (rules == nullptr) continue;
    for (const auto* names :
         {&rules->read_keys, &rules->read_services, &rules->write_keys, &rules->register_services}) {
      Check(*names);
    }
  }
  return 0;
}
