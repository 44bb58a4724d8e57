#ifndef MESHGATE_TESTS_SERVER_AUTH_FAKE_DIRECTORY_H_
#define MESHGATE_TESTS_SERVER_AUTH_FAKE_DIRECTORY_H_

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "consul/base/errors.h"
#include "consul/base/scheduler.h"
#include "consul/instance_directory.h"

namespace meshgate::server::auth {

// Knows what the test says that is registered. Answers at once, on the scheduler.
class FakeDirectory final : public consul::InstanceDirectory {
 public:
  explicit FakeDirectory(Scheduler* scheduler) : scheduler_(scheduler) {}
  consul::CallHandle FindService(const std::string& id, const consul::ReadOptions& options,
                                 consul::Backend::Callback<std::string> done) override {
    EXPECT_FALSE(options.token.has_value()) << "with another token than the gateway's own";
    asked.push_back(id);
    const auto found = services.find(id);
    absl::StatusOr<std::string> answer = MakeError(absl::StatusCode::kNotFound, reason::kInstanceNotFound, "none");
    if (found != services.end()) answer = found->second;
    if (!error.ok()) answer = error;
    scheduler_->Post([answer, done = std::move(done)]() mutable { done(std::move(answer)); });
    return nullptr;
  }
  std::map<std::string, std::string> services;
  absl::Status error;
  std::vector<std::string> asked;

 private:
  Scheduler* const scheduler_;
};

}  // namespace meshgate::server::auth

#endif  // MESHGATE_TESTS_SERVER_AUTH_FAKE_DIRECTORY_H_
