// Options as a command line, an environment and files make them.
#ifndef MESHGATE_TESTS_SERVER_PARSED_OPTIONS_H_
#define MESHGATE_TESTS_SERVER_PARSED_OPTIONS_H_

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/options.h"

namespace meshgate::server {

using Variables = std::map<std::string, std::string>;

inline absl::StatusOr<CommandLine> Parse(const std::vector<std::string>& args, const Variables& variables = {}) {
  return ParseOptions(args, [&variables](const std::string& name) -> std::optional<std::string> {
    auto it = variables.find(name);
    if (it == variables.end()) return std::nullopt;
    return it->second;
  });
}

inline Options Must(const std::vector<std::string>& args, const Variables& variables = {}) {
  auto line = Parse(args, variables);
  EXPECT_TRUE(line.ok()) << line.status();
  return line.ok() ? line->options : Options();
}

inline std::string ErrorOf(const std::vector<std::string>& args, const Variables& variables = {}) {
  auto line = Parse(args, variables);
  EXPECT_FALSE(line.ok());
  return line.ok() ? "" : std::string(line.status().message());
}

inline std::string File(const std::string& text) {
  static int count = 0;
  const std::string path = ::testing::TempDir() + "/options" + std::to_string(++count) + ".yaml";
  std::ofstream(path) << text;
  return path;
}

// Whether an instance without an address may have this probed.
inline bool Allows(const Options& options, const std::string& address) {
  consul::CheckDefinition check;
  check.probe = consul::TcpProbe{address};
  return options.check_allow.has_value() && !options.check_allow->Refusal("", check).has_value();
}

}  // namespace meshgate::server

#endif  // MESHGATE_TESTS_SERVER_PARSED_OPTIONS_H_
