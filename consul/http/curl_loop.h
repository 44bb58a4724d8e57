// HTTP transfers by the thousand on one thread.
#ifndef MESHGATE_CONSUL_HTTP_CURL_LOOP_H_
#define MESHGATE_CONSUL_HTTP_CURL_LOOP_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "consul/relay.h"
#include "consul/resilience/circuit_breaker.h"

namespace meshgate::consul::http {

enum class Method { kGet, kPut, kPost, kDelete };

// Which connections a request may use. They are apart so that watches, each of which may hold a connection for minutes,
// never starve the rest, and answers whose receiver may pause neither. Those never share a connection, also with TLS:
// over HTTP/2, libcurl keeps up to 32 MiB of an answer for a receiver that takes nothing. kProbe is the loop's own.
enum class Pool { kUnary, kWatch, kStreamed, kProbe };
inline constexpr int kPools = 4;

// Takes an answer piece by piece, on the loop's thread: must be quick.
class Receiver {
 public:
  virtual ~Receiver() = default;
  // Once, before any of the body: the answer's status and headers, as they came and in their order. Neither those of a
  // 100 before it nor trailers after it.
  virtual void OnHead(int code, HeaderList headers) = 0;
  // False: takes none of these bytes now. They come again, perhaps cut otherwise, after CurlLoop::Resume().
  virtual bool OnBody(std::string_view bytes) = 0;
};

struct Request {
  Method method = Method::kGet;
  // Begins with "/"; sent byte for byte. See paths.h.
  std::string target;
  // Of a PUT or POST. Sent with Content-Length, never chunked.
  std::string body;
  Pool pool = Pool::kUnary;
  // For the whole transfer, with the time it queues for a connection. Longer than zero; may be infinite.
  absl::Duration timeout = absl::Seconds(10);
  // While the agent is away, waits for its return for up to `patience` before `timeout` begins, in place of being
  // refused. Zero: is refused.
  absl::Duration patience;
  // Whether only an agent whose cluster has a leader can serve it. The others go out also while there is none.
  bool needs_leader = true;
  // Of the answer's body, where that is less than the loop's own limit; 0: the loop's.
  size_t max_body_bytes = 0;
  // In place of the loop's own; empty: none.
  std::optional<std::string> token;
  // Besides the token. Sent as they are: valid by HTTP's rules, and none that libcurl sees to, such as Content-Length.
  HeaderList headers;
  // For an answer that is not to be kept as a whole; with Pool::kStreamed. Response has neither headers nor a body
  // then, no limit of its size applies, and an answer whose headers have come may be silent for as long as it likes.
  // Dropped before Done runs.
  std::shared_ptr<Receiver> receiver;
};

// What became of a request; judging it is status_map.h's job.
struct Response {
  enum class End {
    kAnswered,      // A whole answer: `code`, `headers` and `body` are set.
    kCancelled,     // Cancel() or Stop().
    kTimedOut,      // `timeout` has passed.
    kTooLarge,      // More than the limit; what came is dropped.
    kBroken,        // No connection, or a connection that broke; `error` says how.
    kNotHttp,       // Something that is not HTTP came back.
    kLocalFailure,  // It could not be tried, for want of memory or a bad certificate file.
    kRefused,       // Not tried: the agent is known to be away; `error` says what is wrong with it.
    kAbandoned      // Cut off: its agent was away, and another one is used now.
  };
  struct Headers {
    // Empty where absent.
    std::string consul_index;
    std::string consul_known_leader;
    std::string consul_last_contact;
  };

  End end = End::kBroken;
  // With a receiver also where it was cut off after OnHead().
  int code = 0;
  Headers headers;
  std::string body;
  // libcurl's words, without a URL, or ours.
  std::string error;
  // A connection was there and the request was begun: whatever happened then, a write may have been applied.
  bool sent = false;
  // Any part of an answer has come.
  bool received = false;
  // The transfer opened its connection, as opposed to using one that had worked before.
  bool fresh_connection = false;
  // kBroken: the peer had accepted the connection and closed or reset it without a word, in the TLS handshake or later.
  bool closed_unanswered = false;
  // From beginning the request to the end.
  absl::Duration waited;
  // From leaving the queue to the end: with the time it takes to connect.
  absl::Duration tried;
  // From Start() to the end.
  absl::Duration took;
};

struct CurlLoopOptions {
  // Scheme, host and port, without a slash at the end.
  std::string base_url;
  // Used where that one is away; see agents.h.
  std::vector<std::string> fallback_urls;
  // Each pool's share of connections; at least 1.
  int unary_connections = 32;
  int watch_connections = 128;
  int streamed_connections = 16;
  absl::Duration connect_timeout = absl::Seconds(5);
  // An answer that has begun (its first line has come) and of which no byte has come for this long, and up to a quarter
  // more, is broken. A blocking query waits before it begins.
  absl::Duration stall_timeout = absl::Seconds(10);
  // An agent that has not answered a probe after this is away.
  absl::Duration probe_timeout = absl::Seconds(2);
  CircuitBreakerOptions breaker;
  // Of an answer's body.
  size_t max_body_bytes = size_t{512} << 20;
  // "X-Consul-Token" of every request; empty: none.
  std::string token;
  // PEM files; empty: the system's authorities, no client certificate.
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  bool verify_tls = true;
  // Called from the loop's thread when a connection was opened or closed, with how many are open. May be null.
  std::function<void(int open)> on_connections;
  // The same for each change of the breaker's state, for another agent being used from now on, and for each probe, with
  // what became of it.
  std::function<void(CircuitBreaker::State state)> on_breaker;
  std::function<void(std::string_view url)> on_agent;
  std::function<void(const Response& response)> on_probe;
};

// Runs transfers to one agent on a thread of its own, over connections that it keeps and, with TLS, shares among up to
// 250 requests (HTTP/2). Redirects, proxies and retries of what may have been applied are off. Ten thousand
// transfers that wait cost memory alone: each wake of the thread touches only sockets and timers that are due.
//
// Start(), Cancel() and Resume() are thread-safe and never block on I/O. A GET is sent again, on another connection,
// when a kept one turns out to be closed before any answer; a PUT or DELETE ends as kBroken then, with `sent`. A peer
// that vanishes without a word is found out within half a minute, whatever waits for it.
//
// A circuit breaker (consul/resilience/circuit_breaker.h) stands before the agent as a whole. Failures raise a doubt
// and the loop asks the agent for a sign of life, over a connection of its own that is closed again: one more than the
// pools have, for a moment. While it is away, requests end at once (kRefused) or, with patience, wait; those under way
// are left alone, as an agent that was merely stopped answers them when it goes on. After its return requests go out as
// fast as the breaker lets them, the patient ones in turns with the others. With several addresses the others are
// asked, too, and the first that answers is used from then on: the requests under way end (kAbandoned), and every
// connection to the agent that is away is closed.
class CurlLoop {
 public:
  // Runs once, on the loop's thread, or inside Start() when the loop has stopped. Must be quick.
  using Done = absl::AnyInvocable<void(Response)>;

  // One transfer; a handle for Cancel() and nothing else.
  class Transfer;
  using TransferHandle = std::shared_ptr<Transfer>;

  explicit CurlLoop(CurlLoopOptions options);
  // Same as Stop().
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  TransferHandle Start(Request request, Done done);

  // The transfer ends soon, with kCancelled unless it has ended by itself. Idempotent.
  void Cancel(const TransferHandle& transfer);

  // Its receiver takes more. Of no effect where it never refused, or the transfer has ended.
  void Resume(const TransferHandle& transfer);

  // Transfers of a pool that can run at a time; the others queue. Changes as the peer turns out to speak HTTP/2, or not
  // to. Thread-safe, without a lock.
  int limit(Pool pool) const;

  // Ends every transfer with kCancelled; later ones end so at once. Closes every connection and returns when no Done is
  // running or will run any more, except of later calls of Start(). Idempotent; not from a Done.
  void Stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_CURL_LOOP_H_
