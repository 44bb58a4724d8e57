// A file that somebody else may have written.
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "server/yaml_options.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int file = memfd_create("options", MFD_CLOEXEC);
  static const std::string& path = *new std::string("/proc/self/fd/" + std::to_string(file));
  MESHGATE_FUZZ_CHECK(ftruncate(file, 0) == 0);
  MESHGATE_FUZZ_CHECK(pwrite(file, data, size, 0) == static_cast<ssize_t>(size));
  for (const auto& setting : meshgate::server::ReadYamlOptions(path)) {
    MESHGATE_FUZZ_CHECK(setting.source.compare(0, path.size(), path) == 0);
    MESHGATE_FUZZ_CHECK(setting.spec != nullptr || !setting.text.empty());
  }
  return 0;
}
