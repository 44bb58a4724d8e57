#ifndef MESHGATE_TESTS_BENCH_FLOOR_STATE_H_
#define MESHGATE_TESTS_BENCH_FLOOR_STATE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace meshgate::bench {

// The one key that the floor has, as the answers that tell of it: messages as gRPC frames them. Immutable.
struct FloorState {
  uint64_t index = 0;
  std::string get;     // GetConfigResponse
  std::string change;  // WatchConfigResponse
};
using SharedFloorState = std::shared_ptr<const FloorState>;

// What a serialized PutConfigRequest makes of it.
SharedFloorState ApplyPut(const FloorState& before, std::string_view request);

}  // namespace meshgate::bench

#endif  // MESHGATE_TESTS_BENCH_FLOOR_STATE_H_
