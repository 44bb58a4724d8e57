#ifndef MESHGATE_METRICS_CONNECTION_REPORTER_H_
#define MESHGATE_METRICS_CONNECTION_REPORTER_H_

namespace meshgate::metrics {

// What a listener tells about its connections. Thread-safe and cheap.
class ConnectionReporter {
 public:
  // Why one was closed against the peer's wish: it broke the protocol or flooded us; it did not answer a ping; it did
  // not read.
  enum class Cut { kProtocol, kKeepalive, kSlowReader };

  virtual ~ConnectionReporter() = default;
  // +1 and -1 as they come and go.
  virtual void OnConnections(int delta) {}
  // One was closed as soon as it came: there were as many as may be.
  virtual void OnRefused() {}
  virtual void OnCut(Cut why) {}
};

}  // namespace meshgate::metrics

#endif  // MESHGATE_METRICS_CONNECTION_REPORTER_H_
