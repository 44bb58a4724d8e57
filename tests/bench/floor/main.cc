// The least that a server of WatchConfig, GetConfig and PutConfig can do: one key in memory, HTTP/2's frames by hand,
// one writev for each connection and change, nothing checked and nothing decoded that our own client does not vary.
// What a real server takes above it is what it does for its callers.
//
//   floor_server            prints "listening grpc=127.0.0.1:PORT" and serves until it is killed
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "tests/bench/floor/connection.h"
#include "tests/bench/floor/state.h"

namespace meshgate::bench {
namespace {

constexpr int kWorkers = 2;
constexpr int kEvents = 256;
constexpr size_t kBufferBytes = 64 << 10;

// The state, and who has to hear of a new one.
class Board {
 public:
  SharedFloorState Get() {
    const std::lock_guard<std::mutex> lock(mu_);
    return state_;
  }
  void Put(std::string_view request) {
    {
      const std::lock_guard<std::mutex> lock(mu_);
      state_ = ApplyPut(*state_, request);
    }
    for (const int fd : wake_) {
      const uint64_t one = 1;
      if (write(fd, &one, sizeof one) < 0) abort();
    }
  }
  // Before there are workers.
  int AddWorker() {
    wake_.push_back(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    return wake_.back();
  }

 private:
  std::mutex mu_;
  SharedFloorState state_ = std::make_shared<FloorState>();
  std::vector<int> wake_;
};

class Worker {
 public:
  explicit Worker(Board* board)
      : board_(board), epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(board->AddWorker()), buffer_(kBufferBytes) {
    Control(EPOLL_CTL_ADD, wake_, EPOLLIN);
  }

  // From the thread that accepts.
  void Adopt(int fd) {
    {
      const std::lock_guard<std::mutex> lock(mu_);
      connections_.emplace(fd, std::make_unique<FloorConnection>(fd));
    }
    Control(EPOLL_CTL_ADD, fd, EPOLLIN);
  }

  void Run() {
    epoll_event events[kEvents];
    const auto on_put = [this](std::string_view request) { board_->Put(request); };
    while (true) {
      const int count = epoll_wait(epoll_, events, kEvents, -1);
      const SharedFloorState state = board_->Get();
      for (int i = 0; i < count; ++i) {
        const int fd = events[i].data.fd;
        if (fd == wake_) {
          OnChange();
          continue;
        }
        FloorConnection* connection = Find(fd);
        if ((events[i].events & ~uint32_t{EPOLLOUT}) && !connection->OnReadable(state, &buffer_, on_put)) {
          const std::lock_guard<std::mutex> lock(mu_);
          connections_.erase(fd);
          continue;
        }
        const bool flushed = connection->Flush();
        if (!flushed || (events[i].events & EPOLLOUT)) Control(EPOLL_CTL_MOD, fd, Interest(flushed));
      }
    }
  }

 private:
  static uint32_t Interest(bool flushed) { return flushed ? EPOLLIN : EPOLLIN | EPOLLOUT; }

  void Control(int operation, int fd, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    epoll_ctl(epoll_, operation, fd, &event);
  }

  FloorConnection* Find(int fd) {
    const std::lock_guard<std::mutex> lock(mu_);
    return connections_.at(fd).get();
  }

  void OnChange() {
    uint64_t count = 0;
    if (read(wake_, &count, sizeof count) < 0) return;
    const SharedFloorState state = board_->Get();
    const std::lock_guard<std::mutex> lock(mu_);
    for (const auto& [fd, connection] : connections_) {
      connection->Broadcast(*state);
      if (!connection->Flush()) Control(EPOLL_CTL_MOD, fd, Interest(false));
    }
  }

  Board* const board_;
  const int epoll_;
  const int wake_;
  std::vector<char> buffer_;
  std::mutex mu_;  // of the map alone
  std::unordered_map<int, std::unique_ptr<FloorConnection>> connections_;
};

int Main() {
  signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener, SOMAXCONN) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    perror("floor_server");
    return 1;
  }
  Board board;
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < kWorkers; ++i) workers.push_back(std::make_unique<Worker>(&board));
  for (const auto& worker : workers) std::thread([&worker] { worker->Run(); }).detach();
  printf("listening grpc=127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (size_t next = 0;; ++next) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) continue;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    workers[next % kWorkers]->Adopt(fd);
  }
}

}  // namespace
}  // namespace meshgate::bench

int main() { return meshgate::bench::Main(); }
