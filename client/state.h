// The local copy of a watched target, kept by the rules of WatchConfigResponse and WatchServiceResponse.
#ifndef MESHGATE_CLIENT_STATE_H_
#define MESHGATE_CLIENT_STATE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "meshgate/v1/config_service.pb.h"
#include "meshgate/v1/registry_service.pb.h"

namespace meshgate::client {

// A key or a prefix.
struct ConfigTraits {
  using Request = v1::WatchConfigRequest;
  using Response = v1::WatchConfigResponse;
  using Event = v1::ConfigEvent;
  using Item = v1::ConfigEntry;
  using Key = std::string;
};

// The instances of a service.
struct ServiceTraits {
  using Request = v1::WatchServiceRequest;
  using Response = v1::WatchServiceResponse;
  using Event = v1::ServiceEvent;
  using Item = v1::DiscoveredInstance;
  // Node and id: an id is unique per node alone.
  using Key = std::pair<std::string, std::string>;
};

// Applies responses in the order in which they arrive. It outlives streams: what a new stream's snapshot changes is
// told as differences, so a reader sees neither the reconnection nor a gap. Not thread-safe.
template <typename Traits>
class WatchedState {
 public:
  using Key = typename Traits::Key;
  using Item = typename Traits::Item;
  using Event = typename Traits::Event;
  using Response = typename Traits::Response;

  // A stream begins. `resumed`: it was opened with a resume token, so it may begin with changes; otherwise changes
  // before the first snapshot break the contract.
  void BeginStream(bool resumed) { may_change_ = resumed; }

  // What the response changed in this copy: for a snapshot the differences to what was held. Fails with INTERNAL, and
  // changes nothing, when the response breaks the contract.
  absl::StatusOr<std::vector<Event>> Apply(const Response& response);

  // False until the first snapshot: nothing is known, which is not the same as nothing being there.
  bool known() const { return known_; }
  // Whether the gateway has lost Consul: the state is the last one known.
  bool stale() const { return stale_; }
  uint64_t index() const { return index_; }
  // To resume behind what was applied; empty where the gateway gave none.
  const std::string& resume_token() const { return resume_token_; }

  const std::map<Key, Item>& items() const { return items_; }

 private:
  std::map<Key, Item> items_;
  std::string resume_token_;
  uint64_t index_ = 0;
  bool known_ = false;
  bool stale_ = false;
  bool may_change_ = false;
};

using ConfigState = WatchedState<ConfigTraits>;
using ServiceState = WatchedState<ServiceTraits>;

extern template class WatchedState<ConfigTraits>;
extern template class WatchedState<ServiceTraits>;

}  // namespace meshgate::client

#endif  // MESHGATE_CLIENT_STATE_H_
