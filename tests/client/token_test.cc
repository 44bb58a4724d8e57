#include "client/token.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <optional>
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
#include "tests/testing/certificates.h"

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
  const std::string pipe = ::testing::TempDir() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_FALSE(TokenFile(pipe)->Token().ok()) << "nobody writes to it: reading would block for ever";
  std::ofstream(path) << "token" << std::string(10000, ' ') << "of two parts";
  EXPECT_FALSE(TokenFile(path)->Token().ok()) << "a part of what it holds is no token";
}

// Would break if what gRPC aborts on, or takes for another header, were sent; or if an error had a secret in it.
TEST(TokenTest, WhatIsNoToken) {
  const std::string file = ::testing::TempDir() + "/no-token";
  for (const std::string& wrong :
       {std::string(), std::string("secret one"), std::string("secret\none"), std::string("secret\0one", 10),
        std::string("secret\xc3\xa9"), std::string(257, 's')}) {
    const absl::Status status = StaticToken(wrong)->Token().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(status.message().find("secret"), absl::string_view::npos) << status;
    std::ofstream(file, std::ios::binary) << wrong;
    EXPECT_FALSE(TokenFile(file)->Token().ok());
  }
  EXPECT_TRUE(StaticToken(std::string(256, 's'))->Token().ok());
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

// Would break if credentials that do not encrypt, such as a test's that were left in, passed for those that do.
TEST_F(TokenCallTest, CredentialsThatDoNotEncrypt) {
  options_.token = StaticToken("token-1");
  // Which this does not know to be here.
  options_.endpoint = "dns:" + gateway_.endpoint();
  options_.credentials = grpc::InsecureChannelCredentials();
  Client client(options_);
  ASSERT_EQ(client.GetConfig({}).status().code(), absl::StatusCode::kUnauthenticated);
  v1::WatchConfigRequest watch;
  watch.set_key("a");
  class Silent final : public ConfigWatch::Listener, public Hold::Listener {
    bool OnUpdate(const ConfigWatch::Update&) override { return true; }
    void OnState(const v1::HoldRegistrationResponse&) override {}
  } listener;
  EXPECT_EQ(ConfigWatch(&client, watch, {}).Run(&listener, nullptr).code(), absl::StatusCode::kUnauthenticated);
  v1::RegisterRequest registration;
  registration.mutable_instance()->set_service("web");
  EXPECT_EQ(Hold(&client, registration, {}).Run(&listener, nullptr).code(), absl::StatusCode::kUnauthenticated);
  grpc::ClientContext context;
  ASSERT_TRUE(client.Prepare(&context).ok());
  v1::GetConfigResponse response;
  EXPECT_EQ(client.config()->GetConfig(&context, {}, &response).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(gateway_.calls(), 0);
  options_.insecure_token = true;
  EXPECT_TRUE(Client(options_).GetConfig({}).ok());
  EXPECT_EQ(gateway_.token(), "token-1");
}

// Would break if a token that goes to another host over TLS did not come with the call.
TEST(TokenTlsTest, ComesWithTheCall) {
  const auto certificates = testing::MakeCertificates(::testing::TempDir());
  ASSERT_TRUE(certificates.has_value());
  const auto read = [](const std::string& file) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  };
  grpc::SslServerCredentialsOptions tls;
  tls.pem_key_cert_pairs = {{read(certificates->key_file), read(certificates->cert_file)}};
  FakeGateway gateway(grpc::SslServerCredentials(tls));
  gateway.config().get = [](const v1::GetConfigRequest&, v1::GetConfigResponse*) { return grpc::Status::OK; };
  ClientOptions options;
  options.endpoint = "ipv4:" + gateway.endpoint();
  options.tls_server_name = "127.0.0.1";
  options.credentials = TlsCredentials({certificates->ca_file, "", ""}).value();
  options.token = StaticToken("token-1");
  EXPECT_EQ(Client(options).GetConfig({}).status(), absl::OkStatus());
  EXPECT_EQ(gateway.token(), "token-1");
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

// Would break if an instance were lost when the token that holds it is replaced and revoked.
TEST_F(TokenCallTest, HoldsComeBackWithAnotherToken) {
  options_.token = TokenFile(file_);
  Client client(options_);
  const grpc::Status refused = GatewayError(grpc::StatusCode::UNAUTHENTICATED, "TOKEN_UNKNOWN", "unknown token");
  v1::HoldRegistrationResponse state;
  state.set_registered(true);
  gateway_.registry().holds = {{{state}, refused, false}, {{state}, refused, false}};
  class Rotating final : public Hold::Listener {
   public:
    explicit Rotating(std::string file) : file_(std::move(file)) {}
    void OnState(const v1::HoldRegistrationResponse&) override {
      if (++states_ == 1) std::ofstream(file_) << "token-22";
    }
    int states_ = 0;

   private:
    const std::string file_;
  } listener(file_);
  v1::RegisterRequest registration;
  registration.mutable_instance()->set_service("web");
  HoldOptions options;
  options.backoff.initial = absl::Milliseconds(1);
  EXPECT_EQ(Hold(&client, registration, options).Run(&listener, nullptr).code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(listener.states_, 2);
  EXPECT_EQ(gateway_.token(), "token-22");
}

class CtlTokenTest : public TokenCallTest {
 protected:
  int Run(std::vector<std::string> args, std::map<std::string, std::string> variables = {}) {
    std::istringstream in;
    std::ostringstream out, err;
    ctl::Environment environment{&in, &out, &err, gateway_.endpoint(), &cancellation_};
    environment.variables = [&](const char* name) -> std::optional<std::string> {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
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
  EXPECT_EQ(Run({"--no-token", "get", "a"}, variables), 0);
  EXPECT_EQ(gateway_.token(), "");
  EXPECT_EQ(Run({"--no-token", "get", "a", "--token-file", file_}, variables), 2);
  EXPECT_EQ(Run({"--token-file", file_, "get", "a"}, {{"MESHGATE_TOKEN", ""}}), 0);
  EXPECT_EQ(gateway_.token(), "token-1");
  variables["MESHGATE_TOKEN"] = "";
  EXPECT_EQ(Run({"get", "a"}, variables), 0);
  EXPECT_EQ(gateway_.token(), "") << "Consul's were to be left alone";
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
                                                                                    {"get", "a", "-token=canary"},
                                                                                    {"get", "a", "-token", "canary"},
                                                                                    {"-token=canary", "get", "a"},
                                                                                    {"--tokens=canary"},
                                                                                    {"--tokn", "canary", "get", "a"},
                                                                                    {"--tokn", "canary1", "get", "a"},
                                                                                    {"get", "a", "--tokn", "canary"},
                                                                                    {"-xcanary"},
                                                                                    {"Canary-canary", "get", "a"},
                                                                                    {"help", "canary1"},
                                                                                    {"--tokn=canary"}}) {
    EXPECT_EQ(Run(args), 2);
    EXPECT_EQ(err_.find("canary"), std::string::npos) << err_;
  }
  EXPECT_EQ(Run({"--tokn", "canary", "get", "a"}), 2);
  EXPECT_NE(err_.find("'--tokn'"), std::string::npos) << err_;
  EXPECT_EQ(Run({"get", "a", "--token-file", "canary"}), 1);
  EXPECT_EQ(err_.find("canary"), std::string::npos) << err_;
  EXPECT_EQ(Run({"get", "a"}, {{"MESHGATE_TOKEN_FILE", "canary"}}), 1);
  EXPECT_EQ(err_.find("canary"), std::string::npos) << err_;
  EXPECT_EQ(Run({"get", "a", "--token=canary"}), 2);
  EXPECT_NE(err_.find("give --token-file or $MESHGATE_TOKEN"), std::string::npos) << err_;
  EXPECT_EQ(gateway_.token(), "");
}

}  // namespace
}  // namespace meshgate::client
