#ifndef MESHGATE_TESTS_FAULT_WRITERS_H_
#define MESHGATE_TESTS_FAULT_WRITERS_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "meshgate/v1/registry_service.grpc.pb.h"
#include "tests/fault/consul_client.h"
#include "tests/fault/history.h"

namespace meshgate::fault {

// How long a write may take before its outcome is open.
constexpr absl::Duration kWriteTimeout = absl::Seconds(2);

// Counts the versions of one writer. Names with one writer have just that one's versions.
class Versions {
 public:
  explicit Versions(int writer) : writer_(writer) {}
  int writer() const { return writer_; }
  Numbered Next(const std::string& name) { return {++latest_[name], writer_}; }
  // Beyond a version that another writer is known to have used.
  Numbered After(const std::string& name, uint64_t version) {
    latest_[name] = std::max(latest_[name], version);
    return Next(name);
  }

 private:
  const int writer_;
  std::map<std::string, uint64_t> latest_;
};

// Writes at an agent, behind the gateway's back, and notes it. One thread at a time.
class AgentWriter {
 public:
  AgentWriter(History* history, int writer, const std::string& agent_url)
      : history_(history), versions_(writer), consul_(agent_url, kWriteTimeout) {}

  // Each returns what was noted. `value`, where given, gets what was written.
  Outcome Put(const std::string& key, size_t size = 0, Numbered* value = nullptr);
  Outcome Delete(const std::string& key);
  // In one transaction, the same value under each.
  Outcome PutAll(const std::vector<std::string>& keys);
  Outcome DeleteAll(const std::vector<std::string>& keys);
  // An instance of the service that its id begins with, up to the last '-'. With a TTL check that does not run out.
  Outcome Register(const std::string& id, bool passing);
  Outcome Deregister(const std::string& id);
  // Not a numbered write: health is compared in the end, its history is not judged.
  void SetHealth(const std::string& id, bool passing);

  ConsulClient& consul() { return consul_; }

 private:
  Outcome Note(Write write, const std::string& method, const std::string& target, const std::string& body);

  History* const history_;
  Versions versions_;
  ConsulClient consul_;
};

// Writes through a gateway. One thread at a time.
class GatewayWriter {
 public:
  GatewayWriter(History* history, int writer, const std::string& address);

  Outcome Put(const std::string& key, size_t size = 0);
  Outcome Delete(const std::string& key);
  // Reads the key from Consul and writes the next version, if nobody else has meanwhile.
  Outcome Increment(const std::string& key);
  Outcome Register(const std::string& id, bool passing);
  Outcome Deregister(const std::string& id);

 private:
  // `applied` is what the gateway's answer says.
  Outcome Send(const std::string& key, const Numbered& value, size_t size, std::optional<uint64_t> if_modify_index);

  History* const history_;
  Versions versions_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::ConfigService::Stub> config_;
  const std::unique_ptr<v1::RegistryService::Stub> registry_;
};

}  // namespace meshgate::fault

#endif  // MESHGATE_TESTS_FAULT_WRITERS_H_
