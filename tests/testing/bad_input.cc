#include "tests/testing/bad_input.h"

#include <utility>

#include "tests/testing/bad_input_table.h"

namespace meshgate::testing {

std::vector<BadInput> BadInputs() {
  bad_input::Table config("ConfigService");
  bad_input::AddConfigService(config);
  bad_input::Table registry("RegistryService");
  bad_input::AddRegistryService(registry);

  std::vector<BadInput> all = config.Take();
  for (BadInput& input : registry.Take()) all.push_back(std::move(input));
  return all;
}

}  // namespace meshgate::testing
