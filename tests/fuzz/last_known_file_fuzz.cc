// A file of last known states in which some bytes are not what we wrote: what is loaded was saved, or nothing is.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "consul/last_known/state_file.h"
#include "tests/fuzz/input.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::fuzz {
namespace {

namespace fs = std::filesystem;

using consul::State;
using consul::Target;
using consul::TargetKind;
using consul::last_known::Stamp;
using consul::last_known::StateFile;
using consul::last_known::StateFileOptions;

const Target& Prefix() {
  static const auto& target = *new Target{TargetKind::kPrefix, "cfg/", "", ""};
  return target;
}

const State& Saved() {
  static const auto& state = *new State{{{"cfg/a", "one", 1, 2, 3}, {"cfg/b", std::string(300, 'b'), 0, 4, 5}}, {}, {}};
  return state;
}

Stamp Noon() { return {absl::FromUnixSeconds(1700000000), "run", absl::Hours(1)}; }

class Files {
 public:
  Files() {
    options_.directory = folder_.path() + "/states";
    {
      auto file = Open();
      MESHGATE_FUZZ_CHECK(file.ok() && (*file)->Save(Prefix(), Saved(), 5, Noon()).ok());
    }
    std::ifstream in(path(), std::ios::binary);
    good_ = {std::istreambuf_iterator<char>(in), {}};
    MESHGATE_FUZZ_CHECK(!good_.empty());
  }

  absl::StatusOr<std::unique_ptr<StateFile>> Open() {
    return StateFile::Open(options_, Noon(), [](std::string_view) {});
  }
  const std::string& good() const { return good_; }
  void Write(const std::string& bytes) {
    std::error_code ignored;
    fs::remove_all(options_.directory, ignored);
    fs::create_directory(options_.directory);
    std::ofstream(path(), std::ios::binary) << bytes;
  }

 private:
  std::string path() const { return options_.directory + "/states.db"; }

  testing::TempDir folder_;
  StateFileOptions options_;
  std::string good_;
};

}  // namespace
}  // namespace meshgate::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meshgate::fuzz;  // NOLINT
  static Files files;
  Input input(data, size);
  std::string bytes = files.good();
  // Cut off, or not.
  if (const uint32_t cut = input.U16(); cut != 0) bytes.resize(cut % bytes.size());
  while (!input.empty() && !bytes.empty()) {
    const uint32_t at = input.U16();
    bytes[at % bytes.size()] = static_cast<char>(input.Byte());
  }
  files.Write(bytes);
  auto file = files.Open();
  if (!file.ok()) return 0;
  const auto loaded = (*file)->Load(Prefix());
  if (!loaded.ok()) return 0;
  if (loaded->has_value()) {
    MESHGATE_FUZZ_CHECK(Diff(TargetKind::kPrefix, *(*loaded)->state, Saved()).empty());
    MESHGATE_FUZZ_CHECK((*loaded)->index == 5);
  }
  if (!(*file)->Save(Prefix(), Saved(), 5, Noon()).ok()) return 0;
  const auto again = (*file)->Load(Prefix());
  if (again.ok() && again->has_value()) {
    MESHGATE_FUZZ_CHECK(Diff(TargetKind::kPrefix, *(**again).state, Saved()).empty());
  }
  return 0;
}
