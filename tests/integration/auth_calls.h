#ifndef MESHGATE_TESTS_INTEGRATION_AUTH_CALLS_H_
#define MESHGATE_TESTS_INTEGRATION_AUTH_CALLS_H_

#include <string>
#include <vector>

#include "tests/integration/auth_fixture.h"

namespace meshgate::testing {

// Every RPC, about things below "app/" and the service "web", as one call that ends.
class AuthCalls : public AuthFixture {
 protected:
  // May do everything that the calls do.
  static constexpr char kAllowed[] =
      R"(key_prefix "app/" { policy = "write" } service_prefix "web" { policy = "write" })"
      R"( node_prefix "" { policy = "read" })";
  // May do something else.
  static constexpr char kElse[] = R"(key_prefix "else/" { policy = "write" } service "else" { policy = "write" })";

  // Tokens 1 and 3 may do everything, 2 something else; the key has `value`, and there is an instance.
  void MakeCallers(const std::string& value) {
    MakePolicy("allowed", kAllowed);
    MakePolicy("else", kElse);
    MakeToken(Secret(1), "allowed");
    MakeToken(Secret(2), "else");
    MakeToken(Secret(3), "allowed");
    Put("app/k", value);
    RegisterAtConsul("web", "web-1");
  }

  struct Case {
    std::string name;
    std::function<grpc::Status(const std::string& token)> call;
  };

  // `value` is what they write.
  std::vector<Case> Calls(const std::string& value) {
    std::vector<Case> all;
    const auto add = [&](std::string name, std::function<grpc::Status(const std::string&)> call) {
      all.push_back({std::move(name), std::move(call)});
    };
    for (const v1::Consistency consistency :
         {v1::CONSISTENCY_CACHED, v1::CONSISTENCY_DEFAULT, v1::CONSISTENCY_CONSISTENT, v1::CONSISTENCY_STALE}) {
      const std::string how = " " + v1::Consistency_Name(consistency);
      add("GetConfig" + how, [=](const std::string& token) {
        v1::GetConfigRequest request;
        request.set_key("app/k");
        request.mutable_options()->set_consistency(consistency);
        return Unary<v1::GetConfigResponse>(config_, &v1::ConfigService::Stub::GetConfig, token, request);
      });
      for (const std::string prefix : {"app/", "app/nothing/"}) {
        add("ListConfig " + prefix + how, [=](const std::string& token) {
          v1::ListConfigRequest request;
          request.set_prefix(prefix);
          request.mutable_options()->set_consistency(consistency);
          return Unary<v1::ListConfigResponse>(config_, &v1::ConfigService::Stub::ListConfig, token, request);
        });
      }
      for (const std::string near : {"", "_agent"}) {
        add("Discover" + near + how, [=](const std::string& token) {
          v1::DiscoverRequest request;
          request.set_service("web");
          request.set_near(near);
          request.mutable_options()->set_consistency(consistency);
          return Unary<v1::DiscoverResponse>(registry_, &v1::RegistryService::Stub::Discover, token, request);
        });
      }
      add("ListServices" + how, [=](const std::string& token) {
        v1::ListServicesRequest request;
        request.mutable_options()->set_consistency(consistency);
        return Unary<v1::ListServicesResponse>(registry_, &v1::RegistryService::Stub::ListServices, token, request);
      });
    }
    add("PutConfig", [=](const std::string& token) {
      v1::PutConfigRequest request;
      request.set_key("app/put");
      request.set_value(value);
      return Unary<v1::PutConfigResponse>(config_, &v1::ConfigService::Stub::PutConfig, token, request);
    });
    for (const std::string key : {"app/put", ""}) {
      add("DeleteConfig " + key, [=](const std::string& token) {
        v1::DeleteConfigRequest request;
        key.empty() ? request.set_prefix("app/put") : request.set_key(key);
        return Unary<v1::DeleteConfigResponse>(config_, &v1::ConfigService::Stub::DeleteConfig, token, request);
      });
    }
    add("CommitConfig", [=](const std::string& token) {
      v1::CommitConfigRequest request;
      auto* put = request.add_operations()->mutable_put();
      put->set_key("app/commit");
      put->set_value(value);
      return Unary<v1::CommitConfigResponse>(config_, &v1::ConfigService::Stub::CommitConfig, token, request);
    });
    add("Register", [=](const std::string& token) {
      v1::RegisterRequest request;
      request.mutable_instance()->set_id("web-2");
      request.mutable_instance()->set_service("web");
      request.add_checks()->mutable_ttl()->set_seconds(60);
      return Unary<v1::RegisterResponse>(registry_, &v1::RegistryService::Stub::Register, token, request);
    });
    add("Heartbeat", [=](const std::string& token) {
      // There for everybody, whatever the calls before have come to.
      RegisterAtConsul("web", "web-2");
      v1::HeartbeatRequest request;
      request.set_id("web-2");
      return Unary<v1::HeartbeatResponse>(registry_, &v1::RegistryService::Stub::Heartbeat, token, request);
    });
    add("Deregister", [=](const std::string& token) {
      RegisterAtConsul("web", "web-2");
      v1::DeregisterRequest request;
      request.set_id("web-2");
      return Unary<v1::DeregisterResponse>(registry_, &v1::RegistryService::Stub::Deregister, token, request);
    });
    add("WatchConfig key", [=](const std::string& token) {
      v1::WatchConfigRequest request;
      request.set_key("app/k");
      return FirstOf<v1::WatchConfigResponse>(
          [&](grpc::ClientContext* context) { return config_->WatchConfig(context, request); }, token);
    });
    for (const std::string prefix : {"app/", "app/nothing/"}) {
      add("WatchConfig " + prefix, [=](const std::string& token) {
        v1::WatchConfigRequest request;
        request.set_prefix(prefix);
        return FirstOf<v1::WatchConfigResponse>(
            [&](grpc::ClientContext* context) { return config_->WatchConfig(context, request); }, token);
      });
    }
    add("WatchService", [=](const std::string& token) {
      v1::WatchServiceRequest request;
      request.set_service("web");
      return FirstOf<v1::WatchServiceResponse>(
          [&](grpc::ClientContext* context) { return registry_->WatchService(context, request); }, token);
    });
    add("HoldRegistration", [=](const std::string& token) { return Hold(token, "web-3"); });
    return all;
  }

  // Holds until it is registered, and gives it back.
  grpc::Status Hold(const std::string& token, const std::string& id) {
    grpc::ClientContext context;
    Authenticate(&context, token);
    auto stream = registry_->HoldRegistration(&context);
    v1::HoldRegistrationRequest request;
    request.mutable_registration()->mutable_instance()->set_id(id);
    request.mutable_registration()->mutable_instance()->set_service("web");
    stream->Write(request);
    v1::HoldRegistrationResponse response;
    if (stream->Read(&response)) stream->WritesDone();
    while (stream->Read(&response)) {
    }
    return stream->Finish();
  }

 private:
  template <typename Response, typename Service, typename Method, typename Request>
  static grpc::Status Unary(const std::unique_ptr<Service>& stub, Method method, const std::string& token,
                            const Request& request) {
    grpc::ClientContext context;
    Authenticate(&context, token);
    Response response;
    return (stub.get()->*method)(&context, request, &response);
  }

  template <typename Response, typename OpenCall>
  static grpc::Status FirstOf(const OpenCall& open, const std::string& token) {
    WatchStream<Response> stream([&](grpc::ClientContext* context) {
      Authenticate(context, token);
      return open(context);
    });
    return stream.Read() ? grpc::Status::OK : stream.Finish();
  }
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_INTEGRATION_AUTH_CALLS_H_
