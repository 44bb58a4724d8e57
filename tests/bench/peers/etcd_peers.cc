// What etcd 3.4 calls things: etcdserver/etcdserverpb/rpc.proto and mvcc/mvccpb/kv.proto.
#include <unistd.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/bench/load/protobuf_wire.h"
#include "tests/bench/peers/grpc_peer.h"
#include "tests/bench/peers/programs.h"
#include "tests/testing/child_process.h"
#include "tests/testing/consul_agent.h"
#include "tests/testing/temp_dir.h"

namespace meshgate::bench {
namespace {

using ::meshgate::testing::ChildProcess;
using ::meshgate::testing::TempDir;

constexpr absl::Duration kStartsWithin = absl::Seconds(30);

std::string Address(uint16_t port) { return absl::StrCat("127.0.0.1:", port); }

bool WaitListening(const std::string& address) {
  for (const absl::Time until = absl::Now() + kStartsWithin; absl::Now() < until;) {
    const int fd = ConnectTo(address);
    if (fd >= 0) {
      close(fd);
      return true;
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
  return false;
}

class EtcdPeer final : public GrpcPeer {
 public:
  explicit EtcdPeer(bool with_proxy)
      : GrpcPeer({{Method::kWatch, {"/etcdserverpb.Watch/Watch", /*client_streams=*/true}},
                  {Method::kRead, {"/etcdserverpb.KV/Range"}},
                  {Method::kWrite, {"/etcdserverpb.KV/Put"}}}) {
    const std::vector<uint16_t> ports = testing::FreePorts(3);
    const std::string client = Address(ports[0]), peers = absl::StrCat("http://", Address(ports[1]));
    const std::string log = absl::StrCat(folder_.path(), "/log");
    etcd_.emplace(ChildProcess::Options{
        {"etcd", absl::StrCat("--data-dir=", folder_.path(), "/data"),
         absl::StrCat("--listen-client-urls=http://", client), absl::StrCat("--advertise-client-urls=http://", client),
         "--listen-peer-urls=" + peers, "--initial-advertise-peer-urls=" + peers, "--initial-cluster=default=" + peers,
         "--logger=zap", "--log-level=error"},
        {},
        log});
    address_ = client;
    listening_ = WaitListening(address_);
    if (!with_proxy || !listening_) return;
    address_ = Address(ports[2]);
    proxy_.emplace(ChildProcess::Options{
        {"etcd", "grpc-proxy", "start", "--endpoints=" + client, "--listen-addr=" + address_}, {}, log});
    listening_ = WaitListening(address_);
  }

  bool listening() const { return listening_; }

  std::vector<pid_t> pids() const override {
    std::vector<pid_t> pids = {etcd_->pid()};
    if (proxy_.has_value()) pids.push_back(proxy_->pid());
    return pids;
  }

  std::string Request(Method method, std::string_view value) const override {
    std::string request;
    AppendBytesField(1, kKey, &request);
    switch (method) {
      case Method::kWatch: {
        // WatchRequest.create_request
        std::string watch;
        AppendBytesField(1, request, &watch);
        return watch;
      }
      case Method::kRead:
        // RangeRequest.serializable: from this member's memory, without asking the others.
        AppendVarintField(7, 1, &request);
        return request;
      case Method::kWrite:
        AppendBytesField(2, value, &request);
        return request;
      case Method::kDiscover:
        break;
    }
    return "";
  }

 private:
  const std::string& address() const override { return address_; }

  const TempDir folder_;
  std::optional<ChildProcess> etcd_, proxy_;
  std::string address_;
  bool listening_ = false;
};

absl::StatusOr<std::unique_ptr<Peer>> Make(bool with_proxy) {
  if (auto found = FindProgram("etcd", "apt-get install etcd-server"); !found.ok()) return found;
  auto peer = std::make_unique<EtcdPeer>(with_proxy);
  if (!peer->listening()) return absl::InternalError("etcd does not start");
  return peer;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Peer>> MakeEtcd() { return Make(/*with_proxy=*/false); }

absl::StatusOr<std::unique_ptr<Peer>> MakeEtcdProxy() { return Make(/*with_proxy=*/true); }

}  // namespace meshgate::bench
