// What a stream's message tells about, as far as permissions go.
#ifndef MESHGATE_SERVER_AUTH_CONTENTS_H_
#define MESHGATE_SERVER_AUTH_CONTENTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "consul/reporter.h"
#include "consul/watch/hub.h"
#include "consul/watch/state.h"

namespace meshgate::server::auth {

// A key or, of a service's instances, their node: what is allowed or not.
struct Part {
  std::string name;
  // Consul's highest index of what is told of it: of an instance the whole message's, because its health has none.
  uint64_t index = 0;
  // All that is told of it is that it is gone.
  bool gone = false;
};

struct Contents {
  // Without repetitions, sorted by name.
  std::vector<Part> parts;
  // Consul's index of all that is told.
  uint64_t index = 0;
  bool snapshot = false;
  bool stale = false;
  // It tells of a state; otherwise that none is known yet.
  bool known = false;
};

// `kind` is that of the target: a key, a prefix or a service.
Contents ContentsOf(consul::TargetKind kind, const consul::Message& message);

// The parts of a target's state, as it was at `index`.
std::vector<Part> PartsOf(consul::TargetKind kind, const consul::State& state, uint64_t index);

// The message without the parts that are not `allowed`. Without a resume token, too, whose digest is of everything.
consul::SharedMessage WithoutHidden(consul::TargetKind kind, const consul::Message& message,
                                    absl::FunctionRef<bool(const std::string& name)> allowed);

}  // namespace meshgate::server::auth

#endif  // MESHGATE_SERVER_AUTH_CONTENTS_H_
