#include "server/options.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "tests/server/parsed_options.h"

// yaml-cpp 0.7 loses the buffer of its stream when a text does not parse; options are read once in a process.
extern "C" const char* __lsan_default_suppressions() { return "leak:libyaml-cpp"; }

namespace meshgate::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Would break if the process did not run as documented without any setting.
TEST(OptionsTest, Defaults) {
  const Options o = Must({}, {{"HOME", "/home/m"}});
  EXPECT_EQ(o.backend, BackendKind::kEmbedded);
  EXPECT_THAT(o.grpc_listen, ElementsAre("127.0.0.1:50051"));
  EXPECT_EQ(o.http_listen, "127.0.0.1:8080");
  EXPECT_EQ(o.consul_address, "http://127.0.0.1:8500");
  EXPECT_TRUE(o.consul_tls_verify);
  EXPECT_EQ(o.consul_max_connections, 160);
  EXPECT_EQ(o.watch_linger, absl::Seconds(30));
  EXPECT_EQ(o.watch_write_timeout, absl::Minutes(2));
  EXPECT_EQ(o.grpc_keepalive_time, absl::Seconds(60));
  EXPECT_EQ(o.grpc_keepalive_timeout, absl::Seconds(20));
  EXPECT_EQ(o.grpc_max_connection_age, absl::ZeroDuration());
  EXPECT_EQ(o.grpc_max_connection_age_grace, absl::Seconds(10));
  EXPECT_EQ(o.grpc_threads, 0);
  EXPECT_EQ(o.drain_timeout, absl::Seconds(5));
  EXPECT_EQ(o.data_dir, "/home/m/.local/state/meshgate");
  EXPECT_EQ(Must({}, {{"HOME", "/home/m"}, {"XDG_STATE_HOME", "/s"}}).data_dir, "/s/meshgate");
  EXPECT_EQ(Must({}).data_dir, "meshgate-data");
}

// Would break if a weaker source overrode a stronger one: every pair of neighbours in the order of precedence.
TEST(OptionsTest, Precedence) {
  const std::string file = "--config=" + File("backend: consul\nconsul: {address: 'http://file:1'}\n");
  const std::string flag = "--consul_address=http://flag:1";
  const Variables ours = {{"MESHGATE_CONSUL_ADDRESS", "http://env:1"}, {"CONSUL_HTTP_ADDR", "http://theirs:1"}};
  const Variables theirs = {{"CONSUL_HTTP_ADDR", "http://theirs:1"}};
  struct Case {
    std::vector<std::string> args;
    Variables variables;
    std::string want;
  };
  const Case cases[] = {
      {{file, flag}, ours, "http://flag:1"},
      {{file}, ours, "http://env:1"},
      {{file}, theirs, "http://file:1"},
      {{"--backend=consul"}, theirs, "http://theirs:1"},
      {{"--backend=consul"}, {}, "http://127.0.0.1:8500"},
      {{flag, "--consul_address", "http://last:1"}, {}, "http://last:1"},
  };
  for (const Case& c : cases) EXPECT_EQ(Must(c.args, c.variables).consul_address, c.want);
}

// Would break if an option could not be set from one of the three places.
TEST(OptionsTest, EveryOptionFromEverySource) {
  const std::map<std::string, std::string> values = {{"backend", "consul"},
                                                     {"auth", "consul"},
                                                     {"auth_grace", "5s"},
                                                     {"data_dir", "/d"},
                                                     {"grpc_max_connection_age", "30m"},
                                                     {"grpc_max_connection_age_grace", "2s"},
                                                     {"grpc_threads", "4"},
                                                     {"grpc_listen", "0.0.0.0:1"},
                                                     {"http_listen", "[::1]:2"},
                                                     {"http_max_connections", "77"},
                                                     {"http_cors_origins", "https://a,http://b:1"},
                                                     {"consul_address", "c:8500"},
                                                     {"consul_token_file", "/t"},
                                                     {"consul_ca_file", "/ca"},
                                                     {"consul_cert_file", "/c"},
                                                     {"consul_key_file", "/k"},
                                                     {"consul_tls_verify", "false"},
                                                     {"consul_max_connections", "9"},
                                                     {"consul_wait", "1m30s"},
                                                     {"check_allow", "192.0.2.0/24,web.example"},
                                                     {"watch_linger", "7s"},
                                                     {"drain_timeout", "9s"},
                                                     {"drain_delay", "1s"},
                                                     {"worker_threads", "3"},
                                                     {"log_level", "debug"},
                                                     {"log_format", "json"}};
  const auto check = [](const Options& o) {
    EXPECT_EQ(o.backend, BackendKind::kConsul);
    EXPECT_EQ(o.data_dir, "/d");
    EXPECT_EQ(o.auth, AuthMode::kConsul);
    EXPECT_EQ(o.auth_grace, absl::Seconds(5));
    EXPECT_THAT(o.grpc_listen, ElementsAre("0.0.0.0:1"));
    EXPECT_EQ(o.http_listen, "[::1]:2");
    EXPECT_EQ(o.http_max_connections, 77);
    EXPECT_THAT(o.http_cors_origins, ::testing::ElementsAre("https://a", "http://b:1"));
    EXPECT_EQ(o.grpc_max_connection_age, absl::Minutes(30));
    EXPECT_EQ(o.grpc_max_connection_age_grace, absl::Seconds(2));
    EXPECT_EQ(o.grpc_threads, 4);
    EXPECT_EQ(o.consul_address, "http://c:8500");
    EXPECT_EQ(o.consul_token_file, "/t");
    EXPECT_EQ(o.consul_ca_file, "/ca");
    EXPECT_EQ(o.consul_cert_file, "/c");
    EXPECT_EQ(o.consul_key_file, "/k");
    EXPECT_FALSE(o.consul_tls_verify);
    EXPECT_EQ(o.consul_max_connections, 9);
    EXPECT_EQ(o.consul_wait, absl::Seconds(90));
    EXPECT_TRUE(Allows(o, "192.0.2.9:80"));
    EXPECT_TRUE(Allows(o, "web.example:80"));
    EXPECT_FALSE(Allows(o, "127.0.0.1:80"));
    EXPECT_EQ(o.watch_linger, absl::Seconds(7));
    EXPECT_EQ(o.drain_timeout, absl::Seconds(9));
    EXPECT_EQ(o.drain_delay, absl::Seconds(1));
    EXPECT_EQ(o.worker_threads, 3);
    EXPECT_EQ(o.log_level, LogLevel::kDebug);
    EXPECT_EQ(o.log_format, LogFormat::kJson);
  };
  std::vector<std::string> flags;
  Variables variables;
  std::map<std::string, std::string> sections;
  std::string yaml;
  for (const auto& [name, value] : values) {
    flags.push_back("--" + name + "=" + value);
    std::string upper = name;
    for (char& c : upper) c = static_cast<char>(std::toupper(c));
    variables["MESHGATE_" + upper] = value;
    // It has a section of its own, with others in it.
    const std::string place = name == "auth" ? "auth_mode" : name;
    const size_t split = place.find('_');
    if (split == std::string::npos) {
      yaml += name + ": '" + value + "'\n";
    } else {
      sections[place.substr(0, split)] += "  " + place.substr(split + 1) + ": '" + value + "'\n";
    }
  }
  for (const auto& [section, body] : sections) yaml += section + ":\n" + body;
  check(Must(flags));
  check(Must({}, variables));
  check(Must({"--config=" + File(yaml)}));
  check(Must({}, {{"MESHGATE_CONFIG", File(yaml)}}));
}

// Would break if a mistake were accepted, or reported without saying where it is and what would be right.
TEST(OptionsTest, MistakesNameSourceAndRemedy) {
  struct Case {
    std::vector<std::string> args;
    Variables variables;
    std::string want;
  };
  const Case cases[] = {
      {{"--drain_timeout=soon"}, {}, "flag --drain_timeout: \"soon\" is not a duration between 100ms and 10m"},
      {{"--consul_wait=30"}, {}, "flag --consul_wait: \"30\" is not a duration between 1s and 10m"},
      {{"--consul_wait=1h"}, {}, "a duration between 1s and 10m"},
      {{}, {{"MESHGATE_BACKEND", "etcd"}}, "environment MESHGATE_BACKEND: \"etcd\" is not one of embedded, consul"},
      {{"--consul_max_connections=2"}, {}, "a whole number between 3 and 10000"},
      {{"--consul_max_connections=12x"}, {}, "a whole number"},
      {{"--grpc_threads=257"}, {}, "a whole number between 0 and 256"},
      {{"--grpc_max_connection_age=-1s"}, {}, "a duration between 0 and 8760h"},
      {{"--grpc_max_connection_age_grace=25h"}, {}, "a duration between 0 and 24h"},
      {{"--grpc_listen=:50051"}, {}, "HOST:PORT"},
      {{"--grpc_listen=1.2.3.4:99999"}, {}, "HOST:PORT"},
      {{"--grpc_listen=1.2.3.4:+1"}, {}, "HOST:PORT"},
      {{"--http_listen=localhost"}, {}, "HOST:PORT, such as"},
      {{"--http_max_connections=-1"}, {}, "a whole number between 0 and 1000000"},
      {{"--http_cors_origins=*"}, {}, "origins as browsers send them"},
      {{"--http_cors_origins=https://a/"}, {}, "origins as browsers send them"},
      {{"--http_cors_origins=https://a,b"}, {}, "origins as browsers send them"},
      {{"--http_cors_origins=https://"}, {}, "origins as browsers send them"},
      {{"--consul_address=ftp://x:1"}, {}, "http://HOST:PORT"},
      {{"--consul_address=http://u:p@x:1/kv"}, {}, "http://HOST:PORT"},
      {{"--consul_tls_verify=maybe"}, {}, "\"maybe\" is not true or false"},
      {{"--log_level=loud"}, {}, "one of debug, info, warn, error"},
      {{"--nonsense=1"}, {}, "nonsense"},
      {{"--drain=1s"}, {}, "--drain"},
      {{"serve"}, {}, "only --option=value"},
      {{"--data_dir"}, {}, "data_dir"},
      {{"--consul_cert_file=/c"}, {}, "give both or neither"},
      {{"--drain_delay=5s"}, {}, "must be less than drain_timeout (5s)"},
      {{"--backend=consul"},
       {{"CONSUL_HTTP_SSL_VERIFY", "x"}},
       "environment CONSUL_HTTP_SSL_VERIFY: \"x\" is not true"},
      {{"--config=/nonexistent.yaml"}, {}, "/nonexistent.yaml: cannot be read"},
      {{"--config=/usr"}, {}, "/usr: cannot be read"},
  };
  for (const Case& c : cases) EXPECT_THAT(ErrorOf(c.args, c.variables), HasSubstr(c.want));
}

// Would break if a mistake in the file were accepted, or reported without its line.
TEST(OptionsTest, MistakesInTheFileNameTheLine) {
  const std::pair<std::string, std::string> cases[] = {
      {"backend: consul\ngrpc:\n  lisen: 'x:1'\n", ":3: grpc.lisen: is no option"},
      {"colour: red\n", ":1: colour: is no option"},
      {"\ngrpc_listen: 'x:1'\n", ":2: grpc_listen: is written as grpc.listen, nested"},
      {"drain:\n  timeout: 1s\n  timeout: 2s\n", ":3: drain.timeout: is there twice"},
      {"drain: 5s\n", ":1: drain: is a section, not a value"},
      {"drain:\n  timeout: 5\n", ":2: drain.timeout: \"5\" is not a duration"},
      {"http: {listen: ['a:1', 'b:1']}\n", ":1: http.listen: needs one value"},
      {"log:\n  level:\n", ":2: log.level: needs one value"},
      {"- a\n", ":1: a file of options is a map"},
      {"a: [\n", ":2: "},
      {"config: x\n", ":1: config: is no option"},
  };
  for (const auto& [text, want] : cases) EXPECT_THAT(ErrorOf({"--config=" + File(text)}), HasSubstr(want)) << text;
}

// Would break if an operator had to start once per mistake to find them all.
TEST(OptionsTest, AllMistakesAtOnceOneLineEach) {
  const std::string error = ErrorOf({"--drain_timeout=x\ny", "--log_level=z"}, {{"MESHGATE_CONSUL_WAIT", "w"}});
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 2) << error;
}

// Would break if a shell prepared for Consul's own tools could stop or steer a gateway that does not use Consul.
TEST(OptionsTest, ConsulVariablesServeTheConsulBackendOnly) {
  const Variables variables = {{"CONSUL_HTTP_ADDR", "unix:///var/run/consul"}, {"CONSUL_HTTP_TOKEN", "secret"}};
  EXPECT_EQ(Must({}, variables).consul_token, "");
  EXPECT_THAT(ErrorOf({"--backend=consul"}, variables), HasSubstr("environment CONSUL_HTTP_ADDR"));
  const Options o = Must({"--backend=consul"}, {{"CONSUL_HTTP_ADDR", "10.0.0.1:8500"},
                                                {"CONSUL_HTTP_TOKEN", "secret"},
                                                {"CONSUL_HTTP_TOKEN_FILE", "/t"},
                                                {"CONSUL_CACERT", "/ca"},
                                                {"CONSUL_CLIENT_CERT", "/c"},
                                                {"CONSUL_CLIENT_KEY", "/k"},
                                                {"CONSUL_HTTP_SSL_VERIFY", "false"}});
  EXPECT_EQ(o.consul_address, "http://10.0.0.1:8500");
  EXPECT_EQ(o.consul_token, "secret");
  EXPECT_EQ(o.consul_token_file, "/t");
  EXPECT_EQ(o.consul_ca_file, "/ca");
  EXPECT_EQ(o.consul_cert_file, "/c");
  EXPECT_EQ(o.consul_key_file, "/k");
  EXPECT_FALSE(o.consul_tls_verify);
}

// Would break if several addresses could not be given, from the file as a list too.
TEST(OptionsTest, SeveralGrpcAddresses) {
  EXPECT_THAT(Must({"--grpc_listen=127.0.0.1:0, [::1]:0,unix:/run/m.sock", "--auth=none"}).grpc_listen,
              ElementsAre("127.0.0.1:0", "[::1]:0", "unix:/run/m.sock"));
  EXPECT_THAT(Must({"--config=" + File("grpc:\n  listen: ['a:1', 'b:2']\n"), "--auth=none"}).grpc_listen,
              ElementsAre("a:1", "b:2"));
}

// Would break if a second address of Consul were taken for a part of the first one, or a wrong one among several were
// found out when it is needed.
TEST(OptionsTest, SeveralConsulAddresses) {
  EXPECT_EQ(Must({"--consul_address=a:8500, https://b:8501/,[::1]:8500"}).consul_address,
            "http://a:8500,https://b:8501,http://[::1]:8500");
  EXPECT_EQ(Must({"--config=" + File("consul:\n  address: ['a:1', 'https://b:2']\n")}).consul_address,
            "http://a:1,https://b:2");
  EXPECT_EQ(Must({"--backend=consul"}, {{"CONSUL_HTTP_ADDR", "a:1,b:2"}}).consul_address, "http://a:1,http://b:2");
  for (const char* wrong : {"a:1,", ",a:1", "a:1,,b:1", "a:1,ftp://b:1", "a:1,http://u:p@b:1", "a:1 b:1"}) {
    EXPECT_THAT(ErrorOf({std::string("--consul_address=") + wrong}), HasSubstr("several with commas")) << wrong;
  }
}

// Would break if --help needed a valid configuration, or left out what can be set.
TEST(OptionsTest, HelpAndVersion) {
  EXPECT_EQ(Parse({"--help"}, {{"MESHGATE_BACKEND", "bad"}})->action, CommandLine::Action::kHelp);
  EXPECT_EQ(Parse({"--version"})->action, CommandLine::Action::kVersion);
  EXPECT_EQ(Parse({"--help_markdown"})->action, CommandLine::Action::kHelpMarkdown);
  for (const char* flag :
       {"--backend=", "--grpc_listen=", "--consul_wait=", "--log_format=", "--config=", "--version"}) {
    EXPECT_THAT(HelpText(), HasSubstr(flag));
  }
  EXPECT_THAT(HelpText(), Not(HasSubstr("help_markdown")));
  EXPECT_THAT(HelpMarkdown(),
              HasSubstr("| `--drain_timeout=DURATION` | `MESHGATE_DRAIN_TIMEOUT` | `drain.timeout` | `5s` | "));
  EXPECT_THAT(HelpMarkdown(), HasSubstr("embedded\\|consul"));
}

// Would break if a misspelt variable were ignored in silence, or one of ours were called unknown.
TEST(OptionsTest, UnknownVariables) {
  EXPECT_THAT(UnknownVariables({"PATH", "MESHGATE_GRPC_LISTEN", "MESHGATE_GRPC_LISTN", "MESHGATE_CONFIG",
                                "MESHGATE_ENDPOINT", "MESHGATE_", "MESHGATE_TOKEN", "MESHGATE_TOKEN_FILE"}),
              ElementsAre("MESHGATE_GRPC_LISTN", "MESHGATE_", "MESHGATE_TOKEN", "MESHGATE_TOKEN_FILE"));
}

}  // namespace
}  // namespace meshgate::server
