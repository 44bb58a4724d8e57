#include "server/auth/allow_list_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "consul/base/mutex.h"
#include "server/log.h"
#include "tests/testing/manual_scheduler.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::server::auth {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class AllowListFileTest : public ::testing::Test, public metrics::AllowListReporter {
 protected:
  AllowListFileTest() {
    SetUpLog(LogLevel::kInfo, LogFormat::kText, [this](std::string_view line) {
      MutexLock lock(mu_);
      lines_.emplace_back(line);
    });
  }
  ~AllowListFileTest() override {
    SetUpLog(LogLevel::kInfo, LogFormat::kText, [](std::string_view) {});
  }

  void OnList(size_t identities) override { identities_ = identities; }
  void OnReload(bool in_use) override { ++(in_use ? loaded_ : refused_); }

  void Write(const std::string& text) { std::ofstream(path_) << text; }
  void Second() { clock_.Advance(absl::Seconds(1)); }
  int Lines(const std::string& with) {
    FlushLog(absl::Seconds(30));
    MutexLock lock(mu_);
    int count = 0;
    for (const std::string& line : lines_) count += absl::StrContains(line, with) ? 1 : 0;
    return count;
  }
  void Open() {
    auto opened = AllowListFile::Open(path_, &clock_, this);
    ASSERT_TRUE(opened.ok()) << opened.status();
    file_ = *opened;
    file_->SetListener([this] { ++changes_; });
  }
  bool Lists(const std::string& identity) { return file_->current()->Find(identity) != nullptr; }

  testing::ManualScheduler clock_;
  testing::TempDir folder_;
  const std::string path_ = folder_.path() + "/list.yaml";
  size_t identities_ = 0;
  int loaded_ = 0, refused_ = 0, changes_ = 0;
  Mutex mu_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<AllowListFile> file_;
};

// Would break if a new list counted for nothing, one that stays were read again and again, or nobody were told.
TEST_F(AllowListFileTest, ANewListIsUsed) {
  Write("identities: {a: {}}");
  Open();
  EXPECT_EQ(identities_, 1u);
  const auto first = file_->current();
  for (int i = 0; i < 5; ++i) Second();
  EXPECT_EQ(file_->current(), first);
  Write("identities: {b: {}, c: {}}");
  Second();
  EXPECT_TRUE(Lists("a")) << "it may be half-written";
  Second();
  EXPECT_FALSE(Lists("a"));
  EXPECT_TRUE(Lists("b"));
  for (int i = 0; i < 5; ++i) Second();
  EXPECT_EQ(identities_, 2u);
  EXPECT_EQ(loaded_, 1);
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(Lines("the new allow-list is in use"), 1);
  // Whoever had the old one keeps it while it is at it.
  EXPECT_NE(first->Find("a"), nullptr);
}

// Would break if a typing mistake cut everybody off, or were said once a second, or never.
TEST_F(AllowListFileTest, AListThatCannotBeUsedLeavesTheOneBefore) {
  Write("identities: {a: {}}");
  Open();
  Write("identities: {a: {reed: {}}}");
  for (int i = 0; i < 30; ++i) Second();
  EXPECT_TRUE(Lists("a"));
  EXPECT_EQ(loaded_, 0);
  EXPECT_EQ(refused_, 3) << "tried again every ten seconds";
  EXPECT_EQ(changes_, 0);
  EXPECT_EQ(Lines("the allow-list has changed and cannot be used"), 1);
  EXPECT_EQ(Lines(path_ + ":1: a: reed: is no permission"), 1);
  fs::remove(path_);
  for (int i = 0; i < 3; ++i) Second();
  EXPECT_TRUE(Lists("a"));
  EXPECT_EQ(Lines("cannot be read"), 1);
  Write("identities: {b: {}}");
  Second();
  Second();
  EXPECT_TRUE(Lists("b"));
  EXPECT_EQ(loaded_, 1);
}

// Would break if a gateway started with a list that nobody has checked, or did not say what is wrong with it.
TEST_F(AllowListFileTest, DoesNotOpenWhatCannotBeUsed) {
  const auto error = [&](const std::string& path) {
    const auto opened = AllowListFile::Open(path, &clock_, this);
    EXPECT_FALSE(opened.ok());
    return std::string(opened.status().message());
  };
  EXPECT_EQ(error(path_), path_ + ": cannot be read (--auth_mtls_file)");
  EXPECT_EQ(error(folder_.path()), folder_.path() + ": cannot be read (--auth_mtls_file)");
  Write("");
  EXPECT_THAT(error(path_), HasSubstr("names nobody"));
  Write("identities: {a: {}}" + std::string(AllowList::kMaxBytes, ' '));
  EXPECT_THAT(error(path_), HasSubstr("has more than"));
  EXPECT_EQ(clock_.pending_timers(), 0u);
}

}  // namespace
}  // namespace meshgate::server::auth
