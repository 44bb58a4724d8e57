#include "consul/watch/encode.h"

namespace meshgate::consul {
namespace {

// Not on an arena: protobuf's own layout differs under ThreadSanitizer, and the system's library is built without it.
template <typename Response>
Response NewResponse(const MessageHead& head) {
  Response response;
  response.set_index(head.index);
  response.set_resume_token(head.resume_token);
  if (head.stale_for.has_value()) {
    const timespec ts = absl::ToTimespec(*head.stale_for);
    response.set_stale(true);
    response.mutable_stale_for()->set_seconds(ts.tv_sec);
    response.mutable_stale_for()->set_nanos(static_cast<int32_t>(ts.tv_nsec));
  }
  return response;
}

void AddPut(const KvEntry& entry, v1::WatchConfigResponse* response) {
  auto* event = response->add_events();
  event->set_type(v1::ConfigEvent::TYPE_PUT);
  ToProto(entry, event->mutable_entry());
}

void AddPut(const Instance& instance, v1::WatchServiceResponse* response) {
  auto* event = response->add_events();
  event->set_type(v1::ServiceEvent::TYPE_PUT);
  ToProto(instance, event->mutable_instance());
}

void AddDelete(const std::string& key, v1::WatchConfigResponse* response) {
  auto* event = response->add_events();
  event->set_type(v1::ConfigEvent::TYPE_DELETE);
  event->mutable_entry()->set_key(key);
}

void AddDelete(const std::string& identity, v1::WatchServiceResponse* response) {
  const size_t split = identity.find('\0');
  auto* event = response->add_events();
  event->set_type(v1::ServiceEvent::TYPE_DELETE);
  event->mutable_instance()->set_node(identity.substr(0, split));
  event->mutable_instance()->mutable_instance()->set_id(identity.substr(split + 1));
}

}  // namespace

void ToProto(const KvEntry& entry, v1::ConfigEntry* out) {
  out->set_key(entry.key);
  out->set_value(entry.value);
  out->set_flags(entry.flags);
  out->set_create_index(entry.create_index);
  out->set_modify_index(entry.modify_index);
}

v1::HealthStatus ToProto(Health health) {
  switch (health) {
    case Health::kPassing:
      return v1::HEALTH_STATUS_PASSING;
    case Health::kWarning:
      return v1::HEALTH_STATUS_WARNING;
    case Health::kCritical:
      return v1::HEALTH_STATUS_CRITICAL;
    case Health::kMaintenance:
      return v1::HEALTH_STATUS_MAINTENANCE;
  }
  return v1::HEALTH_STATUS_UNSPECIFIED;
}

void ToProto(const Instance& instance, v1::DiscoveredInstance* out) {
  auto* i = out->mutable_instance();
  i->set_id(instance.id);
  i->set_service(instance.service);
  i->set_address(instance.address);
  i->set_port(instance.port);
  for (const std::string& tag : instance.tags) i->add_tags(tag);
  for (const auto& [key, value] : instance.meta) (*i->mutable_meta())[key] = value;
  i->mutable_weights()->set_passing(instance.weight_passing);
  i->mutable_weights()->set_warning(instance.weight_warning);
  out->set_status(ToProto(instance.health));
  out->set_node(instance.node);
  out->set_datacenter(instance.datacenter);
  out->set_modify_index(instance.modify_index);
}

std::string EncodeSnapshot(TargetKind kind, const MessageHead& head, const State& state) {
  if (kind == TargetKind::kService) {
    auto response = NewResponse<v1::WatchServiceResponse>(head);
    response.set_snapshot(true);
    for (const Instance& instance : state.instances) AddPut(instance, &response);
    return response.SerializeAsString();
  }
  auto response = NewResponse<v1::WatchConfigResponse>(head);
  response.set_snapshot(true);
  for (const KvEntry& entry : state.entries) AddPut(entry, &response);
  return response.SerializeAsString();
}

std::string EncodeChanges(TargetKind kind, const MessageHead& head, const std::vector<Change>& changes,
                          const State& state) {
  if (kind == TargetKind::kService) {
    auto response = NewResponse<v1::WatchServiceResponse>(head);
    for (const Change& change : changes) {
      if (change.exists_now) {
        AddPut(*FindInstance(state, change.identity), &response);
      } else {
        AddDelete(change.identity, &response);
      }
    }
    return response.SerializeAsString();
  }
  auto response = NewResponse<v1::WatchConfigResponse>(head);
  for (const Change& change : changes) {
    if (change.exists_now) {
      AddPut(*FindEntry(state, change.identity), &response);
    } else {
      AddDelete(change.identity, &response);
    }
  }
  return response.SerializeAsString();
}

std::string EncodeNoChange(TargetKind kind, const MessageHead& head) {
  if (kind == TargetKind::kService) {
    return NewResponse<v1::WatchServiceResponse>(head).SerializeAsString();
  }
  return NewResponse<v1::WatchConfigResponse>(head).SerializeAsString();
}

}  // namespace meshgate::consul
