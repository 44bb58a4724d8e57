// The measurements. Each starts its own gateway (and agent) as real processes, drives it from this one over the
// loopback, prints one small table, and ends by itself.
#ifndef MESHGATE_TESTS_BENCH_WORKLOADS_H_
#define MESHGATE_TESTS_BENCH_WORKLOADS_H_

#include <string>

namespace meshgate::bench {

// Sizes; 0 is the workload's own default, which --quick makes tiny.
struct Config {
  bool quick = false;
  bool tls = false;          // many_keys: over HTTPS, with HTTP/2; floods: over TLS, and those of TLS itself
  int runs = 0;              // compared workloads, reconnect, floods: how many, for the medians
  int streams = 0;           // all but unary, discover, many_keys and floods
  int keys = 0;              // many_keys: so many keys, each with a stream of its own
  int absent = -1;           // many_keys: of those, not there at first; -1: one in ten
  int channels = 0;          // connections that the streams, or the calls of unary and discover, go round
  int pairs = 0;             // slow_reader: runs with and without the slow reader
  int changes = 0;           // slow_reader, fan_out, propagation, http_streams: per run
  int value_bytes = 0;       // all but many_keys and stream_cost
  int write_rate = 0;        // many_keys: changes a second
  int seconds = 0;           // unary, discover: how long calls are measured; floods: how long each lasts, 5 at most
  int idle_seconds = 0;      // many_keys, idle: how long the idle gateway is measured
  std::string servers;       // compared workloads: of the servers, those whose names match
  std::string flood;         // floods: those whose name has this in it
  int patience_seconds = 0;  // most time that any one step may take

  int Or(int given, int normal, int tiny) const { return given > 0 ? given : quick ? tiny : normal; }
};

// Each returns whether what it checks was so.

// Do others feel a reader that does not read? Runs with one and without alternate; the latencies and the gateway's
// memory are compared.
bool SlowReader(const Config& config);

// More keys than Consul allows connections: does every reader get everything, do plain calls still go through, and what
// does it cost?
bool ManyKeys(const Config& config);

// The gateway's memory by stream: idle and stalled, on connections of their own and shared, small values and large.
bool StreamCost(const Config& config);

// Many streams that come back at once with resume tokens: how long does it take, and does each get just what it has
// missed?
bool Reconnect(const Config& config);

// Server-sent events next to gRPC: the gateway's memory by stream, and how long a change takes to all of them.
bool HttpStreams(const Config& config);

// Peers that break HTTP/2's rules or stretch them: do they cost more than they may, do others feel them, and are they
// stopped?
bool Floods(const Config& config);

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_WORKLOADS_H_
