#ifndef MESHGATE_CONSUL_BASE_PREFETCH_H_
#define MESHGATE_CONSUL_BASE_PREFETCH_H_

#include <cstddef>
#include <cstdint>

namespace meshgate {

// Has `bytes` from `object` on fetched into the processor's cache, without waiting for them. Any address will do, null
// too, and more bytes than are there. Where thousands of objects are visited in a row next to none of them is in the
// cache, and to wait for each in turn is most of what a visit takes.
inline void Prefetch(const void* object, size_t bytes) {
  constexpr uintptr_t kLine = 64;
  const auto begin = reinterpret_cast<uintptr_t>(object);
  for (uintptr_t line = begin & ~(kLine - 1); line < begin + bytes; line += kLine) {
    // A pointer beyond its object, or beside null, may not even be computed; a number may.
    __builtin_prefetch(reinterpret_cast<const void*>(line));  // NOLINT(performance-no-int-to-ptr)
  }
}

}  // namespace meshgate

#endif  // MESHGATE_CONSUL_BASE_PREFETCH_H_
