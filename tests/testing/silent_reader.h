#ifndef MESHGATE_TESTS_TESTING_SILENT_READER_H_
#define MESHGATE_TESTS_TESTING_SILENT_READER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "meshgate/v1/config_service.grpc.pb.h"

namespace meshgate::testing {

// Opens a WatchConfig stream and reads nothing from it until it is told to: a program that hangs. Its connection is
// read from all the while, as by every client with a thread of gRPC's own.
class SilentReader final : public grpc::ClientReadReactor<v1::WatchConfigResponse> {
 public:
  SilentReader(const std::shared_ptr<grpc::Channel>& channel, const v1::WatchConfigRequest& request);
  // Cancels the stream and waits for its end.
  ~SilentReader() override;

  // Waits until the gateway has taken the call. False: not within `within`.
  bool WaitOpen(absl::Duration within = absl::Seconds(60));

  // The next message; nullopt where the stream has ended, or none came within `within` (that read then goes on, and
  // its message is lost). From one thread at a time.
  std::optional<v1::WatchConfigResponse> Read(absl::Duration within = absl::Seconds(60));

  // Waits for the end of a stream that Read() has found ended; nullopt where it has not within `within`.
  std::optional<grpc::Status> WaitEnd(absl::Duration within = absl::Seconds(60));

 private:
  void OnReadInitialMetadataDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  const std::unique_ptr<v1::ConfigService::Stub> stub_;
  const v1::WatchConfigRequest request_;
  grpc::ClientContext context_;
  v1::WatchConfigResponse response_;

  Mutex mu_;
  CondVar changed_;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool held_ ABSL_GUARDED_BY(mu_) = true;
  std::optional<grpc::Status> status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_SILENT_READER_H_
