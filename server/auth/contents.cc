#include "server/auth/contents.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <utility>

#include "meshgate/v1/config_service.pb.h"
#include "meshgate/v1/registry_service.pb.h"

namespace meshgate::server::auth {
namespace {

template <typename Response>
Response Parse(const consul::Message& message) {
  Response response;
  if (!response.ParseFromString(message.bytes)) {
    std::fprintf(stderr, "meshgate: the hub's own message does not parse\n");
    std::abort();
  }
  return response;
}

const std::string& NameOf(const v1::ConfigEvent& event) { return event.entry().key(); }
const std::string& NameOf(const v1::ServiceEvent& event) { return event.instance().node(); }
uint64_t IndexOf(const v1::ConfigEvent& event, uint64_t /*of_all*/) { return event.entry().modify_index(); }
uint64_t IndexOf(const v1::ServiceEvent& /*event*/, uint64_t of_all) { return of_all; }

template <typename Response>
Contents Look(const Response& response) {
  std::map<std::string, Part> parts;
  for (const auto& event : response.events()) {
    auto [part, fresh] = parts.try_emplace(NameOf(event));
    const bool gone = event.type() == std::decay_t<decltype(event)>::TYPE_DELETE;
    part->second.index = std::max(part->second.index, IndexOf(event, response.index()));
    part->second.gone = gone && (fresh || part->second.gone);
  }
  Contents contents;
  for (auto& [name, part] : parts) {
    part.name = name;
    contents.parts.push_back(std::move(part));
  }
  contents.snapshot = response.snapshot();
  contents.stale = response.stale();
  contents.index = response.index();
  contents.known = contents.snapshot || !response.resume_token().empty();
  return contents;
}

template <typename Response>
std::string Strip(Response response, absl::FunctionRef<bool(const std::string&)> allowed) {
  auto* events = response.mutable_events();
  events->erase(
      std::remove_if(events->begin(), events->end(), [&](const auto& event) { return !allowed(NameOf(event)); }),
      events->end());
  response.clear_resume_token();
  return response.SerializeAsString();
}

}  // namespace

Contents ContentsOf(consul::TargetKind kind, const consul::Message& message) {
  if (kind == consul::TargetKind::kService) return Look(Parse<v1::WatchServiceResponse>(message));
  return Look(Parse<v1::WatchConfigResponse>(message));
}

std::vector<Part> PartsOf(consul::TargetKind kind, const consul::State& state, uint64_t index) {
  std::vector<Part> parts;
  switch (kind) {
    case consul::TargetKind::kKey:
    case consul::TargetKind::kPrefix:
      for (const consul::KvEntry& entry : state.entries) parts.push_back({entry.key, entry.modify_index});
      break;
    case consul::TargetKind::kService:
      // Sorted by node.
      for (const consul::Instance& instance : state.instances) {
        if (parts.empty() || parts.back().name != instance.node) parts.push_back({instance.node, index});
      }
      break;
    case consul::TargetKind::kCatalog:
      for (const consul::ServiceSummary& service : state.services) parts.push_back({service.name, index});
      break;
    case consul::TargetKind::kQuery:
      break;
  }
  return parts;
}

consul::SharedMessage WithoutHidden(consul::TargetKind kind, const consul::Message& message,
                                    absl::FunctionRef<bool(const std::string& name)> allowed) {
  auto out = std::make_shared<consul::Message>();
  out->received = message.received;
  out->bytes = kind == consul::TargetKind::kService ? Strip(Parse<v1::WatchServiceResponse>(message), allowed)
                                                    : Strip(Parse<v1::WatchConfigResponse>(message), allowed);
  return out;
}

}  // namespace meshgate::server::auth
