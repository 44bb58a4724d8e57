// What meshgate.conformance.v1.Conformance does, free of any RPC library: each server binds it in a few lines, and
// whatever then differs between servers is the servers' own.
#ifndef MESHGATE_TESTS_CONFORMANCE_SERVICE_H_
#define MESHGATE_TESTS_CONFORMANCE_SERVICE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "tests/conformance/conformance.pb.h"

namespace meshgate::conformance {

using Metadata = std::vector<std::pair<std::string, std::string>>;

// Things that happen once and that calls wait for. Thread-safe.
class Events {
 public:
  // Calls `wake` once `event` happens, or now where it has; maybe on the thread that raises it, never under a lock.
  void Await(const std::string& event, std::function<void()> wake);
  void Raise(const std::string& event);

 private:
  Mutex mu_;
  std::set<std::string> happened_ ABSL_GUARDED_BY(mu_);
  std::multimap<std::string, std::function<void()>> waiting_ ABSL_GUARDED_BY(mu_);
};

// Raised by a server that begins to drain.
inline constexpr char kDrain[] = "drain";

enum class Method { kUnary, kServerStream, kClientStream, kBidi, kSeenStarted, kSeenCancelled };

// What the transport knows of a call.
struct CallFacts {
  // Values of "-bin" keys are decoded. The order of equal keys is that of the wire; that of others does not matter.
  Metadata metadata;
  // Infinite where the client has set none.
  absl::Duration deadline_left = absl::InfiniteDuration();
  bool has_peer = false;
};

// How a call ends.
struct CallEnd {
  int code = 0;
  std::string message;
  // A serialized google.rpc.Status, for grpc-status-details-bin; empty: none.
  std::string details;
  Metadata trailing_metadata;
};

// One call: a state machine that does one thing at a time. Whoever runs it asks what is next, does that, tells how it
// went and asks again, until it is told to finish. Not thread-safe.
//
//   kRead         then OnRequest(), or OnHalfClose()
//   kSendHeaders  then OnDone()
//   kAwait        then OnWoken(), when await().event happens or after await().timeout
//   kWrite        write response(), then OnDone()
//   kFinish       with end(); the last
//
// From the first step that is not kRead on, initial_metadata() and compress() stand, for headers that go out with it.
// A transport that sees a call end before it has finished it calls OnCancelled() and finishes.
class Call {
 public:
  enum class Step { kRead, kSendHeaders, kAwait, kWrite, kFinish };
  struct Awaited {
    // Empty: none, only the time passes.
    std::string event;
    absl::Duration timeout;
  };

  // `events` outlives the call.
  Call(Method method, CallFacts facts, Events* events);

  Step Next();

  void OnRequest(v1::CallRequest request);
  // Of the last two methods.
  void OnRequest(const v1::SeenRequest& request);
  void OnHalfClose() { half_closed_ = true; }
  void OnDone();
  // `happened`: the event did, and not the timeout.
  void OnWoken(bool happened);
  // May run beside anything else, after the first request.
  void OnCancelled();

  const Metadata& initial_metadata() const { return initial_metadata_; }
  bool compress() const { return plan_.compress(); }
  const Awaited& await() const { return await_; }
  const v1::CallResponse& response() const { return response_; }
  const v1::SeenResponse& seen_response() const { return seen_response_; }
  CallEnd end() const;

 private:
  bool reads_stream() const { return method_ == Method::kClientStream || method_ == Method::kBidi; }
  bool writes_stream() const { return method_ == Method::kServerStream || method_ == Method::kBidi; }
  bool seen_method() const { return method_ == Method::kSeenStarted || method_ == Method::kSeenCancelled; }
  bool DoneReading() const;
  // The responses that are due for what has been read.
  uint64_t ResponsesDue() const;
  void MakeResponse();
  v1::Report MakeReport() const;
  Step Await(std::string event, absl::Duration timeout);

  const Method method_;
  const CallFacts facts_;
  Events* const events_;

  v1::Plan plan_;
  Metadata initial_metadata_;
  uint32_t requests_ = 0;
  uint64_t request_bytes_ = 0;
  bool requests_intact_ = true;
  bool half_closed_ = false;

  Step step_ = Step::kRead;
  Awaited await_;
  bool headers_sent_ = false;
  bool slept_ = false;
  bool hung_ = false;
  uint64_t responses_ = 0;
  v1::CallResponse response_;
  v1::SeenResponse seen_response_;

  Mutex mu_;
  // Apart from plan_, for OnCancelled().
  std::string id_ ABSL_GUARDED_BY(mu_);
};

// Byte i is (seed + i) % 251: a payload whose bytes are neither lost nor moved without being noticed.
std::string MakePayload(uint32_t seed, size_t size);

Metadata ToMetadata(const google::protobuf::RepeatedPtrField<v1::MetadataEntry>& entries);

}  // namespace meshgate::conformance

#endif  // MESHGATE_TESTS_CONFORMANCE_SERVICE_H_
