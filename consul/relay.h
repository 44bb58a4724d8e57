// Requests that are passed on to Consul's HTTP API as they are.
#ifndef MESHGATE_CONSUL_RELAY_H_
#define MESHGATE_CONSUL_RELAY_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "consul/backend.h"

namespace meshgate::consul {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

struct RelayRequest {
  // "GET", "PUT", "POST" or "DELETE".
  std::string method;
  // The path and the query, sent byte for byte. Begins with "/v1/".
  std::string target;
  // Besides the token and what concerns the connection.
  HeaderList headers;
  std::string body;
  CallToken token;
  // Consul may keep it waiting on purpose. Few of these are let through at a time: the others keep their connections.
  bool waits = false;
  // For the whole exchange; InfiniteDuration() for one that ends when its caller does.
  absl::Duration timeout = absl::Seconds(10);
};

struct RelayHead {
  // Of HTTP.
  int status = 0;
  // As Consul sent them, without those that concern the connection ("Connection", "Transfer-Encoding", "Keep-Alive").
  HeaderList headers;
};

// Takes the answer bit by bit. Called on the relay's own thread, one call at a time: must be quick and never block.
class RelaySink {
 public:
  virtual ~RelaySink() = default;
  // Once, before any of the body. Not where there is no answer.
  virtual void OnHead(RelayHead head) = 0;
  // False: takes none of these bytes now. They come again after RelayCall::Resume().
  virtual bool OnBody(std::string_view bytes) = 0;
  // Once, last. OK: all has come, whatever its status says. Otherwise an error as Backend's, and what has come of the
  // answer is not whole.
  virtual void OnEnd(const absl::Status& status) = 0;
};

class RelayCall : public Call {
 public:
  // The sink takes more. Thread-safe; of no effect where it never refused.
  virtual void Resume() = 0;
};

// Thread-safe; never blocks. Offered by backends that have Consul's HTTP API behind them.
class Relay {
 public:
  virtual ~Relay() = default;
  // The sink hears of it later, never inside the call.
  virtual std::shared_ptr<RelayCall> Send(RelayRequest request, std::shared_ptr<RelaySink> sink) = 0;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_RELAY_H_
