// Sockets of connections, as a loop waits for them.
#ifndef MESHGATE_SERVER_WIRE_POLLER_H_
#define MESHGATE_SERVER_WIRE_POLLER_H_

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>

#include "boost/asio/io_context.hpp"
#include "boost/asio/posix/stream_descriptor.hpp"
#include "boost/system/error_code.hpp"

namespace meshgate::server::wire {

class PolledSocket;

// Waits for many sockets at once, beside what else an io_context does: each is registered once for its life,
// edge-triggered. Boost.Asio's own way to wait for a socket takes a system call each time, which is much where a
// connection reads a small request every few microseconds. On the io_context's thread.
class Poller {
 public:
  explicit Poller(boost::asio::io_context* io);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  void Start() { Wait(); }
  // Nobody is called any more.
  void Stop();

 private:
  friend class PolledSocket;

  bool Add(PolledSocket* socket);
  void Remove(PolledSocket* socket);
  // For one that has more to read already.
  void Again(PolledSocket* socket);
  void Wait();
  void Tell();
  void TellAgain();

  boost::asio::io_context* const io_;
  boost::asio::posix::stream_descriptor epoll_;
  bool stopped_ = false;
  // What has come, and whose turn it is; null where it was closed since.
  std::array<epoll_event, 64> events_;
  size_t next_ = 0;
  size_t count_ = 0;
  std::deque<PolledSocket*> again_;
  bool again_posted_ = false;
};

// A connected, non-blocking socket.
class PolledSocket {
 public:
  class Owner {
   public:
    // Once for each Wait...(). The socket may be closed inside, and its owner go.
    virtual void OnReadable() = 0;
    virtual void OnWritable() = 0;

   protected:
    ~Owner() = default;
  };

  // Owns `fd` from here on. `poller` and `owner` outlive it.
  PolledSocket(Poller* poller, int fd, Owner* owner);
  ~PolledSocket() { Close(); }
  PolledSocket(const PolledSocket&) = delete;
  PolledSocket& operator=(const PolledSocket&) = delete;

  int fd() const { return fd_; }
  // False where the kernel has no memory to watch it: nobody is ever called.
  bool watched() const { return watched_; }

  // A Read() that takes less than it may has not taken all: there is an end behind it, or a mark of urgent bytes.
  bool reads_short() const { return reads_short_; }

  // Both return how much, at once; boost::asio::error::would_block where that is nothing for now, eof where nothing
  // will come any more.
  size_t Read(char* data, size_t size, boost::system::error_code* error);
  size_t Write(std::string_view bytes, boost::system::error_code* error);

  // The owner is called when there may be something to read: soon, where Read() has not taken all of it.
  void WaitReadable();
  // The owner is called when there is room again. After a Write() that has not taken all it was given.
  void WaitWritable() { wants_write_ = true; }

  // Idempotent. Nobody is called any more.
  void Close();

 private:
  friend class Poller;

  void OnEvents(uint32_t events);
  void TellReadable();

  Poller* const poller_;
  Owner* const owner_;
  int fd_;
  // An edge has come, and what it stands for was not taken whole.
  bool readable_ = false;
  // What stops a read, the end or a mark of urgent bytes, brings no edge of its own.
  bool reads_short_ = false;
  bool wants_read_ = false;
  bool wants_write_ = false;
  const bool watched_;
  // Its place in the poller's queue.
  PolledSocket** again_ = nullptr;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_POLLER_H_
