// The one table that flags, environment, YAML file, --help and documentation are made from.
#ifndef MESHGATE_SERVER_OPTION_TABLE_H_
#define MESHGATE_SERVER_OPTION_TABLE_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "server/options.h"

namespace meshgate::server {

struct OptionSpec {
  // Heading of --help that it stands under; options of a group are neighbours in the table.
  const char* group;
  // snake_case. The flag is "--name", the variable EnvironmentName(), the place in the file YamlPath().
  const char* name;
  // Shown for the value, e.g. "HOST:PORT".
  const char* value;
  const char* help;
  // As shown; empty: none.
  std::string default_text;
  // Consul's own variable for it, or null.
  const char* consul_variable;
  // May be a list in the file, which then stands for its elements joined with commas.
  bool list;
  // Sets the option from text. Returns an empty string, or what is allowed: "a duration between 1s and 10m, ...".
  std::function<std::string(const std::string& text, Options* options)> set;
};

const std::vector<OptionSpec>& OptionTable();

// "drain_timeout" -> "MESHGATE_DRAIN_TIMEOUT".
std::string EnvironmentName(std::string_view name);

// "drain_timeout" -> "drain.timeout": the file nests at the first word.
std::string YamlPath(std::string_view name);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_OPTION_TABLE_H_
