// Saves numbered states as fast as it can until it is killed:  saver DIRECTORY
// Prints "saving" when the first is on disk.
#include <cstdint>
#include <cstdio>
#include <future>
#include <optional>

#include "consul/base/thread_pool_scheduler.h"
#include "consul/last_known/sqlite_state_store.h"
#include "tests/consul/last_known/numbered_state.h"

namespace meshgate::consul {
namespace {

uint64_t LoadedIndex(SqliteStateStore& store, const Target& target) {
  std::promise<uint64_t> index;
  store.Load(target,
             [&](std::optional<StoredState> stored) { index.set_value(stored.has_value() ? stored->index : 0); });
  return index.get_future().get();
}

// Tells when the file has something in it.
class Announcer final : public StateStoreReporter {
 public:
  void OnKept(int64_t targets, int64_t) override {
    if (targets == 0 || announced_) return;
    announced_ = true;
    puts("saving");
    fflush(stdout);
  }

 private:
  bool announced_ = false;
};

void SaveForEver(const char* directory) {
  ThreadPoolScheduler scheduler(1, "saver");
  Announcer announcer;
  StateStoreOptions options;
  options.file.directory = directory;
  options.delay = absl::ZeroDuration();
  options.confirm_every = absl::Milliseconds(5);
  SqliteStateStore store(options, &scheduler, &announcer);
  uint64_t n = 0;
  for (const Target& target : NumberedTargets()) n = std::max(n, LoadedIndex(store, target));
  while (true) {
    ++n;
    for (const Target& target : NumberedTargets()) {
      const StoredState stored{NumberedState(target.kind, n), n, scheduler.Now()};
      store.Save(target, stored);
      // And says that it is still so.
      store.Save(target, {stored.state, n, scheduler.Now()});
    }
  }
}

}  // namespace
}  // namespace meshgate::consul

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  meshgate::consul::SaveForEver(argv[1]);
}
