#include "server/wire/poller.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "boost/asio/error.hpp"
#include "boost/asio/io_context.hpp"

namespace meshgate::server::wire {
namespace {

using boost::system::error_code;

// One end of a pair of sockets, watched, and what has been told of it.
class End final : public PolledSocket::Owner {
 public:
  End(Poller* poller, int fd) : socket(std::make_unique<PolledSocket>(poller, fd, this)) {}

  void OnReadable() override {
    ++readable;
    if (on_readable) on_readable();
  }
  void OnWritable() override {
    ++writable;
    if (on_writable) on_writable();
  }
  // At most so much.
  std::string Read(size_t most = 100) {
    std::string bytes(most, '\0');
    error = {};
    bytes.resize(socket->Read(bytes.data(), most, &error));
    return bytes;
  }

  std::unique_ptr<PolledSocket> socket;
  error_code error;
  int readable = 0;
  int writable = 0;
  std::function<void()> on_readable, on_writable;
};

class PollerTest : public ::testing::Test {
 protected:
  PollerTest() { poller_.Start(); }
  ~PollerTest() override {
    poller_.Stop();
    for (const int fd : peers_) close(fd);
    io_.run();
  }

  std::unique_ptr<End> Make() {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    peers_.push_back(fds[1]);
    return std::make_unique<End>(&poller_, fds[0]);
  }
  static void Send(int fd, const std::string& bytes) {
    ASSERT_EQ(write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  // All that is due now.
  void Run() {
    while (io_.poll() > 0) {
    }
  }

  boost::asio::io_context io_{1};
  Poller poller_{&io_};
  std::vector<int> peers_;
};

// A connection would not hear of what its peer sends, or would hear of it without having asked.
TEST_F(PollerTest, TellsOnceForEachWait) {
  const auto end = Make();
  Send(peers_[0], "a");
  Run();
  EXPECT_EQ(end->readable, 0);
  end->socket->WaitReadable();
  Run();
  EXPECT_EQ(end->readable, 1);
  EXPECT_EQ(end->Read(), "a");
  Send(peers_[0], "b");
  Run();
  EXPECT_EQ(end->readable, 1);
  end->socket->WaitReadable();
  Run();
  EXPECT_EQ(end->readable, 2);
  EXPECT_EQ(end->Read(), "b");
  EXPECT_EQ(end->Read(), "");
  EXPECT_EQ(end->error, boost::asio::error::would_block);
}

// What is left of a long request would stay unread until the peer happened to send more.
TEST_F(PollerTest, TellsAgainOfWhatWasNotTaken) {
  const auto end = Make();
  end->on_readable = [&] {
    end->Read(2);
    end->socket->WaitReadable();
  };
  end->socket->WaitReadable();
  Send(peers_[0], "123456");
  Run();
  // Three times two, and once to see that there is no more.
  EXPECT_EQ(end->readable, 4);
  EXPECT_EQ(end->error, boost::asio::error::would_block);
}

// A connection whose peer has sent its last bytes and gone would stay open for ever: both come with one edge.
TEST_F(PollerTest, TellsOfTheEndBehindTheLastBytes) {
  const auto end = Make();
  std::string read;
  end->on_readable = [&] {
    read += end->Read();
    if (!end->error) end->socket->WaitReadable();
  };
  Send(peers_[0], "last");
  shutdown(peers_[0], SHUT_WR);
  end->socket->WaitReadable();
  Run();
  EXPECT_EQ(read, "last");
  EXPECT_EQ(end->error, boost::asio::error::eof);
}

// What a full socket did not take would never be sent.
TEST_F(PollerTest, TellsWhenThereIsRoomAgain) {
  const auto end = Make();
  const std::string much(4 << 20, 'x');
  error_code error;
  size_t sent = end->socket->Write(much, &error);
  ASSERT_LT(sent, much.size());
  end->on_writable = [&] {
    error = {};
    sent += end->socket->Write(std::string_view(much).substr(sent), &error);
    if (sent < much.size()) end->socket->WaitWritable();
  };
  end->socket->WaitWritable();
  Run();
  EXPECT_EQ(end->writable, 0);
  size_t received = 0;
  std::string buffer(64 << 10, '\0');
  while (received < much.size()) {
    const ssize_t got = read(peers_[0], buffer.data(), buffer.size());
    if (got > 0) received += static_cast<size_t>(got);
    Run();
  }
  EXPECT_EQ(sent, much.size());
  EXPECT_GT(end->writable, 1);
}

// A peer that sends and reads at the same time would have one of both forgotten.
TEST_F(PollerTest, TellsOfBothSides) {
  const auto end = Make();
  const std::string much(4 << 20, 'x');
  error_code error;
  ASSERT_LT(end->socket->Write(much, &error), much.size());
  end->socket->WaitWritable();
  end->socket->WaitReadable();
  Run();
  EXPECT_EQ(end->writable, 0);
  std::string buffer(8 << 20, '\0');
  while (read(peers_[0], buffer.data(), buffer.size()) > 0) {
  }
  Send(peers_[0], "a");
  Run();
  EXPECT_EQ(end->writable, 1);
  EXPECT_EQ(end->readable, 1);
}

// Closing one connection while another is served would have the loop call what is gone.
TEST_F(PollerTest, TellsNobodyThatHasClosed) {
  const auto first = Make();
  auto second = Make();
  const auto close_other = [&](End* other) { return [other] { other->socket->Close(); }; };
  first->on_readable = close_other(second.get());
  second->on_readable = close_other(first.get());
  for (const auto& end : {first.get(), second.get()}) end->socket->WaitReadable();
  for (const int peer : peers_) Send(peer, "a");
  Run();
  EXPECT_EQ(first->readable + second->readable, 1);
  // The same where one is to be told again.
  const auto third = Make();
  const auto fourth = Make();
  for (const auto& end : {third.get(), fourth.get()}) end->socket->WaitReadable();
  Send(peers_[2], "ab");
  Send(peers_[3], "ab");
  third->on_readable = [&] {
    third->Read(1);
    third->socket->WaitReadable();
  };
  fourth->on_readable = [&] {
    fourth->Read(1);
    fourth->socket->WaitReadable();
    third->socket->Close();
    fourth->socket->Close();
  };
  Run();
  EXPECT_LE(third->readable, 2);
  EXPECT_EQ(fourth->readable, 1);
}

// An owner that goes when it is told something would be called once more.
TEST_F(PollerTest, LetsAnOwnerGoInside) {
  auto end = Make();
  const std::string much(4 << 20, 'x');
  error_code error;
  ASSERT_LT(end->socket->Write(much, &error), much.size());
  end->socket->WaitWritable();
  end->socket->WaitReadable();
  end->on_writable = [&] { end.reset(); };
  Run();
  std::string buffer(8 << 20, '\0');
  while (read(peers_[0], buffer.data(), buffer.size()) > 0) {
  }
  Send(peers_[0], "a");
  Run();
  EXPECT_EQ(end, nullptr);
}

// What a peer that has gone leaves would never be noticed by a connection that waits for room.
TEST_F(PollerTest, TellsOfAPeerThatHasGone) {
  const auto end = Make();
  const std::string much(4 << 20, 'x');
  error_code error;
  ASSERT_LT(end->socket->Write(much, &error), much.size());
  end->socket->WaitWritable();
  close(peers_[0]);
  peers_.clear();
  Run();
  EXPECT_EQ(end->writable, 1);
  error = {};
  EXPECT_EQ(end->socket->Write(much, &error), 0u);
  EXPECT_TRUE(error);
}

// A socket that somebody else holds open, such as a process that was forked, would be told of to an owner that is gone.
TEST_F(PollerTest, ForgetsASocketThatLivesOn) {
  auto end = Make();
  const int copy = dup(end->socket->fd());
  end->socket->WaitReadable();
  end.reset();
  Send(peers_[0], "a");
  Run();
  close(copy);
}

// More sockets than fit into one look at the kernel would wait for ever.
TEST_F(PollerTest, TellsOfAnyNumber) {
  std::vector<std::unique_ptr<End>> ends;
  for (int i = 0; i < 200; ++i) {
    ends.push_back(Make());
    ends.back()->socket->WaitReadable();
    Send(peers_.back(), "a");
  }
  Run();
  for (const auto& end : ends) EXPECT_EQ(end->readable, 1);
}

// A loop would not end while a connection waits to be told again.
TEST_F(PollerTest, StopsWithSomebodyWaiting) {
  auto end = Make();
  Send(peers_[0], "ab");
  end->socket->WaitReadable();
  Run();
  end->Read(1);
  end->socket->WaitReadable();
  end->socket->Close();
  poller_.Stop();
  Run();
  EXPECT_EQ(end->readable, 1);
}

}  // namespace
}  // namespace meshgate::server::wire
