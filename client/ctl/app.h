#ifndef MESHGATE_CLIENT_CTL_APP_H_
#define MESHGATE_CLIENT_CTL_APP_H_

#include <istream>
#include <ostream>
#include <string>
#include <vector>

#include "client/cancellation.h"
#include "client/client.h"
#include "client/ctl/args.h"
#include "client/ctl/token.h"

namespace meshgate::ctl {

// What a run of meshgatectl touches outside of itself.
struct Environment {
  std::istream* in;
  // Data alone.
  std::ostream* out;
  // Errors and notes.
  std::ostream* err;
  // Where --endpoint is not given.
  std::string default_endpoint;
  // Cancelled by an interrupt.
  client::Cancellation* cancellation;
  // Whether `out` is read by a human.
  bool out_is_terminal = false;
  // Tokens are looked for in these; null: nowhere.
  Variables variables;
};

// meshgatectl without a process around it. `args` without the program's name; returns the exit code.
int RunMeshgatectl(const std::vector<std::string>& args, const Environment& environment);

// ---- The commands. What they need to run:
struct Context {
  client::Client* client;
  client::CallOptions call;
  Format format;
  const Environment* environment;
};

// How a command ended. A failure of its own (a file that can't be read) is kept apart from a failed call.
struct Outcome {
  absl::Status status;
  bool local = false;
};

Outcome Run(const GetArgs& args, const Context& context);
Outcome Run(const PutArgs& args, const Context& context);
Outcome Run(const DelArgs& args, const Context& context);
Outcome Run(const ListArgs& args, const Context& context);
Outcome Run(const CommitArgs& args, const Context& context);
Outcome Run(const WatchArgs& args, const Context& context);
Outcome Run(const RegisterArgs& args, const Context& context);
Outcome Run(const HoldArgs& args, const Context& context);
Outcome Run(const DeregisterArgs& args, const Context& context);
Outcome Run(const HeartbeatArgs& args, const Context& context);
Outcome Run(const DiscoverArgs& args, const Context& context);
Outcome Run(const ServicesArgs& args, const Context& context);

}  // namespace meshgate::ctl

#endif  // MESHGATE_CLIENT_CTL_APP_H_
