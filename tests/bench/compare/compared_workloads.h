// The workloads that every server is put through, and what their figures are called.
#ifndef MESHGATE_TESTS_BENCH_COMPARE_COMPARED_WORKLOADS_H_
#define MESHGATE_TESTS_BENCH_COMPARE_COMPARED_WORKLOADS_H_

#include <string>

#include "tests/bench/compare/round.h"

namespace meshgate::bench {

namespace peers {
inline constexpr char kMeshgate[] = "meshgate", kMeshgateTls[] = "meshgate, TLS", kEtcd[] = "etcd",
                      kEtcdProxy[] = "etcd grpc-proxy", kConsul[] = "consul", kGrpcCallback[] = "gRPC C++",
                      kFloor[] = "floor";
}  // namespace peers

namespace figures {
inline constexpr char kCpuPerDelivery[] = "CPU, us/delivery", kP50[] = "p50, ms", kP99[] = "p99, ms",
                      kMemoryPerStream[] = "memory, KiB/stream", kClientCpu[] = "client CPU, us", kReads[] = "calls/s",
                      kCpuPerCall[] = "CPU, us/call", kToLast[] = "median, ms", kIdleCpu[] = "idle CPU, % of a core";
}  // namespace figures

// Streams on a connection.
inline constexpr int kFanOutShapes[] = {100, 10, 1};

// Many streams watch one key that changes, again and again.
std::string FanOutSection(int streams_per_connection);
void FanOut(Round* round);

// Reads of the key from memory, in a closed loop.
inline constexpr char kUnarySection[] = "unary, cached reads of a key";
void Unary(Round* round);

// The same with the instances of a service: the gateway's memory against Consul's.
inline constexpr char kDiscoverSection[] = "discover, 10 instances";
void Discover(Round* round);

// From a write at Consul to the last of many streams of the gateway, against a blocking query alone.
inline constexpr char kPropagationSection[] = "propagation, from a write at Consul";
inline constexpr char kAlone[] = "a blocking query", kThroughGateway[] = "meshgate, the last";
void Propagation(Round* round);

// A great many streams that have nothing to do.
inline constexpr char kIdleSection[] = "idle, 100 on a connection";
void Idle(Round* round);

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_COMPARE_COMPARED_WORKLOADS_H_
