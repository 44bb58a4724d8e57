// The contract of consul/backend.h as tests. Whatever claims to be a Backend is held to all of them.
//
// To hold another one to it, link //tests/integration:backend_conformance (and :backend_probe_conformance, which links
// gRPC) into a cc_test that says
//
//   INSTANTIATE_TEST_SUITE_P(Mine, BackendConformance, ::testing::Values(BackendFactory{"Mine", [] { return ...; }}),
//                            ConformanceName);
//
// and the same for BackendProbeConformance. Both live in meshgate::consul.
#ifndef MESHGATE_TESTS_INTEGRATION_BACKEND_CONFORMANCE_H_
#define MESHGATE_TESTS_INTEGRATION_BACKEND_CONFORMANCE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "consul/backend.h"
#include "tests/testing/pending.h"

namespace meshgate::consul {

// One backend with what it needs to run. Made for one test and destroyed after it.
class BackendUnderTest {
 public:
  virtual ~BackendUnderTest() = default;
  // On a scheduler with at least two threads. The store behind it may be shared with other tests of the process, one
  // after the other: tests use names of their own and leave other entries alone.
  virtual Backend& backend() = 0;
  // How much later than due the result of a probe, or an expired TTL, may be seen by a reader.
  virtual absl::Duration probe_slack() const { return absl::Seconds(5); }
};

struct BackendFactory {
  std::string name;
  std::function<std::unique_ptr<BackendUnderTest>()> make;
};

inline std::ostream& operator<<(std::ostream& out, const BackendFactory& factory) { return out << factory.name; }

inline std::string ConformanceName(const ::testing::TestParamInfo<BackendFactory>& info) { return info.param.name; }

using Entries = std::vector<KvEntry>;
using Instances = std::vector<Instance>;
using Services = std::vector<ServiceSummary>;

// Longer than anything that works takes; a call that needs more has failed.
inline constexpr absl::Duration kBound = absl::Seconds(60);

// The calls of a Backend as functions that wait, and a few steps that many tests share.
class BackendTest : public ::testing::TestWithParam<BackendFactory> {
 protected:
  void SetUp() override;
  void TearDown() override;

  Backend& backend() { return under_test_->backend(); }
  BackendUnderTest& under_test() { return *under_test_; }

  // A name that no other test of this process has used: letters, digits and '-'.
  static std::string Unique(const std::string& stem);

  absl::StatusOr<Answer<Entries>> ReadKey(const std::string& key, const ReadOptions& options = {});
  absl::StatusOr<Answer<Entries>> ReadPrefix(const std::string& prefix, const ReadOptions& options = {});
  absl::StatusOr<Answer<Instances>> ReadService(const std::string& service, const ReadOptions& options = {},
                                                const std::string& filter = "", const std::string& near = "");
  absl::StatusOr<Answer<Services>> ReadCatalog(const ReadOptions& options = {});
  absl::StatusOr<KvEntry> Put(const std::string& key, const std::string& value, uint64_t flags = 0,
                              std::optional<uint64_t> if_modify_index = std::nullopt);
  absl::Status Delete(const std::string& key, std::optional<uint64_t> if_modify_index = std::nullopt);
  absl::Status DeletePrefix(const std::string& prefix);
  absl::StatusOr<Entries> Commit(const std::vector<KvOperation>& operations, const WriteOptions& options = {});
  absl::StatusOr<std::vector<Presence>> ConfirmKeysGone(const std::vector<std::string>& keys,
                                                        const ReadOptions& options = {});
  absl::StatusOr<std::vector<Presence>> ConfirmInstancesGone(const std::string& service,
                                                             const std::vector<InstanceName>& instances,
                                                             const ReadOptions& options = {});
  absl::Status Register(const Registration& registration);
  absl::Status Deregister(const std::string& id);
  absl::Status Heartbeat(const std::string& id, Health health, const std::string& note = "");

  // Starts blocking queries that the test waits for later.
  testing::Pending<absl::StatusOr<Answer<Entries>>> WatchKey(const std::string& key, uint64_t index,
                                                             absl::Duration wait = absl::Seconds(30));
  testing::Pending<absl::StatusOr<Answer<Entries>>> WatchPrefix(const std::string& prefix, uint64_t index,
                                                                absl::Duration wait = absl::Seconds(30));

  // Reads the service, blocking, until `holds` does; for at most `bound`. Returns the last answer's instances.
  Instances AwaitService(const std::string& service, const std::function<bool(const Instances&)>& holds,
                         absl::Duration bound = absl::Seconds(30));

 private:
  std::unique_ptr<BackendUnderTest> under_test_;
};

// Everything but probes.
class BackendConformance : public BackendTest {};

// HTTP, TCP and gRPC checks against listeners of the test.
class BackendProbeConformance : public BackendTest {};

// What the tests of one backend check about an answer every time.
template <typename T>
uint64_t IndexOf(const absl::StatusOr<Answer<T>>& answer) {
  EXPECT_TRUE(answer.ok()) << answer.status();
  if (!answer.ok()) return 0;
  EXPECT_TRUE(answer->meta.index.has_value()) << "an answer of a healthy store carries an index";
  EXPECT_GE(answer->meta.index.value_or(0), 1u);
  return answer->meta.index.value_or(0);
}

// "OK" or the code's name with the reason, e.g. "ABORTED CAS_MISMATCH".
std::string Outcome(const absl::Status& status);

}  // namespace meshgate::consul

#endif  // MESHGATE_TESTS_INTEGRATION_BACKEND_CONFORMANCE_H_
