#include "server/state_store_factory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <vector>

#include "consul/base/mutex.h"
#include "consul/base/thread_pool_scheduler.h"
#include "server/log.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::server {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StateStoreFactoryTest : public ::testing::Test {
 protected:
  StateStoreFactoryTest() {
    SetUpLog(LogLevel::kInfo, LogFormat::kText, [this](std::string_view line) {
      MutexLock lock(mu_);
      lines_.emplace_back(line);
    });
  }
  ~StateStoreFactoryTest() override { SetUpLog(LogLevel::kInfo, LogFormat::kText); }

  // Made, asked for something, and closed.
  void Run() {
    auto store = MakeStateStore(directory_.path(), &scheduler_, &reporter_);
    std::promise<bool> loaded;
    store->Load({consul::TargetKind::kKey, "k", "", ""},
                [&](std::optional<consul::StoredState> stored) { loaded.set_value(stored.has_value()); });
    EXPECT_FALSE(loaded.get_future().get());
    store->Close();
  }
  std::vector<std::string> lines() {
    MutexLock lock(mu_);
    return lines_;
  }

  testing::TempDir directory_;
  ThreadPoolScheduler scheduler_{1, "test"};
  consul::StateStoreReporter reporter_;
  Mutex mu_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mu_);
};

// Would break if an operator could not tell from the log where states are kept.
TEST_F(StateStoreFactoryTest, SaysWhereStatesAreKept) {
  Run();
  EXPECT_THAT(lines(), ElementsAre(AllOf(HasSubstr("info"), HasSubstr("are kept on disk"),
                                         HasSubstr(directory_.path() + "/last-known"))));
}

// Would break if a directory that can't be used stopped the gateway, or passed without a word, or filled the log.
TEST_F(StateStoreFactoryTest, WarnsOnceWhereTheyCannotBe) {
  std::ofstream(directory_.path() + "/last-known") << "in the way";
  Run();
  EXPECT_THAT(lines(), ElementsAre(AllOf(HasSubstr("warn"), HasSubstr("not kept on disk"), HasSubstr("error="))));
}

// Would break if a damaged file vanished without being named.
TEST_F(StateStoreFactoryTest, NamesTheFileThatIsSetAside) {
  std::filesystem::create_directory(directory_.path() + "/last-known");
  std::ofstream(directory_.path() + "/last-known/states.db") << std::string(5000, 'x');
  Run();
  EXPECT_THAT(lines(), ElementsAre(AllOf(HasSubstr("error"), HasSubstr("/last-known/states.db.damaged-")),
                                   HasSubstr("are kept on disk")));
}

}  // namespace
}  // namespace meshgate::server
