#ifndef MESHGATE_SERVER_YAML_OPTIONS_H_
#define MESHGATE_SERVER_YAML_OPTIONS_H_

#include <string>
#include <vector>

#include "server/option_table.h"

namespace meshgate::server {

struct YamlSetting {
  // Null: `text` says what is wrong in the file.
  const OptionSpec* spec = nullptr;
  std::string text;
  // "meshgate.yaml:12: drain.timeout" or, without a key, "meshgate.yaml:12".
  std::string source;
};

// The options that the file sets, and its mistakes, in the order of the file. Unknown and repeated keys are mistakes.
std::vector<YamlSetting> ReadYamlOptions(const std::string& file);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_YAML_OPTIONS_H_
