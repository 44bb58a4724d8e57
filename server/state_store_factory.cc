#include "server/state_store_factory.h"

#include <utility>

#include "consul/base/strings.h"
#include "consul/last_known/sqlite_state_store.h"
#include "server/log.h"

namespace meshgate::server {
namespace {

class LoggingReporter final : public consul::StateStoreReporter {
 public:
  LoggingReporter(std::string directory, consul::StateStoreReporter* next)
      : directory_(std::move(directory)), next_(next) {}

  void OnCondition(const absl::Status& condition) override {
    if (condition.ok()) {
      Log(LogLevel::kInfo, "last known states are kept on disk", {{"directory", directory_}});
    } else {
      Log(LogLevel::kWarn,
          "last known states are not kept on disk: a restart while Consul is away would find none; serving goes on",
          {{"directory", directory_}, {"error", ToStd(condition.message())}});
    }
    next_->OnCondition(condition);
  }
  void OnError(Operation operation) override { next_->OnError(operation); }
  void OnDamage(std::string_view what) override {
    Log(LogLevel::kError, what, {{"directory", directory_}});
    next_->OnDamage(what);
  }
  void OnKept(int64_t targets, int64_t bytes) override { next_->OnKept(targets, bytes); }

 private:
  const std::string directory_;
  consul::StateStoreReporter* const next_;
};

// The store with the reporter that it needs.
class LoggingStateStore final : public consul::StateStore {
 public:
  LoggingStateStore(const consul::StateStoreOptions& options, Scheduler* scheduler,
                    consul::StateStoreReporter* reporter)
      : reporter_(options.file.directory, reporter), store_(options, scheduler, &reporter_) {}

  void Load(const consul::Target& target, Loaded done) override { store_.Load(target, std::move(done)); }
  void Save(const consul::Target& target, consul::StoredState stored) override {
    store_.Save(target, std::move(stored));
  }
  bool HasStates() const override { return store_.HasStates(); }
  void Close() override { store_.Close(); }

 private:
  LoggingReporter reporter_;
  consul::SqliteStateStore store_;
};

}  // namespace

std::unique_ptr<consul::StateStore> MakeStateStore(const std::string& data_dir, Scheduler* scheduler,
                                                   consul::StateStoreReporter* reporter) {
  consul::StateStoreOptions options;
  options.file.directory = data_dir + "/last-known";
  return std::make_unique<LoggingStateStore>(options, scheduler, reporter);
}

}  // namespace meshgate::server
