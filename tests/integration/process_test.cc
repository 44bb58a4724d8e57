// The process under conditions that its code does not choose: few file descriptors, a log that nobody reads, signals.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "meshgate/v1/config_service.grpc.pb.h"
#include "tests/testing/gateway_process.h"

namespace meshgate {
namespace {

using ::meshgate::testing::ChildProcess;
using ::meshgate::testing::GatewayProcess;
using ::testing::HasSubstr;

constexpr absl::Duration kBound = absl::Seconds(30);

std::string Folder(const std::string& name) { return std::string(getenv("TEST_TMPDIR")) + "/" + name; }

std::string Text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A command that runs another with this `ulimit`.
ChildProcess::Options WithLimit(const std::string& limit) {
  ChildProcess::Options options;
  options.arguments = {"/bin/sh", "-c", "ulimit " + limit + " && exec \"$@\"", "sh"};
  return options;
}

class Connection {
 public:
  explicit Connection(const std::string& address) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const size_t colon = address.rfind(':');
    sockaddr_in peer{};
    peer.sin_family = AF_INET;
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(colon + 1), &port));
    peer.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &peer.sin_addr);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&peer), sizeof peer) == 0;
  }
  ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  bool connected() const { return connected_; }

 private:
  const int fd_;
  bool connected_ = false;
};

grpc::Status Put(const GatewayProcess& gateway) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kBound));
  v1::PutConfigRequest request;
  request.set_key("a");
  v1::PutConfigResponse response;
  return v1::ConfigService::NewStub(gateway.NewChannel())->PutConfig(&context, request, &response);
}

// Would break if the usual soft limit of 1024 bounded the number of callers.
TEST(ProcessTest, RaisesItsFileLimit) {
  GatewayProcess gateway({"--data_dir=" + Folder("limit")}, WithLimit("-Sn 256"));
  ASSERT_TRUE(gateway.listening());
  EXPECT_GT(gateway.Metric("process_max_fds").value_or(0), 256);
}

// Would break if a gateway that was out of file descriptors once stayed deaf after that, or were replaced for it: its
// streams would be lost with it.
TEST(ProcessTest, TakesConnectionsAgainWhenThereAreDescriptors) {
  ChildProcess::Options options = WithLimit("-n 64");
  options.stderr_file = Folder("descriptors.log");
  GatewayProcess gateway({"--data_dir=" + Folder("descriptors")}, options);
  ASSERT_TRUE(gateway.listening());
  ASSERT_TRUE(Put(gateway).ok());
  {
    std::vector<std::unique_ptr<Connection>> connections;
    for (int i = 0; i < 120; ++i) connections.push_back(std::make_unique<Connection>(gateway.grpc_address()));
    // Not only because there are as many as may be.
    const absl::Time until = absl::Now() + kBound;
    while (absl::Now() < until && Text(options.stderr_file).find("cannot take a connection") == std::string::npos) {
      std::this_thread::yield();
    }
    EXPECT_THAT(Text(options.stderr_file), HasSubstr("cannot take a connection"));
  }
  EXPECT_TRUE(Put(gateway).ok());
  int code = 0;
  EXPECT_EQ(gateway.Get("/livez", &code), "ok\n");
  EXPECT_EQ(code, 200);
  gateway.process().Signal(SIGTERM);
  const auto ended = gateway.process().Wait();
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->code, 0);
}

// Would break if a log that nobody reads, such as the pipe of a supervisor that hangs, froze calls or made the process
// deaf to SIGTERM.
TEST(ProcessTest, WorksAndStopsWhileNobodyReadsItsLog) {
  const std::string fifo = Folder("log");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const int reader = open(fifo.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  const std::string text(4096, '.');
  while (write(reader, text.data(), text.size()) > 0) {
  }
  ChildProcess::Options options;
  options.stderr_file = fifo;
  GatewayProcess gateway({"--data_dir=" + Folder("unread"), "--log_level=debug"}, options);
  ASSERT_TRUE(gateway.listening());
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(Put(gateway).ok());
  gateway.process().Signal(SIGTERM);
  const auto ended = gateway.process().Wait();
  close(reader);
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->code, 0);
}

// Would break if a stop that reaches the process twice, because a process and its group are signalled, cut its streams.
TEST(ProcessTest, OneStopMayComeTwice) {
  const std::string log = Folder("twice.log");
  ChildProcess::Options options;
  options.stderr_file = log;
  GatewayProcess gateway({"--data_dir=" + Folder("twice"), "--drain_delay=500ms"}, options);
  ASSERT_TRUE(gateway.listening());
  gateway.process().Signal(SIGTERM);
  // Told apart from the first one: that has been taken.
  int code = 0;
  const absl::Time until = absl::Now() + kBound;
  while (absl::Now() < until && code != 503) gateway.Get("/readyz", &code);
  gateway.process().Signal(SIGTERM);
  const auto ended = gateway.process().Wait();
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->code, 0);
}

// Would break if somebody who insists had to wait for the drain.
TEST(ProcessTest, ALaterSignalEndsTheDrain) {
  GatewayProcess gateway({"--data_dir=" + Folder("insist"), "--drain_delay=20s", "--drain_timeout=60s"});
  ASSERT_TRUE(gateway.listening());
  const absl::Time began = absl::Now();
  std::optional<meshgate::testing::ExitStatus> ended;
  while (!ended.has_value() && absl::Now() < began + kBound) {
    gateway.process().Signal(SIGTERM);
    ended = gateway.process().Wait(absl::Milliseconds(300));
  }
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->code, 1);
  EXPECT_LT(absl::Now() - began, absl::Seconds(15));
}

}  // namespace
}  // namespace meshgate
