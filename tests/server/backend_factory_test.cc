#include "server/backend_factory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/testing/manual_scheduler.h"

namespace meshgate::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Would break if a file that is not there were found out at the first request, and looked like a failure of Consul.
TEST(BackendFactoryTest, NamesTheFileThatCannotBeRead) {
  testing::ManualScheduler scheduler;
  consul::BackendReporter reporter;
  const std::string empty = ::testing::TempDir() + "/empty.pem";
  std::ofstream(empty).flush();
  const std::pair<std::string Options::*, std::string> files[] = {{&Options::consul_ca_file, "--consul_ca_file"},
                                                                  {&Options::consul_cert_file, "--consul_cert_file"},
                                                                  {&Options::consul_key_file, "--consul_key_file"},
                                                                  {&Options::consul_token_file, "--consul_token_file"}};
  for (const auto& [member, option] : files) {
    for (const std::string& file : {std::string("/nonexistent"), empty, ::testing::TempDir()}) {
      Options options;
      options.backend = BackendKind::kConsul;
      options.consul_address = "https://127.0.0.1:1";
      options.*member = file;
      const auto backend = MakeBackend(options, &scheduler, &reporter);
      EXPECT_EQ(backend.status().code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_THAT(std::string(backend.status().message()), AllOf(HasSubstr(file), HasSubstr(option)));
    }
  }
}

// Would break if an address that cannot be used were found out when the ones before it are away, or its password shown.
TEST(BackendFactoryTest, EveryAddressIsChecked) {
  testing::ManualScheduler scheduler;
  consul::BackendReporter reporter;
  Options options;
  options.backend = BackendKind::kConsul;
  options.consul_address = "http://127.0.0.1:1,http://u:secret@127.0.0.1:2";
  const auto backend = MakeBackend(options, &scheduler, &reporter);
  EXPECT_EQ(backend.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(backend.status().message()), AllOf(HasSubstr("address 2"), Not(HasSubstr("secret"))));
}

}  // namespace
}  // namespace meshgate::server
