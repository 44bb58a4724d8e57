#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "meshgate/v1/config_service.pb.h"
#include "meshgate/v1/registry_service.pb.h"
#include "tests/bench/peers/grpc_peer.h"
#include "tests/testing/certificates.h"
#include "tests/testing/child_process.h"
#include "tests/testing/gateway_process.h"

namespace meshgate::bench {
namespace {

using ::meshgate::testing::ChildProcess;
using ::meshgate::testing::GatewayProcess;

// Whatever serves the API of meshgate.v1.
class MeshgateApiPeer : public GrpcPeer {
 public:
  MeshgateApiPeer()
      : GrpcPeer({{Method::kWatch, {"/meshgate.v1.ConfigService/WatchConfig"}},
                  {Method::kRead, {"/meshgate.v1.ConfigService/GetConfig"}},
                  {Method::kWrite, {"/meshgate.v1.ConfigService/PutConfig"}},
                  {Method::kDiscover, {"/meshgate.v1.RegistryService/Discover"}}}) {}

  std::string Request(Method method, std::string_view value) const override {
    switch (method) {
      case Method::kWatch: {
        v1::WatchConfigRequest request;
        request.set_key(kKey);
        return request.SerializeAsString();
      }
      case Method::kRead: {
        v1::GetConfigRequest request;
        request.set_key(kKey);
        request.mutable_options()->set_consistency(v1::CONSISTENCY_CACHED);
        return request.SerializeAsString();
      }
      case Method::kWrite: {
        v1::PutConfigRequest request;
        request.set_key(kKey);
        request.set_value(std::string(value));
        return request.SerializeAsString();
      }
      case Method::kDiscover: {
        v1::DiscoverRequest request;
        request.set_service(kService);
        request.mutable_options()->set_consistency(v1::CONSISTENCY_CACHED);
        return request.SerializeAsString();
      }
    }
    return "";
  }
};

class Gateway final : public MeshgateApiPeer {
 public:
  explicit Gateway(std::vector<std::string> flags, bool tls = false) : process_(std::move(flags)), tls_(tls) {}

  bool listening() const { return process_.listening(); }
  std::vector<pid_t> pids() const override { return {process_.process().pid()}; }

 private:
  const std::string& address() const override { return process_.grpc_address(); }
  bool speaks_tls() const override { return tls_; }

  // It has no const access to its child.
  mutable GatewayProcess process_;
  const bool tls_;
};

class Program final : public MeshgateApiPeer {
 public:
  explicit Program(const std::string& path) : process_({{path}, {}, ""}) {
    const std::string prefix = "listening grpc=";
    const std::string line = process_.WaitForLine(prefix);
    if (!line.empty()) address_ = line.substr(prefix.size());
  }

  bool listening() const { return !address_.empty(); }
  std::vector<pid_t> pids() const override { return {process_.pid()}; }

 private:
  const std::string& address() const override { return address_; }

  ChildProcess process_;
  std::string address_;
};

template <typename Server>
absl::StatusOr<std::unique_ptr<Peer>> IfListening(std::unique_ptr<Server> server) {
  if (!server->listening()) return absl::InternalError("it does not start");
  return server;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Peer>> MakeMeshgate() {
  return IfListening(std::make_unique<Gateway>(std::vector<std::string>{"--log_level=warn"}));
}

absl::StatusOr<std::unique_ptr<Peer>> MakeMeshgateTls() {
  const auto certificates = testing::MakeCertificates(getenv("TEST_TMPDIR"));
  if (!certificates.has_value()) return absl::NotFoundError("openssl makes no certificates");
  return IfListening(std::make_unique<Gateway>(
      std::vector<std::string>{"--log_level=warn", "--grpc_tls_cert_file=" + certificates->cert_file,
                               "--grpc_tls_key_file=" + certificates->key_file},
      /*tls=*/true));
}

absl::StatusOr<std::unique_ptr<Peer>> MakeMeshgateWithConsul(const std::string& consul_url) {
  return IfListening(std::make_unique<Gateway>(
      std::vector<std::string>{"--log_level=warn", "--backend=consul", "--consul_address=" + consul_url}));
}

absl::StatusOr<std::unique_ptr<Peer>> MakeGrpcCallback() {
  return IfListening(std::make_unique<Program>("tests/bench/grpc_callback/grpc_callback_server"));
}

absl::StatusOr<std::unique_ptr<Peer>> MakeFloor() {
  return IfListening(std::make_unique<Program>("tests/bench/floor/floor_server"));
}

}  // namespace meshgate::bench
