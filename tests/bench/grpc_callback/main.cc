// WatchConfig, GetConfig and PutConfig of one key in memory, as one writes them with gRPC's callback API and generated
// messages: what a service takes that has nothing to do but to answer.
//
//   grpc_callback_server    prints "listening grpc=127.0.0.1:PORT" and serves until it is killed
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <mutex>
#include <unordered_set>
#include <utility>
#include <vector>

#include "meshgate/v1/config_service.grpc.pb.h"

namespace meshgate::bench {
namespace {

using SharedResponse = std::shared_ptr<const v1::WatchConfigResponse>;

class Service final : public v1::ConfigService::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetConfig(grpc::CallbackServerContext* context, const v1::GetConfigRequest* request,
                                      v1::GetConfigResponse* response) override {
    const SharedResponse latest = Latest();
    *response->mutable_entry() = latest->events(0).entry();
    response->mutable_info()->set_index(latest->index());
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* PutConfig(grpc::CallbackServerContext* context, const v1::PutConfigRequest* request,
                                      v1::PutConfigResponse* response) override {
    auto next = std::make_shared<v1::WatchConfigResponse>();
    std::vector<std::shared_ptr<Watcher>> watchers;
    {
      const std::lock_guard<std::mutex> lock(mu_);
      next->set_index(latest_->index() + 1);
      v1::ConfigEvent* event = next->add_events();
      event->set_type(v1::ConfigEvent::TYPE_PUT);
      event->mutable_entry()->set_key(request->key());
      event->mutable_entry()->set_value(request->value());
      event->mutable_entry()->set_modify_index(next->index());
      latest_ = next;
      watchers.assign(watchers_.begin(), watchers_.end());
    }
    for (const auto& watcher : watchers) watcher->Offer(next);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerWriteReactor<v1::WatchConfigResponse>* WatchConfig(grpc::CallbackServerContext* context,
                                                                 const v1::WatchConfigRequest* request) override {
    auto watcher = std::make_shared<Watcher>(this);
    SharedResponse latest;
    {
      const std::lock_guard<std::mutex> lock(mu_);
      watchers_.insert(watcher);
      latest = latest_;
    }
    watcher->Offer(std::move(latest));
    return watcher.get();
  }

 private:
  class Watcher final : public grpc::ServerWriteReactor<v1::WatchConfigResponse> {
   public:
    explicit Watcher(Service* service) : service_(service) {}

    void Offer(SharedResponse response) {
      const v1::WatchConfigResponse* write = nullptr;
      {
        const std::lock_guard<std::mutex> lock(mu_);
        if (finished_ || (latest_ != nullptr && response->index() <= latest_->index())) return;
        latest_ = std::move(response);
        write = NextLocked();
      }
      if (write != nullptr) StartWrite(write);
    }

   private:
    // What is to be written now; null where a write is in flight or nothing is new.
    const v1::WatchConfigResponse* NextLocked() {
      if (writing_ != nullptr || finished_ || latest_ == written_) return nullptr;
      writing_ = written_ = latest_;
      return writing_.get();
    }

    void OnWriteDone(bool ok) override {
      const v1::WatchConfigResponse* write = nullptr;
      bool finish = false;
      {
        const std::lock_guard<std::mutex> lock(mu_);
        writing_ = nullptr;
        finish = cancelled_ && !std::exchange(finished_, true);
        if (!finish && ok) write = NextLocked();
      }
      if (finish) Finish(grpc::Status::CANCELLED);
      if (write != nullptr) StartWrite(write);
    }

    void OnCancel() override {
      {
        const std::lock_guard<std::mutex> lock(mu_);
        cancelled_ = true;
        if (writing_ != nullptr || std::exchange(finished_, true)) return;
      }
      Finish(grpc::Status::CANCELLED);
    }

    void OnDone() override { service_->Remove(this); }

    Service* const service_;
    std::mutex mu_;
    SharedResponse latest_, written_, writing_;
    bool cancelled_ = false, finished_ = false;
  };

  SharedResponse Latest() {
    const std::lock_guard<std::mutex> lock(mu_);
    return latest_;
  }

  void Remove(Watcher* watcher) {
    std::shared_ptr<Watcher> last;
    const std::lock_guard<std::mutex> lock(mu_);
    // Those who are being told of a change may hold it longer.
    const auto found = watchers_.find(std::shared_ptr<Watcher>(std::shared_ptr<void>(), watcher));
    if (found == watchers_.end()) return;
    last = *found;
    watchers_.erase(found);
  }

  std::mutex mu_;
  SharedResponse latest_ = [] {
    auto empty = std::make_shared<v1::WatchConfigResponse>();
    empty->set_index(1);
    empty->add_events()->mutable_entry();
    return empty;
  }();
  std::unordered_set<std::shared_ptr<Watcher>> watchers_;
};

int Main() {
  Service service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  printf("listening grpc=127.0.0.1:%d\n", port);
  fflush(stdout);
  server->Wait();
  return 0;
}

}  // namespace
}  // namespace meshgate::bench

int main() { return meshgate::bench::Main(); }
