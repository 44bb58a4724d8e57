// A thread of the HTTP server.
#ifndef MESHGATE_SERVER_HTTP_HTTP_LOOP_H_
#define MESHGATE_SERVER_HTTP_HTTP_LOOP_H_

#include <boost/asio/io_context.hpp>
#include <memory>
#include <vector>

#include "consul/base/mutex.h"
#include "consul/watch/reader_thread.h"

namespace meshgate::server {

// Runs its connections and the readers on them, all on one thread. Whoever has it run calls io().run().
class HttpLoop final : public consul::ReaderThread {
 public:
  HttpLoop() = default;

  boost::asio::io_context& io() { return io_; }

  // What is left when the loop has ended is dropped.
  void Schedule(std::shared_ptr<consul::Work> work) override;

 private:
  void RunWork();

  Mutex mu_;
  std::vector<std::shared_ptr<consul::Work>> work_ ABSL_GUARDED_BY(mu_);
  bool woken_ ABSL_GUARDED_BY(mu_) = false;

  // ---- The loop's thread alone: what RunWork() has taken, and how far it is.
  std::vector<std::shared_ptr<consul::Work>> running_;
  size_t next_ = 0;

  // Last: what it still holds when it is destroyed may leave word here.
  boost::asio::io_context io_{1};
};

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_HTTP_LOOP_H_
