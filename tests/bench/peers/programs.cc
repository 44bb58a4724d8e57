#include "tests/bench/peers/programs.h"

#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meshgate::bench {

absl::Status FindProgram(const std::string& name, const std::string& how_to_install) {
  const char* path = getenv("PATH");
  for (const absl::string_view folder : absl::StrSplit(path == nullptr ? "" : path, ':')) {
    if (access(absl::StrCat(folder, "/", name).c_str(), X_OK) == 0) return absl::OkStatus();
  }
  return absl::NotFoundError(absl::StrCat(name, " is not installed; it is compared with here: ", how_to_install));
}

}  // namespace meshgate::bench
