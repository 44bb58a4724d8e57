// What happens to the gateway: killed, out of disk, of descriptors, of memory, its clock moved.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/fault/world.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/tcp_proxy.h"

namespace meshgate::fault {
namespace {

namespace fs = std::filesystem;
using testing::ConsulAgent;
using testing::TcpProxy;

// Readers that come back to a new process go on where they were, also while Consul is away: then with what was known
// last, marked stale.
TEST(FaultMatrix, GatewayKilled) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  TcpProxy proxy(agent.http_port());
  World world({"kill -9 of the gateway, also while Consul is away", proxy.url(), agent.url()});
  ASSERT_TRUE(world.Start());
  for (int cycle = 0; cycle < Pick(1, 2); ++cycle) {
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(3)));
    world.KillGateway(0);
    ASSERT_TRUE(world.StartGateway(0));
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(3)));
    world.Settle();
    // A new process answers from Consul. Now without one, as soon as what is known is stored.
    absl::SleepFor(absl::Seconds(2));
    proxy.SetMode(TcpProxy::Mode::kRefuse);
    proxy.BreakAll();
    world.KillGateway(0);
    ASSERT_TRUE(world.StartGateway(0));
    world.AwaitStale();
    world.CheckHeld("by a gateway that started without Consul");
    // What is written now nobody hears of before Consul is back.
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(3)));
    world.PauseLoad();
    proxy.SetMode(TcpProxy::Mode::kPass);
    world.Converge("Consul was back", Pick(absl::Seconds(20), absl::Seconds(4)));
    world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));

    // In the middle of everything, as it comes.
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(3)));
    proxy.SetMode(TcpProxy::Mode::kRefuse);
    proxy.BreakAll();
    world.KillGateway(0);
    world.KillGateway(1);
    ASSERT_TRUE(world.StartGateway(0));
    ASSERT_TRUE(world.StartGateway(1));
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(3)));
    proxy.SetMode(TcpProxy::Mode::kPass);
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(3)));
  }
  world.Judge();
}

// A disk that takes no more must cost nothing but the memory of a restart.
TEST(FaultMatrix, DiskFull) {
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  TcpProxy proxy(agent.http_port());
  World world({"a full disk under --data_dir", proxy.url(), agent.url()});
  // A file system of its own where that is permitted, otherwise files that may not grow.
  const bool mounts =
      std::system("unshare --user --map-root-user --mount sh -c 'mount -t tmpfs tmpfs /mnt' 2> /dev/null") == 0;
  fs::create_directories(world.data_dir(0));
  if (mounts) {
    world.options().first_process.arguments = {
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        absl::StrCat("mount -t tmpfs -o size=48m tmpfs ", world.data_dir(0), " && exec \"$@\""),
        "sh"};
  } else {
    world.options().first_process.arguments = {"sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"};
  }
  ASSERT_TRUE(world.Start());
  const pid_t pid = world.gateway(0).process().pid();
  const std::string filler = absl::StrCat("/proc/", pid, "/root", world.data_dir(0), "/filler");
  world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(3)));
  if (mounts) {
    std::ofstream file(filler);
    const std::string megabyte(1 << 20, 'x');
    while (file << megabyte << std::flush) {
    }
  } else {
    const rlimit small{4096, RLIM_INFINITY};
    ASSERT_EQ(prlimit(pid, RLIMIT_FSIZE, &small, nullptr), 0);
  }
  // More than the store has set aside for what it writes next.
  for (int i = 0; i < 12; ++i) world.hand().Put(absl::StrCat("big/full/", i), 500000);
  EXPECT_TRUE(world.gateway(0).WaitForMetric("meshgate_state_store_up", 0)) << "the disk was not full";
  world.RunLoad(Pick(absl::Seconds(2), absl::Seconds(10)));
  world.PauseLoad();
  world.Converge("the disk was full", Pick(absl::Seconds(20), absl::Seconds(5)));
  if (mounts) {
    fs::remove(filler);
  } else {
    const rlimit large{RLIM_INFINITY, RLIM_INFINITY};
    ASSERT_EQ(prlimit(pid, RLIMIT_FSIZE, &large, nullptr), 0);
  }
  world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));
  EXPECT_TRUE(world.gateway(0).WaitForMetric("meshgate_state_store_up", 1)) << "there is room again";
  world.Judge();
}

// AddressSanitizer wants to be the first library, maps more than any limit, and opens files when it looks at a pointer.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// Clocks are set while a gateway runs; what it tells, and when it retries, must not depend on them.
TEST(FaultMatrix, ClockJumps) {
  if (kSanitized) GTEST_SKIP() << "about the binary as it is shipped";
  const std::string library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
  ASSERT_TRUE(fs::exists(library)) << "Debian's package faketime is not installed";
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  TcpProxy proxy(agent.http_port());
  World world({"the gateway's wall clock jumps", proxy.url(), agent.url()});
  const std::string clock = world.folder() + "/clock";
  auto set = [&](const std::string& offset) {
    // Replaced, so that nobody reads half of it.
    std::ofstream(clock + ".new") << offset << "\n";
    fs::rename(clock + ".new", clock);
  };
  set("+0");
  world.options().first_process.environment = {{"LD_PRELOAD", library},
                                               {"FAKETIME_TIMESTAMP_FILE", clock},
                                               {"FAKETIME_NO_CACHE", "1"},
                                               {"FAKETIME_DONT_FAKE_MONOTONIC", "1"},
                                               {"DONT_FAKE_MONOTONIC", "1"}};
  ASSERT_TRUE(world.Start());
  for (const std::string offset : {"+3600", "-3600", "+86400", "+0"}) {
    world.RunLoad(Pick(absl::Milliseconds(500), absl::Seconds(3)));
    set(offset);
    world.RunLoad(Pick(absl::Milliseconds(500), absl::Seconds(3)));
    world.Settle();
    world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));
    // And while it waits to try again.
    Outage outage{world.history().Now()};
    proxy.SetMode(TcpProxy::Mode::kRefuse);
    proxy.BreakAll();
    world.AwaitStale();
    set(offset == "+0" ? "+60" : "+0");
    proxy.SetMode(TcpProxy::Mode::kPass);
    world.Converge("the clock was set while Consul was away", Pick(absl::Seconds(20), absl::Seconds(4)));
    outage.end = world.history().Now();
    world.Add("stale and recovery", CheckStalePairs(world.history().record(), outage));
  }
  world.Judge();
}

// The lowest number that a file of the process may get next. Looks more than once: attempts to connect come and go.
rlim_t LowestFreeDescriptor(pid_t pid) {
  rlim_t lowest = RLIM_INFINITY;
  for (int look = 0; look < 100; ++look) {
    rlim_t number = 0;
    while (fs::is_symlink(fs::symlink_status(absl::StrCat("/proc/", pid, "/fd/", number)))) ++number;
    lowest = std::min(lowest, number);
  }
  return lowest;
}

// Whether steady readers of the first gateway, or those of the second, are all stale, or all not.
bool Steady(const std::vector<SubscriberLog>& logs, bool second, bool stale) {
  return std::all_of(logs.begin(), logs.end(), [&](const SubscriberLog& log) {
    if (!absl::StartsWith(log.name, "steady ")) return true;
    return absl::StartsWith(log.name, "steady on the second ") != second || log.stale == stale;
  });
}

// A gateway that can't open anything may refuse callers and lose Consul; what it says stays true.
TEST(FaultMatrix, DescriptorsShort) {
  if (kSanitized) GTEST_SKIP() << "about the binary as it is shipped";
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  TcpProxy proxy(agent.http_port());
  World world({"the gateway's file descriptors used up", proxy.url(), agent.url()});
  ASSERT_TRUE(world.Start());
  for (int cycle = 0; cycle < Pick(1, 3); ++cycle) {
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(3)));
    const pid_t pid = world.gateway(0).process().pid();
    rlimit before;
    ASSERT_EQ(prlimit(pid, RLIMIT_NOFILE, nullptr, &before), 0);
    // What was open to Consul is closed first; then the limit keeps it from being opened again.
    proxy.SetMode(TcpProxy::Mode::kRefuse);
    proxy.BreakAll();
    world.AwaitStale();
    const rlimit few{LowestFreeDescriptor(pid), before.rlim_max};
    ASSERT_EQ(prlimit(pid, RLIMIT_NOFILE, &few, nullptr), 0);
    proxy.SetMode(TcpProxy::Mode::kPass);
    EXPECT_TRUE(world.history().WaitUntil([](const auto& logs) { return Steady(logs, /*second=*/true, false); },
                                          absl::Seconds(30)));
    world.RunLoad(Pick(absl::Seconds(2), absl::Seconds(5)));
    world.PauseLoad();
    EXPECT_TRUE(Steady(world.history().record().subscribers, /*second=*/false, /*stale=*/true))
        << "the gateway was not short of descriptors";
    if (!world.Supervise(0)) prlimit(pid, RLIMIT_NOFILE, &before, nullptr);
    world.Converge("there were descriptors again", Pick(absl::Seconds(30), absl::Seconds(6)));
    world.Supervise(0);
    world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));
  }
  world.Judge();
}

// What the process has mapped to write to: what its arenas have set aside only counts when they use it.
rlim_t Data(pid_t pid) {
  std::ifstream statm(absl::StrCat("/proc/", pid, "/statm"));
  rlim_t pages = 0;
  for (int field = 0; field < 6; ++field) statm >> pages;
  return pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
}

// One without memory may end, and is started again.
TEST(FaultMatrix, MemoryShort) {
  if (kSanitized) GTEST_SKIP() << "about the binary as it is shipped";
  ConsulAgent agent;
  ASSERT_TRUE(agent.ready());
  World world({"the gateway's memory used up", agent.url(), agent.url()});
  ASSERT_TRUE(world.Start());
  int ended = 0;
  for (int cycle = 0; cycle < Pick(1, 3); ++cycle) {
    world.RunLoad(Pick(absl::Seconds(1), absl::Seconds(3)));
    const pid_t pid = world.gateway(0).process().pid();
    const rlimit small{Data(pid), RLIM_INFINITY};
    ASSERT_EQ(prlimit(pid, RLIMIT_DATA, &small, nullptr), 0);
    for (int i = 0; i < 8; ++i) world.hand().Put(absl::StrCat("big/memory/", i), 500000);
    world.RunLoad(Pick(absl::Seconds(2), absl::Seconds(5)));
    world.PauseLoad();
    if (world.Supervise(0)) {
      ++ended;
    } else {
      const rlimit large{RLIM_INFINITY, RLIM_INFINITY};
      prlimit(pid, RLIMIT_DATA, &large, nullptr);
    }
    world.Converge("there was memory again", Pick(absl::Seconds(30), absl::Seconds(8)));
    world.Canary(Pick(absl::Seconds(15), absl::Seconds(1)));
  }
  std::printf("the gateway ended %d times and was started again\n", ended);
  EXPECT_GT(ended, 0) << "the gateway was not short of memory";
  world.Judge();
}

}  // namespace
}  // namespace meshgate::fault
