#include "tests/bench/probes.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <utility>

#include "meshgate/v1/config_service.grpc.pb.h"
#include "meshgate/v1/registry_service.grpc.pb.h"
#include "tests/bench/readers.h"

namespace meshgate::bench {
namespace {

// Instances that the registrations go round.
constexpr int kInstances = 16;
constexpr auto kDeadline = std::chrono::seconds(60);

}  // namespace

Probes::Probes(const std::string& address, const std::string& key, int calls_per_second) {
  std::shared_ptr<v1::RegistryService::Stub> registry = v1::RegistryService::NewStub(Connect(address));
  register_thread_ = std::thread([this, registry, calls_per_second] {
    Run(
        calls_per_second,
        [&](int i) {
          grpc::ClientContext context;
          context.set_deadline(std::chrono::system_clock::now() + kDeadline);
          v1::RegisterRequest request;
          auto* instance = request.mutable_instance();
          instance->set_service("probe");
          instance->set_id("probe-" + std::to_string(i % kInstances));
          instance->set_address("127.0.0.1");
          instance->set_port(1 + i % 1000);
          v1::RegisterResponse response;
          const grpc::Status status = registry->Register(&context, request, &response);
          if (!status.ok()) std::fprintf(stderr, "Register: %s\n", status.error_message().c_str());
          return status.ok();
        },
        &registers_);
  });
  std::shared_ptr<v1::ConfigService::Stub> config = v1::ConfigService::NewStub(Connect(address));
  get_thread_ = std::thread([this, config, key, calls_per_second] {
    Run(
        calls_per_second,
        [&](int) {
          grpc::ClientContext context;
          context.set_deadline(std::chrono::system_clock::now() + kDeadline);
          v1::GetConfigRequest request;
          request.set_key(key);
          request.mutable_options()->set_consistency(v1::CONSISTENCY_DEFAULT);
          v1::GetConfigResponse response;
          const grpc::Status status = config->GetConfig(&context, request, &response);
          if (!status.ok()) std::fprintf(stderr, "GetConfig: %s\n", status.error_message().c_str());
          return status.ok();
        },
        &gets_);
  });
}

Probes::~Probes() { Stop(); }

Probes::Result Probes::Stop() {
  stop_ = true;
  if (register_thread_.joinable()) register_thread_.join();
  if (get_thread_.joinable()) get_thread_.join();
  return {std::move(registers_), std::move(gets_), failed_};
}

void Probes::Run(int calls_per_second, const Call& call, std::vector<double>* took) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; !stop_; ++i) {
    const auto due = begin + std::chrono::microseconds(int64_t{1'000'000} * i / calls_per_second);
    std::this_thread::sleep_until(due);
    if (!call(i)) ++failed_;
    took->push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - due).count());
  }
}

}  // namespace meshgate::bench
