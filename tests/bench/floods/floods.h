#ifndef MESHGATE_TESTS_BENCH_FLOODS_FLOODS_H_
#define MESHGATE_TESTS_BENCH_FLOODS_FLOODS_H_

#include <functional>
#include <vector>

#include "tests/bench/floods/attack.h"

namespace meshgate::bench {

// What bystanders use, of 1 KiB, and a value of 64 KiB that floods ask for. Both exist.
inline constexpr char kQuietKey[] = "bench/quiet";
inline constexpr char kFloodedKey[] = "bench/flooded";
inline constexpr size_t kFloodedBytes = 64 << 10;

struct Flood {
  const char* name;
  // Breaks HTTP/2's rules, or those that a server may make on top: the server must end each connection. The others are
  // legal, if odd, and only must not cost more than they may.
  bool must_end;
  std::function<void(Attack*)> run;
};

// Frames that carry nothing, or break a rule.
std::vector<Flood> FrameFloods();
// Headers and requests.
std::vector<Flood> RequestFloods();
// Many streams, many connections, readers that do not read.
std::vector<Flood> StreamFloods();
// Of TLS itself, for a gateway that speaks it.
std::vector<Flood> TlsFloods();

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_FLOODS_FLOODS_H_
