#ifndef MESHGATE_CONSUL_EMBEDDED_CATALOG_H_
#define MESHGATE_CONSUL_EMBEDDED_CATALOG_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "consul/embedded/tombstones.h"
#include "consul/types.h"

namespace meshgate::consul::embedded {

// Where every instance runs.
struct NodeInfo {
  std::string name;
  std::string address;
  std::string datacenter;
};

struct CheckStatus {
  Health health = Health::kCritical;
  // What the probe or the report said, for humans.
  std::string output;
};

// A registered instance with the state of its checks. Immutable and shared; a status that changes makes a new one, with
// the same registration.
struct InstanceRecord {
  std::shared_ptr<const Registration> registration;
  // As many as the registration has, in its order.
  std::vector<CheckStatus> checks;
  uint64_t create_index = 0;
  // Of the registration, not of its checks.
  uint64_t modify_index = 0;
};
using SharedRecord = std::shared_ptr<const InstanceRecord>;

// The worst of the checks; passing where there are none.
Health HealthOf(const InstanceRecord& record);

// Whether a reader sees the same instance, its checks aside.
bool SameInstance(const Registration& a, const Registration& b);
bool SameChecks(const Registration& a, const Registration& b);

// The position of the TTL check, or -1.
int TtlPosition(const Registration& registration);

// The services of this node and Consul's rules of their indexes. Thread-compatible.
class Catalog {
 public:
  // Adds an instance, or replaces the one with its id, which has the same service. `index` is above every index so far.
  void Put(SharedRecord record, uint64_t index);
  // Removes an instance that exists.
  void Erase(const std::string& id, uint64_t index);

  // Null where there is none.
  SharedRecord Find(const std::string& id) const;
  // In byte order of their ids.
  std::vector<SharedRecord> FindService(const std::string& service) const;
  std::vector<ServiceSummary> Summaries() const;
  std::vector<SharedRecord> All() const;

  // The index that a read of a service answers with: the latest change of its instances and checks, and where there
  // are none that of all services. At least 1.
  uint64_t ServiceIndex(const std::string& service) const;
  // Whether a reader at `index` misses something. Unlike Consul's, readers of a missing service don't return for other
  // services.
  bool ServiceChangedSince(const std::string& service, uint64_t index) const;

  // Of Summaries(): moves only when a name or a tag comes or goes. At least 1.
  uint64_t summaries_index() const { return std::max<uint64_t>(1, summaries_index_); }

  // Used while loading: the index of a service whose instances, if any, are all there.
  void RestoreServiceIndex(const std::string& service, uint64_t index);

  // Of services without instances.
  const Tombstones& tombstones() const { return tombstones_; }
  Tombstones& tombstones() { return tombstones_; }
  void ReapTo(uint64_t floor);

 private:
  struct Service {
    std::map<std::string, SharedRecord> instances;
    // How many instances have each tag.
    std::map<std::string, int> tags;
    uint64_t index = 0;
  };

  // Return whether the summary of the service changed.
  static bool AddTags(Service& service, const Registration& registration);
  static bool RemoveTags(Service& service, const Registration& registration);
  uint64_t index() const;

  // Those with instances.
  std::map<std::string, Service> services_;
  std::unordered_map<std::string, SharedRecord> by_id_;
  Tombstones tombstones_;
  uint64_t latest_ = 0;
  uint64_t summaries_index_ = 0;
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_CATALOG_H_
