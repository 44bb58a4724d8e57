#ifndef MESHGATE_TESTS_TESTING_CONFIG_STREAMS_H_
#define MESHGATE_TESTS_TESTING_CONFIG_STREAMS_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "meshgate/v1/config_service.grpc.pb.h"

namespace meshgate::testing {

// What one WatchConfig stream has told its reader so far.
struct StreamLog {
  int responses = 0;
  int snapshots = 0;
  int puts = 0;
  int deletes = 0;
  int stale = 0;  // responses that say so
  std::map<std::string, std::string> state;
  bool ended = false;
  grpc::Status status;
};

// Many WatchConfig streams at once, on gRPC's callback client: threads don't grow with streams.
class ConfigStreams {
 public:
  ConfigStreams();
  // Cancels those still open and waits for their end.
  ~ConfigStreams();

  // Streams go round the channels.
  void Open(const std::vector<std::shared_ptr<grpc::Channel>>& channels, const v1::WatchConfigRequest& request,
            int count);

  // Waits until `holds` is true of every stream; false when `within` has passed first.
  bool WaitForAll(const std::function<bool(const StreamLog&)>& holds, absl::Duration within = absl::Seconds(60));

  // Copies, as they are now.
  std::vector<StreamLog> logs();

 private:
  class Stream;

  Mutex mu_;
  CondVar changed_;
  std::vector<std::unique_ptr<Stream>> streams_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_CONFIG_STREAMS_H_
