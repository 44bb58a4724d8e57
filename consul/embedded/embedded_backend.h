#ifndef MESHGATE_CONSUL_EMBEDDED_EMBEDDED_BACKEND_H_
#define MESHGATE_CONSUL_EMBEDDED_EMBEDDED_BACKEND_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "consul/backend.h"
#include "consul/base/scheduler.h"
#include "consul/check_allow_list.h"
#include "consul/embedded/prober.h"
#include "consul/instance_directory.h"

namespace meshgate::consul {

namespace embedded {
class Engine;
struct NodeInfo;
}  // namespace embedded

// The only datacenter there is.
inline constexpr std::string_view kEmbeddedDatacenter = "dc1";

struct EmbeddedOptions {
  // Created with mode 0700 where missing. It holds the database meshgate.db (with its write-ahead log) and
  // meshgate.lock.
  std::string data_dir;
  // Runs callbacks and timers. Outlives the backend, and runs tasks until Shutdown() has returned.
  Scheduler* scheduler = nullptr;
  // Makes the HTTP, TCP and gRPC checks: MakeProber() of consul/embedded/probers.h.
  std::unique_ptr<embedded::Prober> prober;
  // Where the checks of what is registered may lead, also of what was registered before it was narrowed: others are
  // critical. Whoever takes registrations from callers refuses them before (CheckAllowList::Validate()).
  CheckAllowList check_allow = CheckAllowList::OfThisHost();
  // Told of each such check, with its instance's id, when it is taken up: by Open() or after it is registered. Must be
  // quick.
  std::function<void(std::string_view id, std::string_view why)> on_refused_check;
  // What instances are said to run on. Empty: the host's name.
  std::string node_name;
  // The address of instances that have none.
  std::string node_address = "127.0.0.1";
  // Bounds the database, in bytes, all of which is in memory too; beyond it what adds to it fails with STORAGE_FAILED
  // until something is deleted, and deletions go on. 0: unbounded.
  uint64_t max_bytes = uint64_t{1} << 30;
  // Bounds the writes that wait for the disk, in bytes, statuses of checks with them; beyond it they fail with
  // RESOURCE_EXHAUSTED.
  uint64_t max_queued_bytes = 64 << 20;
};

// A Backend in this process, for a fleet small enough to do without a Consul of its own.
//
// Everything is in memory for reading and in SQLite for surviving. A write is answered after it has reached the disk,
// so it survives the end of the process and of the machine; writes that wait at the same time are flushed together.
// Calls never touch the disk: one thread of the backend does. When the disk fails, the write fails and memory stays as
// it was.
//
// Indexes follow Consul's rules, survive restarts and never go back. Where Consul leaves freedom:
//   - A blocking query returns only for a change of what it reads, also for missing keys, prefixes and services.
//   - An index above the store's own, which Consul holds until the wait ends, is answered at once: it comes from
//     another store, and whoever sends it takes the lower index as a sign to start over.
//   - All ReadModes are the same; `near` is accepted, and there is one node, so the order stays that of the ids.
//   - Filters are those of consul/embedded/filter.h.
//
// Instances survive a restart with the last status of their checks. HTTP, TCP and gRPC checks are then made at once,
// TTLs begin anew. `deregister_critical_after` is acted on when it has passed, without Consul's reaper in between.
// A heartbeat that reports what is known already costs no write.
class EmbeddedBackend final : public Backend, public InstanceDirectory {
 public:
  // Opens the store and reads all of it. INVALID_ARGUMENT: an option is missing. FAILED_PRECONDITION: another process
  // uses the directory, or the file is another program's or a newer version's. DATA_LOSS: the file is damaged.
  // UNAVAILABLE: the system refuses. Each says which path and what to do.
  static absl::StatusOr<std::unique_ptr<EmbeddedBackend>> Open(EmbeddedOptions options);

  // Same as Shutdown().
  ~EmbeddedBackend() override;

  void Shutdown() override;

  CallHandle ReadKey(const std::string& key, const ReadOptions& options,
                     Callback<Answer<std::vector<KvEntry>>> done) override;
  CallHandle ReadPrefix(const std::string& prefix, const ReadOptions& options,
                        Callback<Answer<std::vector<KvEntry>>> done) override;
  CallHandle ReadService(const std::string& service, const std::string& filter, const std::string& near,
                         const ReadOptions& options, Callback<Answer<std::vector<Instance>>> done) override;
  CallHandle ReadCatalog(const ReadOptions& options, Callback<Answer<std::vector<ServiceSummary>>> done) override;
  // Nothing is ever hidden here.
  CallHandle ReadQuery(const std::string& query, const ReadOptions& options,
                       Callback<Answer<QueryAnswer>> done) override;
  CallHandle ConfirmKeysGone(const std::vector<std::string>& keys, const ReadOptions& options,
                             Callback<std::vector<Presence>> done) override;
  CallHandle ConfirmInstancesGone(const std::string& service, const std::vector<InstanceName>& instances,
                                  const ReadOptions& options, Callback<std::vector<Presence>> done) override;
  // It has no access control: everything is allowed.
  CallHandle Authorize(const std::vector<Permission>& permissions, const ReadOptions& options,
                       Callback<std::vector<bool>> done) override;

  CallHandle PutKey(const KvEntry& entry, std::optional<uint64_t> if_modify_index, const WriteOptions& options,
                    Callback<KvEntry> done) override;
  CallHandle DeleteKey(const std::string& key, std::optional<uint64_t> if_modify_index, const WriteOptions& options,
                       DoneCallback done) override;
  CallHandle DeletePrefix(const std::string& prefix, const WriteOptions& options, DoneCallback done) override;
  CallHandle Commit(const std::vector<KvOperation>& operations, const WriteOptions& options,
                    Callback<std::vector<KvEntry>> done) override;
  CallHandle Register(const Registration& registration, const WriteOptions& options, DoneCallback done) override;
  CallHandle Deregister(const std::string& id, const WriteOptions& options, DoneCallback done) override;
  CallHandle Heartbeat(const std::string& id, Health health, const std::string& note, const WriteOptions& options,
                       DoneCallback done) override;
  CallHandle FindService(const std::string& id, const ReadOptions& options, Callback<std::string> done) override;
  // After a write has failed for the disk's sake, this one tries the disk again and fails as long as it does.
  CallHandle CheckHealth(absl::Duration timeout, Callback<BackendHealth> done) override;

 private:
  EmbeddedBackend(std::shared_ptr<embedded::Engine> engine, std::shared_ptr<const embedded::NodeInfo> node);

  // Calls in progress refer to it weakly, so that their handles may outlive the backend.
  const std::shared_ptr<embedded::Engine> engine_;
  const std::shared_ptr<const embedded::NodeInfo> node_;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_EMBEDDED_EMBEDDED_BACKEND_H_
