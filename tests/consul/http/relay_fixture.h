// A ConsulBackend as a relay, with what it reports.
#ifndef MESHGATE_TESTS_CONSUL_HTTP_RELAY_FIXTURE_H_
#define MESHGATE_TESTS_CONSUL_HTTP_RELAY_FIXTURE_H_

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "consul/base/mutex.h"
#include "consul/base/thread_pool_scheduler.h"
#include "consul/http/consul_backend.h"
#include "consul/relay.h"
#include "consul/reporter.h"
#include "tests/testing/relay_sink.h"

namespace meshgate::consul::http {

class RelayTest : public ::testing::Test {
 protected:
  struct Sent {
    std::shared_ptr<testing::RecordingSink> sink;
    std::shared_ptr<RelayCall> call;

    void Resume() const {
      sink->Resuming();
      call->Resume();
    }
  };

  void Connect(ConsulBackendOptions options) {
    auto backend = ConsulBackend::Create(options, &scheduler_, &reporter_);
    ASSERT_TRUE(backend.ok()) << backend.status();
    backend_ = *std::move(backend);
  }
  void Connect(const std::string& url) {
    ConsulBackendOptions options;
    options.address = url;
    Connect(options);
  }

  static RelayRequest To(const std::string& method, const std::string& target, const std::string& body = "") {
    RelayRequest request;
    request.method = method;
    request.target = target;
    request.body = body;
    request.timeout = absl::Seconds(30);
    return request;
  }

  Sent Send(RelayRequest request, testing::RecordingSink::Takes takes = nullptr) {
    Sent sent;
    sent.sink = std::make_shared<testing::RecordingSink>(std::move(takes));
    sent.call = backend_->Send(std::move(request), sent.sink);
    return sent;
  }
  // All of it.
  std::shared_ptr<testing::RecordingSink> Fetch(RelayRequest request) {
    const Sent sent = Send(std::move(request));
    sent.sink->WaitForEnd();
    EXPECT_EQ(sent.sink->breach(), "");
    return sent.sink;
  }

  // Requests reported so far.
  int reported(Endpoint endpoint, int code) { return reporter_.count(endpoint, code); }

 private:
  class Reporter final : public BackendReporter {
   public:
    void OnRequest(Endpoint endpoint, int code, absl::Duration) override {
      MutexLock lock(mu_);
      ++counts_[{endpoint, code}];
    }
    int count(Endpoint endpoint, int code) {
      MutexLock lock(mu_);
      return counts_[{endpoint, code}];
    }

   private:
    Mutex mu_;
    std::map<std::pair<Endpoint, int>, int> counts_ ABSL_GUARDED_BY(mu_);
  };

  Reporter reporter_;
  ThreadPoolScheduler scheduler_{2, "relay"};

 protected:
  std::unique_ptr<ConsulBackend> backend_;
};

}  // namespace meshgate::consul::http

#endif  // MESHGATE_TESTS_CONSUL_HTTP_RELAY_FIXTURE_H_
