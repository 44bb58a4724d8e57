#ifndef MESHGATE_TESTS_INTEGRATION_EVERY_CALL_H_
#define MESHGATE_TESTS_INTEGRATION_EVERY_CALL_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "meshgate/v1/config_service.grpc.pb.h"
#include "meshgate/v1/registry_service.grpc.pb.h"
#include "tests/integration/watch_stream.h"

namespace meshgate::testing {

// Every RPC, about things below "app/" and the service "web", as one call that ends: for a fixture that has stubs for
// each caller, config() and registry(), and Authenticate(), and can have somebody register an instance with
// RegisterAtConsul(). A caller is what the fixture takes it for: a token, a name.
template <typename Fixture>
class EveryCall : public Fixture {
 protected:
  struct Case {
    std::string name;
    std::function<grpc::Status(const std::string& caller)> call;
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
      add("GetConfig" + how, [=](const std::string& caller) {
        v1::GetConfigRequest request;
        request.set_key("app/k");
        request.mutable_options()->set_consistency(consistency);
        return Unary<v1::GetConfigResponse>(this->config(caller), &v1::ConfigService::Stub::GetConfig, caller, request);
      });
      for (const std::string prefix : {"app/", "app/nothing/"}) {
        add("ListConfig " + prefix + how, [=](const std::string& caller) {
          v1::ListConfigRequest request;
          request.set_prefix(prefix);
          request.mutable_options()->set_consistency(consistency);
          return Unary<v1::ListConfigResponse>(this->config(caller), &v1::ConfigService::Stub::ListConfig, caller,
                                               request);
        });
      }
      for (const std::string near : {"", "_agent"}) {
        add("Discover" + near + how, [=](const std::string& caller) {
          v1::DiscoverRequest request;
          request.set_service("web");
          request.set_near(near);
          request.mutable_options()->set_consistency(consistency);
          return Unary<v1::DiscoverResponse>(this->registry(caller), &v1::RegistryService::Stub::Discover, caller,
                                             request);
        });
      }
      add("ListServices" + how, [=](const std::string& caller) {
        v1::ListServicesRequest request;
        request.mutable_options()->set_consistency(consistency);
        return Unary<v1::ListServicesResponse>(this->registry(caller), &v1::RegistryService::Stub::ListServices, caller,
                                               request);
      });
    }
    add("PutConfig", [=](const std::string& caller) {
      v1::PutConfigRequest request;
      request.set_key("app/put");
      request.set_value(value);
      return Unary<v1::PutConfigResponse>(this->config(caller), &v1::ConfigService::Stub::PutConfig, caller, request);
    });
    for (const std::string key : {"app/put", ""}) {
      add("DeleteConfig " + key, [=](const std::string& caller) {
        v1::DeleteConfigRequest request;
        key.empty() ? request.set_prefix("app/put") : request.set_key(key);
        return Unary<v1::DeleteConfigResponse>(this->config(caller), &v1::ConfigService::Stub::DeleteConfig, caller,
                                               request);
      });
    }
    add("CommitConfig", [=](const std::string& caller) {
      v1::CommitConfigRequest request;
      auto* put = request.add_operations()->mutable_put();
      put->set_key("app/commit");
      put->set_value(value);
      return Unary<v1::CommitConfigResponse>(this->config(caller), &v1::ConfigService::Stub::CommitConfig, caller,
                                             request);
    });
    add("Register", [=](const std::string& caller) {
      v1::RegisterRequest request;
      request.mutable_instance()->set_id("web-2");
      request.mutable_instance()->set_service("web");
      request.add_checks()->mutable_ttl()->set_seconds(60);
      return Unary<v1::RegisterResponse>(this->registry(caller), &v1::RegistryService::Stub::Register, caller, request);
    });
    add("Heartbeat", [=](const std::string& caller) {
      // There for everybody, whatever the calls before have come to.
      this->RegisterAtConsul("web", "web-2");
      v1::HeartbeatRequest request;
      request.set_id("web-2");
      return Unary<v1::HeartbeatResponse>(this->registry(caller), &v1::RegistryService::Stub::Heartbeat, caller,
                                          request);
    });
    add("Deregister", [=](const std::string& caller) {
      this->RegisterAtConsul("web", "web-2");
      v1::DeregisterRequest request;
      request.set_id("web-2");
      return Unary<v1::DeregisterResponse>(this->registry(caller), &v1::RegistryService::Stub::Deregister, caller,
                                           request);
    });
    add("WatchConfig key", [=](const std::string& caller) {
      v1::WatchConfigRequest request;
      request.set_key("app/k");
      return FirstOf<v1::WatchConfigResponse>(
          [&](grpc::ClientContext* context) { return this->config(caller)->WatchConfig(context, request); }, caller);
    });
    for (const std::string prefix : {"app/", "app/nothing/"}) {
      add("WatchConfig " + prefix, [=](const std::string& caller) {
        v1::WatchConfigRequest request;
        request.set_prefix(prefix);
        return FirstOf<v1::WatchConfigResponse>(
            [&](grpc::ClientContext* context) { return this->config(caller)->WatchConfig(context, request); }, caller);
      });
    }
    add("WatchService", [=](const std::string& caller) {
      v1::WatchServiceRequest request;
      request.set_service("web");
      return FirstOf<v1::WatchServiceResponse>(
          [&](grpc::ClientContext* context) { return this->registry(caller)->WatchService(context, request); }, caller);
    });
    add("HoldRegistration", [=](const std::string& caller) { return Hold(caller, "web-3"); });
    return all;
  }

  // Holds until it is registered, and gives it back.
  grpc::Status Hold(const std::string& caller, const std::string& id) {
    grpc::ClientContext context;
    Fixture::Authenticate(&context, caller);
    auto stream = this->registry(caller)->HoldRegistration(&context);
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
  static grpc::Status Unary(Service* stub, Method method, const std::string& caller, const Request& request) {
    grpc::ClientContext context;
    Fixture::Authenticate(&context, caller);
    Response response;
    return (stub->*method)(&context, request, &response);
  }

  template <typename Response, typename OpenCall>
  static grpc::Status FirstOf(const OpenCall& open, const std::string& caller) {
    WatchStream<Response> stream([&](grpc::ClientContext* context) {
      Fixture::Authenticate(context, caller);
      return open(context);
    });
    return stream.Read() ? grpc::Status::OK : stream.Finish();
  }
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_INTEGRATION_EVERY_CALL_H_
