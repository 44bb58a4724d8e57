#ifndef MESHGATE_CONSUL_HTTP_CONSUL_BACKEND_H_
#define MESHGATE_CONSUL_HTTP_CONSUL_BACKEND_H_

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "consul/base/scheduler.h"
#include "consul/http/calls.h"
#include "consul/http/paths.h"
#include "consul/instance_directory.h"
#include "consul/relay.h"
#include "consul/reporter.h"

namespace meshgate::consul::http {

struct ConsulBackendOptions {
  // "http://host:port" or "https://host:port"; without a scheme it is http. Nothing may follow the port. Several, with
  // commas: the first one that works is used, until it is away.
  std::string address = "http://127.0.0.1:8500";
  // Sent with every request, in a header; never logged. Empty: none.
  std::string token;
  // PEM files. Empty: the system's authorities; no client certificate. With https only.
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  // False accepts any certificate: for trying things out.
  bool verify_tls = true;
  // Of Consul's 200 per client; at least 3. A fifth of them, at most 32, is kept for calls that don't wait: half of
  // these for the backend's own and half for what is relayed. There is one more for a moment while it is in doubt
  // whether the agent is there.
  int max_connections = 160;
  absl::Duration connect_timeout = absl::Seconds(5);
  size_t max_answer_bytes = size_t{512} << 20;
  // Called where an agent is too old to be told that HTTP checks must not follow redirects, with the instance's id,
  // before it is registered without. From the backend's thread: must be quick.
  std::function<void(std::string_view id)> on_redirects_followed;
};

// A Backend over the HTTP API of one Consul agent or server: 1.8 and later.
//
// Reads that block take HTTP/1.1 connections for as long as they wait (with TLS, 250 share one); beyond the share that
// watches may use they queue, and the queue counts towards their deadline. Keeping the number of targets below that is
// the caller's task, who asks MaxBlockingQueries().
//
// While the agent is away calls fail at once, with UNAVAILABLE (CONSUL_UNAVAILABLE), and it is asked for a sign of life
// every half second at most (consul/resilience/circuit_breaker.h); patient reads wait for its return. Where another
// address was given, that agent is used from then on. It may know nothing of instances that were registered with the
// first one: a heartbeat to it is NOT_FOUND then, and the instance has to be registered again. Without a leader, an
// agent still registers, takes heartbeats and serves stale reads.
//
// Heartbeats are one request for instances that were registered here; for those of other tools their checks are looked
// up each time. Deregister() looks first, because Consul's answer to an unknown id differs by version.
//
// What is relayed has connections of its own, never shared (HTTP/1.1 also with TLS), as a reader may keep one for as
// long as it likes. Those that wait on purpose may take half of them; one more is RESOURCE_EXHAUSTED
// (CONSUL_OVERLOADED). OnEnd() of a call that was cancelled, or refused before anything was sent, comes from the
// Scheduler; all else comes from the curl loop's thread.
class ConsulBackend final : public Backend, public InstanceDirectory, public Relay {
 public:
  // INVALID_ARGUMENT when an option can't be used. `scheduler` and `reporter` outlive the backend; `scheduler` runs
  // until Shutdown() has returned. Does not connect.
  static absl::StatusOr<std::unique_ptr<ConsulBackend>> Create(const ConsulBackendOptions& options,
                                                               Scheduler* scheduler, BackendReporter* reporter);

  // Same as Shutdown().
  ~ConsulBackend() override;

  void Shutdown() override;

  int MaxBlockingQueries() const override { return calls_.limit(Pool::kWatch); }

  CallHandle ReadKey(const std::string& key, const ReadOptions& options,
                     Callback<Answer<std::vector<KvEntry>>> done) override;
  CallHandle ReadPrefix(const std::string& prefix, const ReadOptions& options,
                        Callback<Answer<std::vector<KvEntry>>> done) override;
  CallHandle ReadService(const std::string& service, const std::string& filter, const std::string& near,
                         const ReadOptions& options, Callback<Answer<std::vector<Instance>>> done) override;
  CallHandle ReadCatalog(const ReadOptions& options, Callback<Answer<std::vector<ServiceSummary>>> done) override;

  CallHandle ReadQuery(const std::string& query, const ReadOptions& options,
                       Callback<Answer<QueryAnswer>> done) override;

  CallHandle ConfirmKeysGone(const std::vector<std::string>& keys, const ReadOptions& options,
                             Callback<std::vector<Presence>> done) override;
  CallHandle ConfirmInstancesGone(const std::string& service, const std::vector<InstanceName>& instances,
                                  const ReadOptions& options, Callback<std::vector<Presence>> done) override;

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

  CallHandle CheckHealth(absl::Duration timeout, Callback<BackendHealth> done) override;

  std::shared_ptr<RelayCall> Send(RelayRequest request, std::shared_ptr<RelaySink> sink) override;

 private:
  ConsulBackend(CurlLoopOptions options, std::function<void(std::string_view)> on_redirects_followed,
                Scheduler* scheduler, BackendReporter* reporter);

  // One GET of `target`, with what `options` add to it, parsed by `parse` (StatusOr<T>(std::string body)). An answer
  // without entries, a 404, is an empty T.
  template <typename T, typename Parse>
  CallHandle Read(Endpoint endpoint, Target target, const ReadOptions& options, Parse parse, Callback<Answer<T>> done);

  CallHandle PutWithTxn(std::string body, const KvEntry& entry, bool compares, const WriteOptions& options,
                        Callback<KvEntry> done);
  // Asks about what `search` has not found out yet, until it knows all.
  template <typename Search>
  void Confirm(std::shared_ptr<Search> search);

  // Steps of Authorize().
  struct Authorizing;
  void AskNext(std::shared_ptr<Authorizing> state);
  void AskAboutKeys(std::shared_ptr<Authorizing> state);
  void AskAboutOthers(std::shared_ptr<Authorizing> state);
  void ReadInstead(std::shared_ptr<Authorizing> state);

  // For values that are too large for a transaction.
  CallHandle PutPlain(const KvEntry& entry, std::optional<uint64_t> if_modify_index, const WriteOptions& options,
                      Callback<KvEntry> done);

  // One step of a call that changes something.
  void SendWrite(const ActiveCallHandle& call, Endpoint endpoint, Request request, DoneCallback done);
  // Steps of Heartbeat().
  void FindTtlChecks(const ActiveCallHandle& call, const std::string& id, const std::string& body, DoneCallback done);
  void UpdateChecks(const ActiveCallHandle& call, std::vector<std::string> check_ids, const std::string& body,
                    DoneCallback done);

  std::shared_ptr<RelayCall> RefuseRelayed(absl::Status status, std::shared_ptr<RelaySink> sink);

  const std::function<void(std::string_view)> on_redirects_followed_;
  // Relayed requests under way that wait on purpose.
  std::atomic<int> waiting_{0};
  Calls calls_;
};

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_CONSUL_BACKEND_H_
