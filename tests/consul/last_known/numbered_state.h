#ifndef MESHGATE_TESTS_CONSUL_LAST_KNOWN_NUMBERED_STATE_H_
#define MESHGATE_TESTS_CONSUL_LAST_KNOWN_NUMBERED_STATE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/watch/state.h"
#include "consul/watch/target.h"

namespace meshgate::consul {

// The target of each kind that the tests save.
inline std::vector<Target> NumberedTargets() {
  return {{TargetKind::kKey, "cfg/one", "", ""},
          {TargetKind::kPrefix, "cfg/", "dc2", ""},
          {TargetKind::kService, "web", "", "\"a\" in Service.Tags"},
          {TargetKind::kCatalog, "", "", ""}};
}

// The `n`-th state of a target. All of it follows from `n`, so that a mixture of two can be told from either; some
// values fill many pages of a database, and every field differs from its default.
inline SharedState NumberedState(TargetKind kind, uint64_t n) {
  auto state = std::make_shared<State>();
  const std::string text = absl::StrCat("state ", n);
  const size_t count = 1 + n * 7 % 40;
  switch (kind) {
    case TargetKind::kKey:
      state->entries.push_back({"cfg/one", std::string(n % 5 == 0 ? 20000 : 20, static_cast<char>(n)), n, 1, n});
      break;
    case TargetKind::kPrefix:
      for (size_t i = 0; i < count; ++i) {
        // Some entries stay the same from state to state.
        const uint64_t version = i % 3 == 0 ? 1 : n;
        state->entries.push_back({absl::StrCat("cfg/", 100 + i), absl::StrCat("v", version), version, 1, version});
      }
      break;
    case TargetKind::kService:
      for (size_t i = 0; i < count; ++i) {
        Instance instance;
        instance.id = absl::StrCat("web-", 100 + i);
        instance.service = "web";
        instance.address = "10.0.0.1";
        instance.port = static_cast<uint32_t>(n);
        instance.tags = {"a", text};
        instance.meta = {{"version", text}, {"zone", "\xff not UTF-8"}};
        instance.weight_passing = 3;
        instance.weight_warning = 2;
        instance.node = absl::StrCat("node-", i / 10);
        instance.datacenter = "dc1";
        instance.health = static_cast<Health>(n % 4);
        instance.create_index = 1;
        instance.modify_index = n;
        state->instances.push_back(instance);
      }
      break;
    case TargetKind::kCatalog:
      for (size_t i = 0; i < count; ++i) state->services.push_back({absl::StrCat("service-", 100 + i), {"tag", text}});
      break;
    // Kept in memory alone.
    case TargetKind::kQuery:
      break;
  }
  return state;
}

}  // namespace meshgate::consul

#endif  // MESHGATE_TESTS_CONSUL_LAST_KNOWN_NUMBERED_STATE_H_
