#ifndef MESHGATE_CONSUL_HTTP_CONNECTION_POLICY_H_
#define MESHGATE_CONSUL_HTTP_CONNECTION_POLICY_H_

namespace meshgate::consul::http {

// Decides how many transfers of a pool run at a time, and over how many connections.
//
// Without TLS, and with a peer that speaks HTTP/1.1 behind it, a connection carries one transfer. With HTTP/2 it
// carries hundreds, and connections are opened one by one as they fill up: a burst would otherwise open all it may,
// before anybody has learned that the first one takes more than one request. Over TLS that is taken for granted until
// an answer says otherwise, and learned anew from each answer: one that a proxy gave for a peer that was away says
// little about the next.
//
// No I/O, no libcurl. Not thread-safe.
class ConnectionPolicy {
 public:
  // Consul's own limit for HTTP/2; the 251st is refused.
  static constexpr int kStreamsPerConnection = 250;
  // Another connection is opened when those that are open carry this many.
  static constexpr int kStreamsBeforeAnother = 200;

  ConnectionPolicy() = default;
  // `connections` is the pool's share, at least 1.
  ConnectionPolicy(int connections, bool tls);

  // Transfers that may run at a time.
  int limit() const { return shares_ ? connections_ * kStreamsPerConnection : connections_; }
  // Connections that may be open.
  int allowed() const { return allowed_; }

  // One more transfer is about to join the `active` ones. Returns whether allowed() has changed.
  bool Grow(int active);
  // An answer has come, of this pool or another, while `active` transfers of this one run. Returns whether allowed()
  // has changed.
  bool OnAnswer(bool http2, int active);

 private:
  bool Allow(int connections);

  int connections_ = 1;
  bool tls_ = false;
  bool shares_ = false;
  int allowed_ = 1;
};

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_CONNECTION_POLICY_H_
