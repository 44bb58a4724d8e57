#include "client/state.h"

#include "google/protobuf/util/message_differencer.h"

namespace meshgate::client {
namespace {

const v1::ConfigEntry& ItemOf(const v1::ConfigEvent& event) { return event.entry(); }
const v1::DiscoveredInstance& ItemOf(const v1::ServiceEvent& event) { return event.instance(); }

std::string KeyOf(const v1::ConfigEntry& entry) { return entry.key(); }
std::pair<std::string, std::string> KeyOf(const v1::DiscoveredInstance& item) {
  return {item.node(), item.instance().id()};
}

v1::ConfigEvent DeleteEvent(const v1::ConfigEntry& entry) {
  v1::ConfigEvent event;
  event.set_type(v1::ConfigEvent::TYPE_DELETE);
  event.mutable_entry()->set_key(entry.key());
  return event;
}

v1::ServiceEvent DeleteEvent(const v1::DiscoveredInstance& item) {
  v1::ServiceEvent event;
  event.set_type(v1::ServiceEvent::TYPE_DELETE);
  event.mutable_instance()->set_node(item.node());
  event.mutable_instance()->mutable_instance()->set_id(item.instance().id());
  return event;
}

template <typename Event>
absl::Status CheckTypes(bool snapshot, const google::protobuf::RepeatedPtrField<Event>& events) {
  for (const Event& event : events) {
    if (event.type() == Event::TYPE_PUT) continue;
    if (event.type() == Event::TYPE_DELETE && !snapshot) continue;
    return absl::InternalError(snapshot ? "the gateway sent a snapshot with something else than PUT events"
                                        : "the gateway sent an event of a type that this client does not know");
  }
  return absl::OkStatus();
}

}  // namespace

template <typename Traits>
absl::StatusOr<std::vector<typename Traits::Event>> WatchedState<Traits>::Apply(const Response& response) {
  if (absl::Status types = CheckTypes(response.snapshot(), response.events()); !types.ok()) return types;
  // A first response without events is how a gateway says that it has lost Consul and knows nothing yet.
  if (!response.snapshot() && !may_change_ && response.events_size() > 0) {
    return absl::InternalError("the gateway sent changes before a snapshot");
  }

  std::vector<Event> changes;
  if (response.snapshot()) {
    std::map<Key, Item> next;
    for (const Event& event : response.events()) next[KeyOf(ItemOf(event))] = ItemOf(event);
    for (const auto& [key, item] : items_) {
      if (next.count(key) == 0) changes.push_back(DeleteEvent(item));
    }
    for (const Event& event : response.events()) {
      const auto held = items_.find(KeyOf(ItemOf(event)));
      if (held == items_.end() || !google::protobuf::util::MessageDifferencer::Equals(held->second, ItemOf(event))) {
        changes.push_back(event);
      }
    }
    items_ = std::move(next);
    known_ = true;
    may_change_ = true;
  } else {
    for (const Event& event : response.events()) {
      if (event.type() == Event::TYPE_DELETE) {
        items_.erase(KeyOf(ItemOf(event)));
      } else {
        items_[KeyOf(ItemOf(event))] = ItemOf(event);
      }
      changes.push_back(event);
    }
  }
  stale_ = response.stale();
  index_ = response.index();
  // Without one the last token still stands: what has changed since then includes this.
  if (!response.resume_token().empty()) resume_token_ = response.resume_token();
  return changes;
}

template class WatchedState<ConfigTraits>;
template class WatchedState<ServiceTraits>;

}  // namespace meshgate::client
