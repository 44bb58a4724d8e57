#include "server/wire/front.h"

#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "server/log.h"

namespace meshgate::server::wire {
namespace {

// Taken, and not begun with, for each loop: more than that are taken one by one.
constexpr int kOnTheirWay = 16;

}  // namespace

absl::StatusOr<std::unique_ptr<Front>> Front::Start(const FrontOptions& options, Scheduler* clock,
                                                    consul::WatchReporter* watches, CallFactory calls) {
  std::unique_ptr<Front> front(new Front(options, clock, watches, std::move(calls)));
  if (absl::Status status = front->Listen(); !status.ok()) return status;
  for (const auto& loop : front->loops_) loop->Start();
  return front;
}

Front::Front(const FrontOptions& options, Scheduler* clock, consul::WatchReporter* watches, CallFactory calls)
    : options_(options), reporter_(options.connection.reporter), calls_(std::move(calls)) {
  const int threads = options.threads > 0 ? options.threads : static_cast<int>(std::thread::hardware_concurrency());
  for (int i = 0; i < std::max(1, threads); ++i) {
    loops_.push_back(std::make_unique<EventLoop>(clock, watches, options.loop));
  }
}

Front::~Front() { Stop(); }

absl::Status Front::Listen() {
  for (const std::string& address : options_.listen) {
    auto listener =
        std::make_shared<Listener>(loops_.front().get(), options_.connection.keepalive_timeout,
                                   [this](int fd, std::string peer) { return OnAccept(fd, std::move(peer)); });
    if (absl::Status status = listener->Open(address); !status.ok()) return status;
    addresses_.push_back(listener->address());
    listeners_.push_back(std::move(listener));
  }
  for (const auto& listener : listeners_) listener->Start();
  return absl::OkStatus();
}

bool Front::OnAccept(int fd, std::string peer) {
  const bool full = connections_ >= options_.max_connections;
  if (full != std::exchange(full_, full) && full) {
    Log(LogLevel::kWarn, "connections are refused: there are as many as may be",
        {{"connections", static_cast<int64_t>(connections_)}});
  }
  if (full) {
    if (reporter_ != nullptr) reporter_->OnRefused();
    close(fd);
    return true;
  }
  tls::HandshakeBudget::Place place;
  if (options_.connection.tls != nullptr) {
    place = options_.connection.tls->Admit(peer);
    if (!place) {
      close(fd);
      return false;
    }
  }
  ++connections_;
  ++on_their_way_;
  if (reporter_ != nullptr) reporter_->OnConnections(+1);
  EventLoop* const loop = loops_[next_++ % loops_.size()].get();
  // From the acceptor's loop to its own.
  loop->Post([this, loop, fd, peer = std::move(peer), place = std::move(place)]() mutable {
    --on_their_way_;
    if (loop->stopping()) {
      close(fd);
      return OnClosed();
    }
    auto connection = std::make_shared<Connection>(loop, fd, std::move(peer), &options_.connection, &calls_,
                                                   std::move(place), [this] { OnClosed(); });
    loop->Add(connection);
    connection->Start();
  });
  // Handshakes take the loops long, and each has a place of few.
  return options_.connection.tls == nullptr && on_their_way_ < kOnTheirWay * static_cast<int>(loops_.size());
}

void Front::OnClosed() {
  if (reporter_ != nullptr) reporter_->OnConnections(-1);
  if (--connections_ > 0) return;
  MutexLock lock(mu_);
  changed_.NotifyAll();
}

void Front::BeginDrain() {
  loops_.front()->Post([this] {
    for (const auto& listener : listeners_) listener->Close();
    // Connections that were taken before this are there when it arrives.
    for (const auto& loop : loops_) {
      EventLoop* const own = loop.get();
      own->Post([own] {
        own->Hurry();
        const auto all = own->connections();
        for (const auto& connection : all) connection->GoAway();
      });
    }
  });
}

void Front::CloseConnections() {
  // Behind what a drain has posted.
  loops_.front()->Post([this] {
    for (const auto& loop : loops_) {
      EventLoop* const own = loop.get();
      own->Post([own] {
        const auto all = own->connections();
        for (const auto& connection : all) connection->Close();
      });
    }
  });
}

bool Front::WaitForConnections(absl::Time deadline) {
  MutexLock lock(mu_);
  while (connections_ > 0) {
    if (!changed_.WaitUntil(mu_, deadline)) return connections_ <= 0;
  }
  return true;
}

void Front::Stop() {
  if (loops_.empty()) return;
  if (loops_.front()->running()) {
    // Before the loops: what they have taken must find its loop.
    loops_.front()->Post([this] {
      for (const auto& listener : listeners_) listener->Close();
    });
  }
  for (const auto& loop : loops_) loop->Stop();
}

}  // namespace meshgate::server::wire
