#ifndef MESHGATE_METRICS_HOLD_REPORTER_H_
#define MESHGATE_METRICS_HOLD_REPORTER_H_

namespace meshgate::metrics {

// What the gateway tells about the registrations that it keeps alive for their streams. Thread-safe and cheap.
class HoldReporter {
 public:
  virtual ~HoldReporter() = default;
  // +1 and -1 as held registrations come and go; one whose stream is lost counts until it is given up.
  virtual void OnHeld(int delta) {}
  // Consul had forgotten a held registration, and has it again.
  virtual void OnReregistered() {}
};

}  // namespace meshgate::metrics

#endif  // MESHGATE_METRICS_HOLD_REPORTER_H_
