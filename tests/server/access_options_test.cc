// Options about who may call, by what, and where what they name may lead.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "server/options.h"
#include "tests/server/parsed_options.h"

// yaml-cpp 0.7 loses the buffer of its stream when a text does not parse; options are read once in a process.
extern "C" const char* __lsan_default_suppressions() { return "leak:libyaml-cpp"; }

namespace meshgate::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A port that others reach must not be open to everybody because nobody thought of it.
TEST(AccessOptionsTest, WhoMayCallIsSaidWhereOthersReachTheGateway) {
  using Args = std::vector<std::string>;
  for (const Args& args :
       {Args{}, Args{"--grpc_listen=127.3.2.1:1,localhost:2,[::1]:3,unix:/s", "--http_listen=127.0.0.1:0"}}) {
    EXPECT_EQ(Must(args).auth, AuthMode::kNone);
  }
  for (const Args& args : {Args{"--grpc_listen=0.0.0.0:1"}, Args{"--grpc_listen=127.0.0.1:1,10.0.0.1:1"},
                           Args{"--http_listen=[::]:1"}, Args{"--grpc_listen=127.0.0.1.example.com:1"}}) {
    EXPECT_THAT(ErrorOf(args), HasSubstr("set auth=consul"));
    Args named = args;
    named.push_back("--auth=none");
    EXPECT_EQ(Must(named).auth, AuthMode::kNone);
    named.back() = "--auth=consul";
    EXPECT_THAT(ErrorOf(named), HasSubstr("needs backend=consul"));
    named.push_back("--backend=consul");
    EXPECT_EQ(Must(named).auth, AuthMode::kConsul);
  }
  EXPECT_THAT(ErrorOf({"--auth=yes"}), HasSubstr("none, consul, mtls"));
}

// Would break if a gateway started that cannot know who calls, or with a list that nobody looks at.
TEST(AccessOptionsTest, AuthByCertificatesNeedsThemAndAList) {
  const std::vector<std::string> tls = {"--grpc_tls_cert_file=c", "--grpc_tls_key_file=k"};
  std::vector<std::string> args = tls;
  args.push_back("--auth=mtls");
  EXPECT_THAT(ErrorOf(args), HasSubstr("auth=mtls needs auth_mtls_file"));
  EXPECT_THAT(ErrorOf(args), HasSubstr("auth=mtls needs grpc_tls_client_ca_file"));
  args.push_back("--auth_mtls_file=callers.yaml");
  EXPECT_THAT(ErrorOf(args), HasSubstr("auth=mtls needs grpc_tls_client_ca_file"));
  args.push_back("--grpc_tls_client_ca_file=ca");
  args.push_back("--grpc_listen=0.0.0.0:1");
  EXPECT_THAT(ErrorOf(args), HasSubstr("auth=mtls needs http_tls_client_ca_file"));
  std::vector<std::string> http = args;
  for (const char* flag : {"--http_tls_cert_file=c", "--http_tls_key_file=k", "--http_tls_client_ca_file=ca"}) {
    http.emplace_back(flag);
  }
  EXPECT_TRUE(Must(http).http_api);
  args.push_back("--http_api=off");
  const Options o = Must(args);
  EXPECT_FALSE(o.http_api);
  EXPECT_EQ(o.auth, AuthMode::kMtls);
  EXPECT_EQ(o.auth_mtls_file, "callers.yaml");
  EXPECT_EQ(o.backend, BackendKind::kEmbedded) << "the list is for every backend";
  EXPECT_EQ(Must({"--config=" + File("auth: {mode: mtls, mtls_file: l}\n"
                                     "http: {api: off}\n"
                                     "grpc: {tls_cert_file: c, tls_key_file: k, tls_client_ca_file: a}\n")})
                .auth_mtls_file,
            "l");
  for (const char* mode : {"--auth=none", "--auth=consul"}) {
    EXPECT_THAT(ErrorOf({mode, "--backend=consul", "--auth_mtls_file=l"}),
                HasSubstr("auth_mtls_file is set, and auth=mtls is not"));
  }
  EXPECT_THAT(ErrorOf({"--auth_mtls_file=l"}), HasSubstr("auth_mtls_file is set, and auth=mtls is not"));
}

// Would break if an authority that keeps strangers off the gRPC port were gone around by the HTTP port.
TEST(AccessOptionsTest, CertificatesOfOnePortAreAskedForAtTheOther) {
  std::vector<std::string> args = {"--auth=none", "--grpc_listen=0.0.0.0:1", "--grpc_tls_cert_file=c",
                                   "--grpc_tls_key_file=k", "--grpc_tls_client_ca_file=ca"};
  Must(args);
  args.push_back("--http_listen=0.0.0.0:2");
  EXPECT_THAT(ErrorOf(args), HasSubstr("http_tls_client_ca_file is missing"));
  args.push_back("--http_api=off");
  Must(args);
  args.back() = "--http_api=no";
  EXPECT_THAT(ErrorOf(args), HasSubstr("one of on, off"));
  args.back() = "--http_tls_client_ca_file=ca";
  args.emplace_back("--http_tls_cert_file=c");
  args.emplace_back("--http_tls_key_file=k");
  Must(args);
}

// Would break if whoever reaches the gateway from elsewhere could have ports looked at that are open to its host, or to
// Consul's, alone; or if somebody who tries it out could not register what runs beside it.
TEST(AccessOptionsTest, ChecksLeadToTheLoopbackWhereEverybodyIsOnTheHost) {
  const std::vector<std::vector<std::string>> here = {
      {}, {"--backend=consul"}, {"--backend=consul", "--consul_address=[::1]:8500,https://localhost"}};
  for (const std::vector<std::string>& args : here) {
    const Options o = Must(args);
    EXPECT_TRUE(Allows(o, "127.0.0.1:80"));
    EXPECT_TRUE(Allows(o, "[::1]:80"));
    EXPECT_TRUE(Allows(o, "localhost:80"));
    EXPECT_FALSE(Allows(o, "10.0.0.1:80"));
  }
  const std::vector<std::vector<std::string>> elsewhere = {
      {"--grpc_listen=0.0.0.0:1", "--auth=none"},
      {"--http_listen=[::]:1", "--auth=none"},
      {"--grpc_listen=unix:/run/meshgate.sock"},
      {"--grpc_listen=127.0.0.1:1,unix:/run/meshgate.sock", "--auth=none"},
      {"--backend=consul", "--auth=consul"},
      {"--backend=consul", "--consul_address=http://127.0.0.1:8500,http://10.0.0.1:8500"},
      {"--check_allow=none"},
      {"--check_allow=10.0.0.0/24"}};
  for (const std::vector<std::string>& args : elsewhere) {
    EXPECT_FALSE(Allows(Must(args), "127.0.0.1:80"));
    EXPECT_FALSE(Allows(Must(args), "localhost:80"));
  }
  EXPECT_TRUE(Allows(Must({"--check_allow=10.0.0.0/24"}), "10.0.0.1:80"));
  EXPECT_TRUE(Allows(Must({"--config=" + File("check:\n  allow: [10.0.0.0/24, '*.example']\n")}), "web.example:80"));
  for (const char* wrong : {"10.0.0.1/24", "http://10.0.0.1", "none,10.0.0.1,", "10.0.0.1:80", "*.consul"}) {
    EXPECT_THAT(ErrorOf({std::string("--check_allow=") + wrong}), HasSubstr("flag --check_allow: ")) << wrong;
  }
}

// Would break if what is said about a mistake, which is kept in a log, had the token in it that somebody gave by
// mistake.
TEST(AccessOptionsTest, TokensAreNotRepeated) {
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{{"--consul_token=canary"},
                                                                                    {"--consul_token", "canary"},
                                                                                    {"--token=canary"},
                                                                                    {"--consul-token-file=canary"},
                                                                                    {"-token=canary"},
                                                                                    {"--consul_tokn=canary"},
                                                                                    {"canary"}}) {
    EXPECT_THAT(ErrorOf(args), Not(HasSubstr("canary")));
  }
  EXPECT_THAT(ErrorOf({"--consul_token=canary"}), HasSubstr("give --consul_token_file or $CONSUL_HTTP_TOKEN"));
  EXPECT_THAT(ErrorOf({"--consul_tokn=canary"}), HasSubstr("'--consul_tokn'"));
}

// Would break if half of what TLS needs gave a port in plain text, or an operator were not told which half is missing.
TEST(AccessOptionsTest, TlsIsWhole) {
  const Options o = Must({"--grpc_tls_cert_file=c", "--grpc_tls_key_file=k", "--grpc_tls_client_ca_file=a",
                          "--config=" + File("http: {tls_cert_file: hc}\n")},
                         {{"MESHGATE_HTTP_TLS_KEY_FILE", "hk"}});
  EXPECT_EQ(o.grpc_tls_cert_file, "c");
  EXPECT_EQ(o.grpc_tls_key_file, "k");
  EXPECT_EQ(o.grpc_tls_client_ca_file, "a");
  EXPECT_EQ(o.http_tls_cert_file, "hc");
  EXPECT_EQ(o.http_tls_key_file, "hk");
  EXPECT_EQ(o.http_tls_client_ca_file, "");
  EXPECT_EQ(ErrorOf({"--grpc_tls_cert_file=c"}),
            "grpc_tls_cert_file is set, and grpc_tls_key_file is missing: TLS needs both");
  EXPECT_EQ(ErrorOf({"--http_tls_key_file=k", "--http_tls_client_ca_file=a"}),
            "http_tls_key_file is set, and http_tls_cert_file is missing: TLS needs both");
  EXPECT_EQ(
      ErrorOf({"--http_tls_client_ca_file=a"}),
      "http_tls_client_ca_file is set, and http_tls_cert_file and http_tls_key_file are missing: only a port with "
      "TLS can ask for client certificates");
}

}  // namespace
}  // namespace meshgate::server
