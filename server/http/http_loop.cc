#include "server/http/http_loop.h"

#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

namespace meshgate::server {
namespace {

// Work is done for so long before sockets have their turn; and how much of it without a look at the clock.
constexpr std::chrono::microseconds kBatch(500);
constexpr size_t kBetweenLooks = 16;

}  // namespace

void HttpLoop::Schedule(std::shared_ptr<consul::Work> work) {
  bool wake;
  {
    MutexLock lock(mu_);
    work_.push_back(std::move(work));
    wake = !std::exchange(woken_, true);
  }
  if (wake) boost::asio::post(io_, [this] { RunWork(); });
}

void HttpLoop::RunWork() {
  if (next_ == running_.size()) {
    running_.clear();
    next_ = 0;
    MutexLock lock(mu_);
    woken_ = false;
    running_.swap(work_);
  }
  const auto begun = std::chrono::steady_clock::now();
  bool more = false;
  while (next_ < running_.size() && !more) {
    const bool goes_on = running_[next_]->Run();
    if (!goes_on) running_[next_++] = nullptr;
    more = (goes_on || next_ % kBetweenLooks == 0) && std::chrono::steady_clock::now() - begun >= kBatch;
  }
  if (more) boost::asio::post(io_, [this] { RunWork(); });
}

}  // namespace meshgate::server
