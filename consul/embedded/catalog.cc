#include "consul/embedded/catalog.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace meshgate::consul::embedded {
namespace {

bool SameProbe(const HttpProbe& a, const HttpProbe& b) {
  return std::tie(a.url, a.method, a.headers, a.tls_skip_verify) ==
         std::tie(b.url, b.method, b.headers, b.tls_skip_verify);
}
bool SameProbe(const TcpProbe& a, const TcpProbe& b) { return a.address == b.address; }
bool SameProbe(const GrpcProbe& a, const GrpcProbe& b) { return a.target == b.target && a.use_tls == b.use_tls; }
bool SameProbe(const TtlProbe& a, const TtlProbe& b) { return a.ttl == b.ttl; }

bool SameCheck(const CheckDefinition& a, const CheckDefinition& b) {
  if (a.probe.index() != b.probe.index()) return false;
  const bool same_probe = std::visit(
      [&b](const auto& probe) { return SameProbe(probe, std::get<std::decay_t<decltype(probe)>>(b.probe)); }, a.probe);
  return same_probe && std::tie(a.name, a.interval, a.timeout, a.deregister_critical_after, a.initial_status) ==
                           std::tie(b.name, b.interval, b.timeout, b.deregister_critical_after, b.initial_status);
}

}  // namespace

Health HealthOf(const InstanceRecord& record) {
  Health worst = Health::kPassing;
  for (const CheckStatus& check : record.checks) worst = std::max(worst, check.health);
  return worst;
}

bool SameInstance(const Registration& a, const Registration& b) {
  return std::tie(a.id, a.service, a.address, a.port, a.tags, a.meta, a.weight_passing, a.weight_warning) ==
         std::tie(b.id, b.service, b.address, b.port, b.tags, b.meta, b.weight_passing, b.weight_warning);
}

bool SameChecks(const Registration& a, const Registration& b) {
  return std::equal(a.checks.begin(), a.checks.end(), b.checks.begin(), b.checks.end(), SameCheck);
}

int TtlPosition(const Registration& registration) {
  for (size_t i = 0; i < registration.checks.size(); ++i) {
    if (std::holds_alternative<TtlProbe>(registration.checks[i].probe)) return static_cast<int>(i);
  }
  return -1;
}

void Catalog::Put(SharedRecord record, uint64_t index) {
  const Registration& registration = *record->registration;
  Service& service = services_[registration.service];
  bool summary_changed = service.instances.empty();
  tombstones_.Remove(registration.service);
  SharedRecord& slot = service.instances[registration.id];
  // Added before the old ones go, so that a tag that stays is not seen to leave. Only the registration has tags.
  if (!slot || slot->registration != record->registration) {
    summary_changed |= AddTags(service, registration);
    if (slot) summary_changed |= RemoveTags(service, *slot->registration);
  }
  slot = record;
  by_id_[registration.id] = std::move(record);
  service.index = std::max(service.index, index);
  latest_ = std::max(latest_, index);
  if (summary_changed) summaries_index_ = index;
}

void Catalog::Erase(const std::string& id, uint64_t index) {
  auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  const SharedRecord record = std::move(found->second);
  by_id_.erase(found);
  const std::string& name = record->registration->service;
  Service& service = services_[name];
  bool summary_changed = RemoveTags(service, *record->registration);
  service.instances.erase(id);
  service.index = index;
  latest_ = std::max(latest_, index);
  if (service.instances.empty()) {
    services_.erase(name);
    tombstones_.Add(name, index);
    summary_changed = true;
  }
  if (summary_changed) summaries_index_ = index;
}

SharedRecord Catalog::Find(const std::string& id) const {
  auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

std::vector<SharedRecord> Catalog::FindService(const std::string& service) const {
  std::vector<SharedRecord> found;
  auto it = services_.find(service);
  if (it == services_.end()) return found;
  found.reserve(it->second.instances.size());
  for (const auto& [id, record] : it->second.instances) found.push_back(record);
  return found;
}

std::vector<ServiceSummary> Catalog::Summaries() const {
  std::vector<ServiceSummary> summaries;
  summaries.reserve(services_.size());
  for (const auto& [name, service] : services_) {
    ServiceSummary& summary = summaries.emplace_back();
    summary.name = name;
    for (const auto& [tag, count] : service.tags) summary.tags.push_back(tag);
  }
  return summaries;
}

std::vector<SharedRecord> Catalog::All() const {
  std::vector<SharedRecord> all;
  all.reserve(by_id_.size());
  for (const auto& [id, record] : by_id_) all.push_back(record);
  return all;
}

uint64_t Catalog::ServiceIndex(const std::string& service) const {
  auto it = services_.find(service);
  return it == services_.end() ? index() : it->second.index;
}

bool Catalog::ServiceChangedSince(const std::string& service, uint64_t index) const {
  auto it = services_.find(service);
  if (it != services_.end()) return it->second.index > index;
  return std::max(tombstones_.Find(service), tombstones_.floor()) > index;
}

void Catalog::RestoreServiceIndex(const std::string& service, uint64_t index) {
  auto it = services_.find(service);
  if (it != services_.end()) {
    it->second.index = index;
  } else {
    tombstones_.Add(service, index);
  }
  latest_ = std::max(latest_, index);
  // A name or tag never changed later than the service that has it.
  summaries_index_ = std::max(summaries_index_, index);
}

void Catalog::ReapTo(uint64_t floor) {
  tombstones_.ReapTo(floor);
  summaries_index_ = std::max(summaries_index_, floor);
}

bool Catalog::AddTags(Service& service, const Registration& registration) {
  bool changed = false;
  for (const std::string& tag : registration.tags) changed |= ++service.tags[tag] == 1;
  return changed;
}

bool Catalog::RemoveTags(Service& service, const Registration& registration) {
  bool changed = false;
  for (const std::string& tag : registration.tags) {
    auto it = service.tags.find(tag);
    if (it != service.tags.end() && --it->second == 0) {
      service.tags.erase(it);
      changed = true;
    }
  }
  return changed;
}

uint64_t Catalog::index() const { return std::max<uint64_t>({1, latest_, tombstones_.max_index()}); }

}  // namespace meshgate::consul::embedded
