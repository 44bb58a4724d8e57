#include "client/ctl/args.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"

namespace meshgate::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Arguments are separated by '|', so that they may hold spaces and be empty.
absl::StatusOr<Invocation> Parse(const std::string& line) {
  return ParseArguments(absl::StrSplit(line, '|'), "default:1");
}

struct RequestVisitor {
  const google::protobuf::Message* operator()(const WatchArgs& args) const {
    return std::visit([](const auto& request) -> const google::protobuf::Message* { return &request; }, args.request);
  }
  const google::protobuf::Message* operator()(const HelpArgs&) const { return nullptr; }
  template <typename Args>
  const google::protobuf::Message* operator()(const Args& args) const {
    return &args.request;
  }
};

struct Accepted {
  const char* line;
  // The request, in protobuf's short text form.
  const char* request;
};

class AcceptedTest : public ::testing::TestWithParam<Accepted> {};

// Each option has to arrive in the field it is for: a compare-and-set that is dropped on the way overwrites data.
TEST_P(AcceptedTest, BecomesTheRequest) {
  const auto invocation = Parse(GetParam().line);
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  const google::protobuf::Message* request = std::visit(RequestVisitor(), invocation->command);
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(request->ShortDebugString(), GetParam().request);
}

INSTANTIATE_TEST_SUITE_P(
    Lines, AcceptedTest,
    ::testing::Values(
        Accepted{"get|a/b", "key: \"a/b\" options { consistency: CONSISTENCY_CACHED }"},
        Accepted{"get|a b", "key: \"a b\" options { consistency: CONSISTENCY_CACHED }"},
        Accepted{"get|a|--consistency=consistent|-d|dc2",
                 "key: \"a\" options { consistency: CONSISTENCY_CONSISTENT datacenter: \"dc2\" }"},
        Accepted{"--endpoint|h:1|get|--consistency|stale|a", "key: \"a\" options { consistency: CONSISTENCY_STALE }"},
        Accepted{"put|a|v", "key: \"a\""}, Accepted{"put|a|-", "key: \"a\""},
        Accepted{"put|--if-modify-index|0|a|v", "key: \"a\" if_modify_index: 0"},
        Accepted{"put|a|v|--flags=18446744073709551615|--datacenter=x",
                 "key: \"a\" flags: 18446744073709551615 datacenter: \"x\""},
        Accepted{"put|a|--|-v", "key: \"a\""}, Accepted{"put|a|", "key: \"a\""}, Accepted{"del|a", "key: \"a\""},
        Accepted{"del|a|--if-modify-index=7", "key: \"a\" if_modify_index: 7"},
        Accepted{"del|--prefix|a/", "prefix: \"a/\""}, Accepted{"list", "options { consistency: CONSISTENCY_CACHED }"},
        Accepted{"list|p/|--keys-only", "prefix: \"p/\" keys_only: true options { consistency: CONSISTENCY_CACHED }"},
        Accepted{"commit|-", ""}, Accepted{"commit|f|-d|dc2", "datacenter: \"dc2\""},
        Accepted{"watch|a", "key: \"a\" subscriber: \"meshgatectl\""},
        Accepted{"watch|--prefix|", "prefix: \"\" subscriber: \"meshgatectl\""},
        Accepted{"watch|-p|a/|--resume|t|--subscriber|me|-d|x",
                 "prefix: \"a/\" resume_token: \"t\" datacenter: \"x\" subscriber: \"me\""},
        Accepted{"watch|--service|web|--tag|a|--tag=b|--include-unhealthy|--filter|x == \"y\"",
                 "service: \"web\" tags: \"a\" tags: \"b\" include_unhealthy: true filter: \"x == \\\"y\\\"\" "
                 "subscriber: \"meshgatectl\""},
        Accepted{"register|--service|web", "instance { service: \"web\" }"},
        Accepted{"register|--service=web|--id=w1|--address=10.0.0.7|--port=80|--tag=a|--tag=b|--meta=k=v=w",
                 "instance { id: \"w1\" service: \"web\" address: \"10.0.0.7\" port: 80 tags: \"a\" tags: \"b\" meta { "
                 "key: \"k\" value: \"v=w\" } }"},
        Accepted{"register|--service=web|--weight-warning=3",
                 "instance { service: \"web\" weights { passing: 1 warning: 3 } }"},
        Accepted{"register|--service=web|--check-http=http://h/|--interval=1500ms|--check-timeout=2s",
                 "instance { service: \"web\" } checks { http { url: \"http://h/\" } interval { seconds: 1 nanos: "
                 "500000000 } timeout { seconds: 2 } }"},
        Accepted{"register|--service=web|--check-tcp=h:1|--check-grpc=h:2/s",
                 "instance { service: \"web\" } checks { tcp { address: \"h:1\" } interval { seconds: 10 } } checks { "
                 "grpc { target: \"h:2/s\" } interval { seconds: 10 } }"},
        Accepted{"register|--service=web|--check-ttl=1m30s|--deregister-after=5m|--initial-status=passing",
                 "instance { service: \"web\" } checks { ttl { seconds: 90 } deregister_critical_after { seconds: 300 "
                 "} initial_status: HEALTH_STATUS_PASSING }"},
        Accepted{"hold|--service=web|--tag=a|--check-ttl=9s|--linger=5s|--no-reconnect",
                 "instance { service: \"web\" tags: \"a\" } checks { ttl { seconds: 9 } }"},
        Accepted{"heartbeat|w1", "id: \"w1\" status: HEALTH_STATUS_PASSING"},
        Accepted{"heartbeat|w1|--status=critical|--note=no disk",
                 "id: \"w1\" status: HEALTH_STATUS_CRITICAL note: \"no disk\""},
        Accepted{"deregister|w1", "id: \"w1\""},
        Accepted{"discover|web|--near=_agent|--tag=x",
                 "service: \"web\" tags: \"x\" near: \"_agent\" options { consistency: CONSISTENCY_CACHED }"},
        Accepted{"services|--consistency=default", "options { consistency: CONSISTENCY_DEFAULT }"}));

class RefusedTest : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

// A command line that means nothing must not be sent as something else, and the answer must say what is wrong.
TEST_P(RefusedTest, SaysWhy) {
  const auto invocation = Parse(GetParam().first);
  ASSERT_FALSE(invocation.ok());
  EXPECT_THAT(std::string(invocation.status().message()), HasSubstr(GetParam().second));
  EXPECT_THAT(std::string(invocation.status().message()), HasSubstr("--help"));
}

INSTANTIATE_TEST_SUITE_P(
    Lines, RefusedTest,
    ::testing::Values(
        std::make_pair("-o|json", "no command given"), std::make_pair("--bogus", "--bogus"),
        std::make_pair("frob", "'frob'"), std::make_pair("get", "needs KEY"),
        std::make_pair("get|a|b", "unexpected argument 'b'"), std::make_pair("get|a|--nope", "--nope"),
        std::make_pair("get|a|--cons=stale", "--cons"), std::make_pair("get|a|--consistency=eventual", "not eventual"),
        std::make_pair("get|a|-o|xml", "not xml"), std::make_pair("get|a|--timeout=5", "with a unit"),
        std::make_pair("get|a|--timeout=-5s", "positive"), std::make_pair("get|a|--timeout=inf", "positive"),
        std::make_pair("get|a|--endpoint=http://h:1", "HOST:PORT"),
        std::make_pair("get|a|--endpoint|", "--endpoint is empty"), std::make_pair("put|a", "needs KEY VALUE"),
        std::make_pair("put|a|b|--flags=-1", "'-1'"), std::make_pair("put|a|b|--flags=1x", "'1x'"),
        std::make_pair("put|a|b|--if-modify-index|", "takes a number"), std::make_pair("del", "either KEY or --prefix"),
        std::make_pair("del|a|--prefix=b", "either KEY or --prefix"),
        std::make_pair("del|--prefix|", "would delete all"),
        std::make_pair("del|--prefix=a|--if-modify-index=1", "--if-modify-index"),
        std::make_pair("commit", "needs FILE|-"), std::make_pair("commit|a|b", "unexpected argument 'b'"),
        std::make_pair("watch", "one of KEY"), std::make_pair("watch|a|--service=b", "one of KEY"),
        std::make_pair("watch|a|--tag=b", "go with --service"),
        std::make_pair("watch|a|--count=x", "--count takes a number"), std::make_pair("register", "--service NAME"),
        std::make_pair("register|--service=a|--service=b", "more than once"),
        std::make_pair("register|--service=a|--meta=x", "KEY=VALUE"),
        std::make_pair("register|--service=a|--port=4294967296", "--port takes a number"),
        std::make_pair("register|--service=a|--interval=5s", "needs a --check-"),
        std::make_pair("register|--service=a|--check-ttl=5s|--initial-status=up", "not up"),
        std::make_pair("hold", "hold needs --service NAME"),
        std::make_pair("hold|--service=a|--linger=5", "--linger takes a positive time"),
        std::make_pair("heartbeat|a|--status=ok", "not ok"), std::make_pair("discover", "needs SERVICE"),
        std::make_pair("services|x", "unexpected argument 'x'"), std::make_pair("help|frob", "'frob'")));

// The environment's endpoint is a default: the command line wins.
TEST(ParseTest, EndpointComesFromTheLineFirst) {
  EXPECT_EQ(Parse("get|a")->endpoint, "default:1");
  EXPECT_EQ(Parse("get|a|-e|other:2")->endpoint, "other:2");
  EXPECT_EQ(Parse("--endpoint=other:2|get|a")->endpoint, "other:2");
}

// A script that asks for two seconds must not wait for ten.
TEST(ParseTest, TimeoutAndFormatAreTaken) {
  const auto invocation = Parse("get|a|-t|2s|-o|json");
  ASSERT_TRUE(invocation.ok()) << invocation.status();
  EXPECT_EQ(invocation->timeout, absl::Seconds(2));
  EXPECT_EQ(invocation->format, Format::kJson);
  EXPECT_EQ(Parse("get|a")->timeout, absl::Seconds(10));
  EXPECT_EQ(Parse("get|a")->format, Format::kText);
}

// The value must reach its reader as it was typed.
TEST(ParseTest, PutKeepsItsSource) {
  EXPECT_EQ(std::get<PutArgs>(Parse("put|a|-")->command).source, "-");
  EXPECT_EQ(std::get<PutArgs>(Parse("put|a|@f")->command).source, "@f");
  EXPECT_EQ(std::get<PutArgs>(Parse("put|a|--|--x")->command).source, "--x");
  EXPECT_EQ(std::get<PutArgs>(Parse("put|a|")->command).source, "");
}

// Help that does not name a command, or is not there for one, leaves its user alone.
TEST(ParseTest, HelpIsThereForAll) {
  const auto general = Parse("--help");
  ASSERT_TRUE(general.ok());
  const std::string text = std::get<HelpArgs>(general->command).text;
  for (const char* command : {"get", "put", "del", "list", "commit", "watch", "register", "heartbeat", "deregister",
                              "discover", "services"}) {
    EXPECT_THAT(text, HasSubstr(std::string("\n  ") + command + " "));
    for (const std::string& line : {std::string(command) + "|--help", "help|" + std::string(command)}) {
      const auto help = Parse(line);
      ASSERT_TRUE(help.ok()) << line << ": " << help.status();
      EXPECT_THAT(std::get<HelpArgs>(help->command).text, StartsWith("Usage: meshgatectl " + std::string(command)));
      EXPECT_THAT(std::get<HelpArgs>(help->command).text, HasSubstr("Example"));
    }
  }
}

// Bug reports need it.
TEST(ParseTest, VersionIsPrinted) {
  const auto version = Parse("--version");
  ASSERT_TRUE(version.ok());
  EXPECT_THAT(std::get<HelpArgs>(version->command).text, ::testing::MatchesRegex("meshgatectl [0-9.]+ .*\n"));
}

// Would break if an option of TLS were dropped, and the call went out in plain text.
TEST(ArgsTest, TlsIsWhatWasAskedFor) {
  EXPECT_FALSE(Parse("get|a")->tls.has_value());
  EXPECT_TRUE(Parse("get|a|--tls")->tls.has_value());
  EXPECT_TRUE(Parse("get|a|--tls-server-name=gate.example")->tls.has_value());
  const auto all = Parse("--ca-file|ca|--cert-file|c|--key-file|k|--tls-server-name|n|get|a");
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_TRUE(all->tls.has_value());
  EXPECT_EQ(all->tls->ca_file, "ca");
  EXPECT_EQ(all->tls->cert_file, "c");
  EXPECT_EQ(all->tls->key_file, "k");
  EXPECT_EQ(all->tls_server_name, "n");
  // As with a variable of the shell that is not set.
  EXPECT_THAT(Parse("put|a|b|--ca-file|").status().message(), HasSubstr("--ca-file is empty"));
  EXPECT_THAT(Parse("get|a|--key-file=k").status().message(), HasSubstr("--key-file needs --cert-file"));
}

}  // namespace
}  // namespace meshgate::ctl
