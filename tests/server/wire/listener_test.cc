#include "server/wire/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "consul/base/mutex.h"
#include "server/log.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::server::wire {
namespace {

// A port of the loopback whose connections are kept, whatever comes over them.
class ListenerTest : public ::testing::Test {
 protected:
  ListenerTest() {
    SetUpLog(LogLevel::kWarn, LogFormat::kText, [this](std::string_view) {
      MutexLock lock(mu_);
      ++warnings_;
    });
    if (absl::Status status = listener_->Open("127.0.0.1:0"); !status.ok()) ADD_FAILURE() << status;
    listener_->Start();
    loop_.Start();
  }
  ~ListenerTest() override {
    loop_.Post([this] { listener_->Close(); });
    loop_.Stop();
    for (const int fd : clients_) close(fd);
    MutexLock lock(mu_);
    for (const auto& [fd, peer] : taken_) close(fd);
    SetUpLog(LogLevel::kWarn, LogFormat::kText);
  }

  // A client's socket, and its address as the listener should tell it.
  std::string Connect() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_GE(fd, 0);
    clients_.push_back(fd);
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(listener_->address().substr(listener_->address().rfind(':') + 1), &port));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof address;
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
    return absl::StrCat("ipv4:127.0.0.1:", ntohs(address.sin_port));
  }

  // Those that were taken, once they are so many.
  std::vector<std::pair<int, std::string>> Taken(size_t count) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    MutexLock lock(mu_);
    while (taken_.size() < count && changed_.WaitUntil(mu_, end)) {
    }
    return taken_;
  }

  // Until what was posted before is done.
  void WaitForLoop() {
    bool done = false;
    loop_.Post([&] {
      MutexLock lock(mu_);
      done = true;
      changed_.NotifyAll();
    });
    MutexLock lock(mu_);
    while (!done) changed_.Wait(mu_);
  }

  testing::ManualScheduler clock_;
  consul::WatchReporter watches_;
  EventLoop loop_{&clock_, &watches_, {}};
  std::vector<int> clients_;
  Mutex mu_;
  CondVar changed_;
  std::vector<std::pair<int, std::string>> taken_ ABSL_GUARDED_BY(mu_);
  int warnings_ ABSL_GUARDED_BY(mu_) = 0;
  // Whether the next may follow at once.
  bool at_once_ ABSL_GUARDED_BY(mu_) = true;
  const std::shared_ptr<Listener> listener_ =
      std::make_shared<Listener>(&loop_, absl::Seconds(17), [this](int fd, std::string peer) {
        MutexLock lock(mu_);
        taken_.emplace_back(fd, std::move(peer));
        changed_.NotifyAll();
        return at_once_;
      });
};

int IntOption(int fd, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  getsockopt(fd, IPPROTO_TCP, name, &value, &size);
  return value;
}

// A loop would block, small messages would wait for each other, and a dead peer would keep its connection for hours.
TEST_F(ListenerTest, ConnectionsComeSetUp) {
  const std::string peer = Connect();
  const auto taken = Taken(1);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].second, peer);
  EXPECT_NE(fcntl(taken[0].first, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(taken[0].first, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(IntOption(taken[0].first, TCP_NODELAY), 0);
  EXPECT_EQ(IntOption(taken[0].first, TCP_USER_TIMEOUT), 17'000);
}

// Those that come at once would wait for the next one to come.
TEST_F(ListenerTest, TakesAllThatWait) {
  for (const bool at_once : {true, false}) {
    std::set<std::string> peers;
    Mutex mu;
    {
      // Nothing is taken until they are all there.
      MutexLock lock(mu);
      loop_.Post([&] { MutexLock wait(mu); });
      for (int i = 0; i < 100; ++i) peers.insert(Connect());
      MutexLock also(mu_);
      at_once_ = at_once;
    }
    WaitForLoop();
    const size_t before = at_once ? 0 : 100;
    std::set<std::string> taken;
    const auto all = Taken(before + 100);
    for (size_t i = before; i < all.size(); ++i) taken.insert(all[i].second);
    EXPECT_EQ(taken, peers);
  }
}

// A process that had no descriptors for a moment would take no connections ever after.
TEST_F(ListenerTest, GoesOnOnceThereAreDescriptors) {
  // UndefinedBehaviorSanitizer opens a pipe to look at an object, and without descriptors takes it for none.
  if (getenv("UBSAN_OPTIONS") != nullptr) GTEST_SKIP() << "the sanitizer needs descriptors itself";
  Connect();
  ASSERT_EQ(Taken(1).size(), 1u);
  // It may be trying for another one, for which it has a descriptor meanwhile.
  WaitForLoop();
  rlimit limits;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limits), 0);
  const int next = fcntl(clients_[0], F_DUPFD_CLOEXEC, 0);
  close(next);
  // One more, which is the client's.
  rlimit few = limits;
  few.rlim_cur = static_cast<rlim_t>(next) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const std::string peer = Connect();
  for (int i = 0; i < 3; ++i) WaitForLoop();
  EXPECT_EQ(Taken(1).size(), 1u);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limits), 0);
  const auto taken = Taken(2);
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_EQ(taken[1].second, peer);
  MutexLock lock(mu_);
  EXPECT_EQ(warnings_, 1);
}

// A drain closes it, and the end of the process again: by then its successor may listen there.
TEST_F(ListenerTest, LeavesAUnixSocketToItsSuccessor) {
  // A name that is short enough for a Unix socket.
  ASSERT_EQ(chdir(::testing::TempDir().c_str()), 0);
  const std::string path = "successor.sock";
  const auto listen = [&] {
    auto listener = std::make_shared<Listener>(&loop_, absl::Seconds(1), [](int fd, const std::string&) {
      close(fd);
      return true;
    });
    EXPECT_TRUE(listener->Open("unix:" + path).ok());
    return listener;
  };
  const auto close_now = [&](const std::shared_ptr<Listener>& listener) {
    loop_.Post([&] { listener->Close(); });
    WaitForLoop();
  };
  const auto old = listen();
  close_now(old);
  EXPECT_NE(access(path.c_str(), F_OK), 0);
  const auto successor = listen();
  close_now(old);
  EXPECT_EQ(access(path.c_str(), F_OK), 0);
  // It may also have come before the drain.
  const auto next = listen();
  close_now(successor);
  EXPECT_EQ(access(path.c_str(), F_OK), 0);
  close_now(next);
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace meshgate::server::wire
