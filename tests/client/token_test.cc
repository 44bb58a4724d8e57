#include "client/token.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "client/ctl/app.h"
#include "client/hold.h"
#include "client/tls.h"
#include "client/watch.h"
#include "tests/client/fake_gateway.h"

namespace meshgate::client {
namespace {

using testing::FakeGateway;
using testing::GatewayError;

// Would break if a token were misread, were not followed when it is replaced, or were lost in between.
TEST(TokenFileTest, IsFollowed) {
  const std::string path = ::testing::TempDir() + "/token";
  std::remove(path.c_str());
  const auto source = TokenFile(path);
  EXPECT_EQ(source->Token().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(source->Token().status().message()),
            "cannot read the token in " + path + ": No such file or directory");
  std::ofstream(path) << "\n";
  EXPECT_EQ(source->Token().status().code(), absl::StatusCode::kFailedPrecondition);
  std::ofstream(path) << " first-token \n";
  EXPECT_EQ(source->Token().value(), "first-token");
  // By another that takes its place, of the same size and perhaps of the same time.
  std::ofstream(path + ".new") << " other-token \n";
  ASSERT_EQ(std::rename((path + ".new").c_str(), path.c_str()), 0);
  EXPECT_EQ(source->Token().value(), "other-token");
  std::ofstream(path) << "";
  EXPECT_EQ(source->Token().value(), "other-token") << "somebody is about to write it";
  std::remove(path.c_str());
  EXPECT_EQ(source->Token().value(), "other-token");
  std::ofstream(path) << "third-token";
  EXPECT_EQ(source->Token().value(), "third-token");
  EXPECT_FALSE(TokenFile(::testing::TempDir())->Token().ok()) << "a folder";
}

// Would break if what gRPC aborts on, or takes for another header, were sent; or if an error had a secret in it.
TEST(TokenTest, WhatIsNoToken) {
  const std::string file = ::testing::TempDir() + "/no-token";
  for (const std::string& wrong :
       {std::string(), std::string("secret one"), std::string("secret\none"), std::string("secret\0one", 10),
        std::string("secret\xc3\xa9"), std::string(4097, 's')}) {
    const absl::Status status = StaticToken(wrong)->Token().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(status.message().find("secret"), absl::string_view::npos) << status;
    std::ofstream(file, std::ios::binary) << wrong;
    EXPECT_FALSE(TokenFile(file)->Token().ok());
  }
  EXPECT_TRUE(StaticToken(std::string(4096, 's'))->Token().ok());
}

// Would break if a token went over a network because of how its end is spelt.
TEST(TokenTest, WhatStaysOnTheHost) {
  for (const char* here : {"127.0.0.1:50051", "127.9.9.9:1", "localhost:50051", "[::1]:50051", "unix:/run/m.sock",
                           "dns:///localhost:1", "127.0.0.1"}) {
    EXPECT_TRUE(StaysOnHost(here)) << here;
  }
  for (const char* elsewhere : {"10.0.0.1:50051", "meshgate:50051", "127.0.0.1.example:50051", "127.example:1",
                                "127.1:1", "localhost.example:1", "[::2]:1", "[::ffff:10.0.0.1]:1", "0.0.0.0:1", "",
                                ":1", "ipv4:127.0.0.1:1,10.0.0.1:1", "dns://10.0.0.1/localhost:1"}) {
    EXPECT_FALSE(StaysOnHost(elsewhere)) << elsewhere;
  }
}

class TokenCallTest : public ::testing::Test {
 protected:
  TokenCallTest() {
    gateway_.config().get = [](const v1::GetConfigRequest&, v1::GetConfigResponse*) { return grpc::Status::OK; };
    std::ofstream(file_) << "token-1";
    options_.endpoint = gateway_.endpoint();
  }

  const std::string file_ = ::testing::TempDir() + "/call-token";
  FakeGateway gateway_;
  ClientOptions options_;
};

// Would break if calls were made as nobody, or with a token that has been replaced.
TEST_F(TokenCallTest, UnaryCallsBringIt) {
  Client nobody(options_);
  EXPECT_TRUE(nobody.GetConfig({}).ok());
  EXPECT_EQ(gateway_.token(), "");
  options_.token = TokenFile(file_);
  Client client(options_);
  EXPECT_TRUE(client.GetConfig({}).ok());
  EXPECT_EQ(gateway_.token(), "token-1");
  std::ofstream(file_) << "token-22";
  EXPECT_TRUE(client.GetConfig({}).ok());
  EXPECT_EQ(gateway_.token(), "token-22");
}

// Would break if a token were sent where others read it without anybody having asked for that.
TEST_F(TokenCallTest, NotInPlainTextToAnotherHost) {
  options_.token = TokenFile(file_);
  options_.endpoint = "192.0.2.1:50051";
  options_.timeout = absl::Milliseconds(20);
  EXPECT_EQ(Client(options_).GetConfig({}).status().code(), absl::StatusCode::kFailedPrecondition);
  ClientOptions asked = options_;
  asked.insecure_token = true;
  EXPECT_TRUE(Client(asked).Token().ok());
  ClientOptions tls = options_;
  tls.credentials = TlsCredentials({}).value();
  EXPECT_TRUE(Client(tls).Token().ok());
}

// Would break if a stream that lost its token for another one did not come back with that one, or came back for ever
// with the one that was refused.
TEST_F(TokenCallTest, StreamsComeBackWithAnotherToken) {
  options_.token = TokenFile(file_);
  Client client(options_);
  const grpc::Status refused = GatewayError(grpc::StatusCode::UNAUTHENTICATED, "TOKEN_UNKNOWN", "unknown token");
  v1::WatchConfigResponse snapshot;
  snapshot.set_snapshot(true);
  gateway_.config().streams = {{{snapshot}, refused, false}, {{snapshot}, refused, false}};
  class Rotating final : public ConfigWatch::Listener {
   public:
    explicit Rotating(std::string file) : file_(std::move(file)) {}
    bool OnUpdate(const ConfigWatch::Update&) override {
      if (++updates_ == 1) std::ofstream(file_) << "token-22";
      return true;
    }
    void OnDisconnected(const absl::Status&, absl::Duration) override { ++disconnects_; }
    int updates_ = 0, disconnects_ = 0;

   private:
    const std::string file_;
  } listener(file_);
  v1::WatchConfigRequest request;
  request.set_key("a");
  WatchOptions options;
  options.backoff.initial = absl::Milliseconds(1);
  EXPECT_EQ(ConfigWatch(&client, request, options).Run(&listener, nullptr).code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(listener.updates_, 2);
  EXPECT_EQ(listener.disconnects_, 1);
  EXPECT_EQ(gateway_.token(), "token-22");
}

// Would break if holds were made as nobody.
TEST_F(TokenCallTest, HoldsBringIt) {
  options_.token = StaticToken("token-of-hold");
  Client client(options_);
  gateway_.registry().holds = {
      {{}, GatewayError(grpc::StatusCode::UNAUTHENTICATED, "TOKEN_UNKNOWN", "unknown token"), false}};
  class Silent final : public Hold::Listener {
    void OnState(const v1::HoldRegistrationResponse&) override {}
  } listener;
  v1::RegisterRequest registration;
  registration.mutable_instance()->set_service("web");
  EXPECT_EQ(Hold(&client, registration, {}).Run(&listener, nullptr).code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(gateway_.token(), "token-of-hold");
}

class CtlTokenTest : public TokenCallTest {
 protected:
  int Run(std::vector<std::string> args, std::map<std::string, std::string> variables = {}) {
    std::istringstream in;
    std::ostringstream out, err;
    ctl::Environment environment{&in, &out, &err, gateway_.endpoint(), &cancellation_};
    environment.variables = [&](const char* name) { return variables[name]; };
    const int code = ctl::RunMeshgatectl(args, environment);
    err_ = err.str();
    return code;
  }

  Cancellation cancellation_;
  std::string err_;
};

// Would break if a script called with another token than its author was told.
TEST_F(CtlTokenTest, Precedence) {
  std::map<std::string, std::string> variables;
  EXPECT_EQ(Run({"get", "a"}, variables), 0);
  EXPECT_EQ(gateway_.token(), "");
  variables["CONSUL_HTTP_TOKEN"] = "consuls";
  EXPECT_EQ(Run({"get", "a"}, variables), 0);
  EXPECT_EQ(gateway_.token(), "consuls");
  const std::string other = ::testing::TempDir() + "/consul-file";
  std::ofstream(other) << "consuls-file";
  variables["CONSUL_HTTP_TOKEN_FILE"] = other;
  EXPECT_EQ(Run({"get", "a"}, variables), 0);
  EXPECT_EQ(gateway_.token(), "consuls-file");
  variables["MESHGATE_TOKEN"] = "ours";
  EXPECT_EQ(Run({"get", "a"}, variables), 0);
  EXPECT_EQ(gateway_.token(), "ours");
  EXPECT_EQ(Run({"--token-file", file_, "get", "a"}, variables), 0);
  EXPECT_EQ(gateway_.token(), "token-1");
}

// Would break if a mistake sent a call as nobody, or if a secret came out in what is said about it.
TEST_F(CtlTokenTest, Mistakes) {
  EXPECT_EQ(Run({"get", "a", "--token-file", "/missing"}), 1);
  EXPECT_EQ(err_, "meshgatectl: --token-file: cannot read the token in /missing: No such file or directory\n");
  EXPECT_EQ(Run({"get", "a", "--token-file="}), 2);
  EXPECT_EQ(Run({"get", "a"}, {{"MESHGATE_TOKEN", "canary one"}}), 1);
  EXPECT_EQ(err_.find("canary"), std::string::npos) << err_;
  EXPECT_EQ(Run({"get", "a", "-e", "192.0.2.1:1"}, {{"CONSUL_HTTP_TOKEN", "canary"}}), 1);
  EXPECT_NE(err_.find("the token of $CONSUL_HTTP_TOKEN is not sent to 192.0.2.1:1 in plain text"), std::string::npos)
      << err_;
  EXPECT_EQ(err_.find("canary"), std::string::npos) << err_;
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{{"get", "a", "--token=canary"},
                                                                                    {"--token", "canary", "get", "a"},
                                                                                    {"get", "a", "--tokn=canary"},
                                                                                    {"--tokn=canary"}}) {
    EXPECT_EQ(Run(args), 2);
    EXPECT_EQ(err_.find("canary"), std::string::npos) << err_;
  }
  EXPECT_EQ(Run({"get", "a", "--token=canary"}), 2);
  EXPECT_NE(err_.find("give --token-file or $MESHGATE_TOKEN"), std::string::npos) << err_;
  EXPECT_EQ(gateway_.token(), "");
}

}  // namespace
}  // namespace meshgate::client
