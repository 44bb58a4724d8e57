#ifndef MESHGATE_CONSUL_INSTANCE_DIRECTORY_H_
#define MESHGATE_CONSUL_INSTANCE_DIRECTORY_H_

#include <string>

#include "consul/backend.h"

namespace meshgate::consul {

// Tells whose an instance is: callers name instances by their ids, and what they may do is said of services. For
// whoever writes with the gateway's own token; with a caller's, Consul looks for itself. Each Backend that takes
// registrations is one.
class InstanceDirectory {
 public:
  virtual ~InstanceDirectory() = default;

  // The service of the instance with this id, at the agent that registrations go to. NOT_FOUND (INSTANCE_NOT_FOUND)
  // where there is none; other errors, and when `done` is called, are as for a read of the Backend. Of `options` the
  // timeout and the token count.
  virtual CallHandle FindService(const std::string& id, const ReadOptions& options,
                                 Backend::Callback<std::string> done) = 0;
};

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_INSTANCE_DIRECTORY_H_
