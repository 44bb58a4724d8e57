#ifndef MESHGATE_TESTS_INTEGRATION_WATCH_STREAM_H_
#define MESHGATE_TESTS_INTEGRATION_WATCH_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>

namespace meshgate::testing {

// One WatchConfig or WatchService stream.
template <typename Response>
class WatchStream {
 public:
  // `open` starts the call with the context.
  explicit WatchStream(const std::function<std::unique_ptr<grpc::ClientReader<Response>>(grpc::ClientContext*)>& open)
      : reader_(open(&context_)) {}
  ~WatchStream() { context_.TryCancel(); }

  bool Read() { return reader_->Read(&response_); }
  const Response& response() const { return response_; }
  grpc::Status Finish() { return reader_->Finish(); }
  // Reads to the end.
  grpc::Status End() {
    while (Read()) {
    }
    return Finish();
  }

 private:
  grpc::ClientContext context_;
  Response response_;
  const std::unique_ptr<grpc::ClientReader<Response>> reader_;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_INTEGRATION_WATCH_STREAM_H_
