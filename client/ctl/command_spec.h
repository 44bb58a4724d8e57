// What each command of meshgatectl accepts and how it explains itself. Seen by the parser alone.
#ifndef MESHGATE_CLIENT_CTL_COMMAND_SPEC_H_
#define MESHGATE_CLIENT_CTL_COMMAND_SPEC_H_

#include <boost/program_options.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/ctl/args.h"

namespace meshgate::ctl {

struct CommandSpec {
  std::string name;
  // What follows the name in the usage line.
  std::string synopsis;
  std::string summary;
  // Lines after the options in the command's help.
  std::string details;
  size_t min_positional = 0;
  size_t max_positional = 0;
  void (*add_options)(boost::program_options::options_description*) = nullptr;
  // `positional` has an accepted number of elements. INVALID_ARGUMENT on values that make no sense.
  absl::StatusOr<CommandArgs> (*build)(const boost::program_options::variables_map& options,
                                       const std::vector<std::string>& positional) = nullptr;
};

std::vector<CommandSpec> ConfigCommands();
std::vector<CommandSpec> RegistryCommands();
CommandSpec WatchCommand();

// ---- For the builders.

// --datacenter, -d.
void AddDatacenter(boost::program_options::options_description* options);
// --datacenter and --consistency.
void AddReadOptions(boost::program_options::options_description* options);
absl::Status FillReadOptions(const boost::program_options::variables_map& options, v1::ReadOptions* read);

// The option's value, or `fallback` where it was not given.
std::string StringOf(const boost::program_options::variables_map& options, const char* name,
                     const std::string& fallback = "");
std::vector<std::string> ListOf(const boost::program_options::variables_map& options, const char* name);
bool Has(const boost::program_options::variables_map& options, const char* name);

// Leaves `out` alone where the option was not given. Numbers are options of type std::string: Boost's own parser takes
// "-1" for an unsigned one.
absl::Status FillNumber(const boost::program_options::variables_map& options, const char* name, uint64_t* out);
absl::Status FillNumber(const boost::program_options::variables_map& options, const char* name, uint32_t* out);
absl::Status FillNumber(const boost::program_options::variables_map& options, const char* name, int32_t* out);

// Positive, with a unit: "30s", "1m30s", "500ms".
absl::StatusOr<absl::Duration> ParsePositiveDuration(const std::string& option, const std::string& text);
void SetDuration(absl::Duration duration, google::protobuf::Duration* out);

// "passing", "warning" or "critical".
absl::StatusOr<v1::HealthStatus> ParseHealth(const std::string& option, const std::string& text);

}  // namespace meshgate::ctl

#endif  // MESHGATE_CLIENT_CTL_COMMAND_SPEC_H_
