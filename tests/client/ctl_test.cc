#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "client/ctl/app.h"
#include "tests/client/fake_gateway.h"

namespace meshgate::ctl {
namespace {

using ::meshgate::testing::FakeGateway;
using ::meshgate::testing::GatewayError;
using ::testing::HasSubstr;
using ::testing::Not;

long Lines(const std::ostringstream& stream) {
  const std::string text = stream.str();
  return std::count(text.begin(), text.end(), '\n');
}

class CtlTest : public ::testing::Test {
 protected:
  int Run(std::vector<std::string> args) {
    out_.str("");
    err_.str("");
    return RunMeshgatectl(args, {&in_, &out_, &err_, gateway_.endpoint(), &cancellation_});
  }

  FakeGateway gateway_;
  client::Cancellation cancellation_;
  std::istringstream in_;
  std::ostringstream out_;
  std::ostringstream err_;
};

// Values are bytes: a certificate or a zero in the middle must come out as it went in, with nothing added.
TEST_F(CtlTest, GetPrintsTheValueAlone) {
  const std::string value("\0\xff line\n\n", 9);
  gateway_.config().get = [&](const v1::GetConfigRequest& request, v1::GetConfigResponse* response) {
    EXPECT_EQ(request.key(), "a");
    response->mutable_entry()->set_value(value);
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"get", "a"}), 0);
  EXPECT_EQ(out_.str(), value);
  EXPECT_EQ(err_.str(), "");
}

// Scripts read JSON: one line, protobuf's names, an index that jq finds even when it is 0.
TEST_F(CtlTest, GetJson) {
  gateway_.config().get = [](const v1::GetConfigRequest&, v1::GetConfigResponse* response) {
    response->mutable_entry()->set_key("a");
    response->mutable_entry()->set_value("v");
    response->mutable_entry()->set_modify_index(7);
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"get", "a", "-o", "json"}), 0);
  EXPECT_EQ(
      out_.str(),
      "{\"entry\":{\"key\":\"a\",\"value\":\"dg==\",\"flags\":\"0\",\"createIndex\":\"0\",\"modifyIndex\":\"7\"}}\n");
}

// The exit code is the API of a shell script; the line on standard error is what its author reads.
TEST_F(CtlTest, FailedCallsExitWith64PlusTheirCode) {
  gateway_.config().get = [](const v1::GetConfigRequest&, v1::GetConfigResponse*) {
    return GatewayError(grpc::StatusCode::NOT_FOUND, "KEY_NOT_FOUND", "no such key");
  };
  EXPECT_EQ(Run({"get", "a"}), 69);
  EXPECT_EQ(out_.str(), "");
  EXPECT_EQ(err_.str(),
            "meshgatectl: get: NOT_FOUND (KEY_NOT_FOUND): no such key; "
            "`meshgatectl list PREFIX --keys-only` shows what is there\n");

  gateway_.config().put = [](const v1::PutConfigRequest& request, v1::PutConfigResponse*) {
    EXPECT_TRUE(request.has_if_modify_index());
    return GatewayError(grpc::StatusCode::ABORTED, "CAS_MISMATCH", "changed\nmeanwhile", 2);
  };
  EXPECT_EQ(Run({"put", "a", "v", "--if-modify-index=3"}), 74);
  EXPECT_THAT(err_.str(), HasSubstr("ABORTED (CAS_MISMATCH): changed meanwhile; "));
  EXPECT_THAT(err_.str(), HasSubstr("retry in 2s\n"));
}

// The most common mistake of a newcomer must explain itself.
TEST_F(CtlTest, NoGatewaySaysHowToStartOne) {
  EXPECT_EQ(Run({"get", "a", "--endpoint", "127.0.0.1:1"}), 78);
  EXPECT_THAT(err_.str(), HasSubstr("UNAVAILABLE"));
  EXPECT_THAT(err_.str(), HasSubstr("is meshgate running at 127.0.0.1:1? start it with ./deploy/run.sh"));
  EXPECT_EQ(Lines(err_), 1);
}

// Mistakes of this machine and of this line must not look like the gateway's.
TEST_F(CtlTest, LocalAndUsageErrorsHaveTheirOwnCodes) {
  EXPECT_EQ(Run({"put", "a", "@/does/not/exist"}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("can't open /does/not/exist"));
  EXPECT_EQ(Run({"get"}), 2);
  EXPECT_EQ(Run({}), 2);
  EXPECT_EQ(Run({"--help"}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("Usage: meshgatectl"));
}

// Each way to give a value must deliver it whole.
TEST_F(CtlTest, PutReadsItsSource) {
  std::string got;
  gateway_.config().put = [&](const v1::PutConfigRequest& request, v1::PutConfigResponse* response) {
    got = request.value();
    response->mutable_entry()->set_modify_index(42);
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"put", "a", "literal"}), 0);
  EXPECT_EQ(got, "literal");
  EXPECT_EQ(out_.str(), "a\t42\n");

  in_.str(std::string("x\0y\n", 4));
  EXPECT_EQ(Run({"put", "a", "-"}), 0);
  EXPECT_EQ(got, std::string("x\0y\n", 4));

  const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/value";
  std::ofstream(path, std::ios::binary) << "from a file";
  EXPECT_EQ(Run({"put", "a", "@" + path}), 0);
  EXPECT_EQ(got, "from a file");

  in_.clear();
  in_.str(std::string(524'289, 'x'));
  EXPECT_EQ(Run({"put", "a", "-"}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("at most 524288 bytes"));
}

// A listing that stops after its first page looks complete and is not.
TEST_F(CtlTest, ListReadsAllPages) {
  gateway_.config().list = [](const v1::ListConfigRequest& request, v1::ListConfigResponse* response) {
    auto* entry = response->add_entries();
    if (request.page_token().empty()) {
      entry->set_key("a");
      entry->set_value("tab\there");
      entry->set_modify_index(3);
      response->set_next_page_token("2");
    } else {
      EXPECT_EQ(request.page_token(), "2");
      entry->set_key("b");
    }
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"list"}), 0);
  EXPECT_EQ(out_.str(), "a\t3\ttab\\there\nb\t0\t\n");
  EXPECT_EQ(Run({"list", "--keys-only"}), 0);
  EXPECT_EQ(out_.str(), "a\nb\n");
  EXPECT_EQ(Run({"list", "-o", "json"}), 0);
  EXPECT_EQ(Lines(out_), 2);
}

// A caller that waits for a state, not for ever, relies on the count.
TEST_F(CtlTest, WatchPrintsChangesAndEndsAfterCount) {
  v1::WatchConfigResponse snapshot;
  snapshot.set_snapshot(true);
  v1::WatchConfigResponse stale;
  stale.set_stale(true);
  v1::WatchConfigResponse put;
  put.add_events()->set_type(v1::ConfigEvent::TYPE_PUT);
  put.mutable_events(0)->mutable_entry()->set_key("a");
  put.mutable_events(0)->mutable_entry()->set_value("v");
  put.mutable_events(0)->mutable_entry()->set_modify_index(9);
  v1::WatchConfigResponse gone = put;
  gone.mutable_events(0)->set_type(v1::ConfigEvent::TYPE_DELETE);
  gateway_.config().streams = {{{snapshot, stale, put, gone}, grpc::Status::OK, true}};
  EXPECT_EQ(Run({"watch", "a", "--count=3"}), 0);
  EXPECT_EQ(out_.str(), "put\ta\t9\tv\ndelete\ta\n");
  EXPECT_THAT(err_.str(), HasSubstr("nothing there yet"));
  EXPECT_THAT(err_.str(), HasSubstr("stale"));
  EXPECT_THAT(err_.str(), HasSubstr("current again"));

  gateway_.config().streams = {{{snapshot, put}, grpc::Status::OK, true}};
  EXPECT_EQ(Run({"watch", "a", "--count=2", "-o", "json"}), 0);
  EXPECT_EQ(Lines(out_), 2);
  EXPECT_THAT(out_.str(), HasSubstr("\"snapshot\":true"));
}

// A supervisor that restarts what ends must be able to see the end.
TEST_F(CtlTest, WatchWithoutReconnectReportsTheEnd) {
  gateway_.config().streams = {{{}, GatewayError(grpc::StatusCode::UNAVAILABLE, "DRAINING", "shutting down")}};
  EXPECT_EQ(Run({"watch", "a", "--no-reconnect"}), 78);
  EXPECT_THAT(err_.str(), HasSubstr("UNAVAILABLE (DRAINING)"));
  EXPECT_THAT(err_.str(), Not(HasSubstr("start it with")));
}

// Ctrl-C is neither success nor a failed call.
TEST_F(CtlTest, InterruptExitsWith130) {
  cancellation_.Cancel();
  EXPECT_EQ(Run({"watch", "a"}), 130);
  EXPECT_EQ(Run({"get", "a"}), 130);
  EXPECT_EQ(err_.str(), "");
}

// What can't be written is not success: a full disk would lose a backup in silence.
TEST_F(CtlTest, FailedOutputIsAnError) {
  gateway_.config().get = [](const v1::GetConfigRequest&, v1::GetConfigResponse* response) {
    response->mutable_entry()->set_value("v");
    return grpc::Status::OK;
  };
  std::ofstream full("/dev/full");
  EXPECT_EQ(RunMeshgatectl({"get", "a"}, {&in_, &full, &err_, gateway_.endpoint(), &cancellation_}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("can't write"));
}

// The registry's commands send what was asked and print what came.
TEST_F(CtlTest, RegistryCommands) {
  gateway_.registry().add = [](const v1::RegisterRequest& request, v1::RegisterResponse* response) {
    EXPECT_EQ(request.instance().port(), 80u);
    response->set_id("web-1");
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"register", "--service=web", "--port=80"}), 0);
  EXPECT_EQ(out_.str(), "web-1\n");

  gateway_.registry().heartbeat = [](const v1::HeartbeatRequest& request, v1::HeartbeatResponse*) {
    EXPECT_EQ(request.id(), "web-1");
    return GatewayError(grpc::StatusCode::FAILED_PRECONDITION, "NO_TTL_CHECK", "web-1 has no TTL check");
  };
  EXPECT_EQ(Run({"heartbeat", "web-1"}), 73);
  EXPECT_THAT(err_.str(), HasSubstr("--check-ttl"));

  gateway_.registry().remove = [](const v1::DeregisterRequest&, v1::DeregisterResponse*) { return grpc::Status::OK; };
  EXPECT_EQ(Run({"deregister", "web-1"}), 0);
  EXPECT_EQ(out_.str(), "");

  v1::DiscoveredInstance instance;
  instance.mutable_instance()->set_id("web-1");
  instance.mutable_instance()->set_address("fd00::7");
  instance.mutable_instance()->set_port(80);
  instance.mutable_instance()->add_tags("a");
  instance.mutable_instance()->add_tags("b");
  instance.set_status(v1::HEALTH_STATUS_PASSING);
  instance.set_node("n1");
  gateway_.registry().discover = [&](const v1::DiscoverRequest&, v1::DiscoverResponse* response) {
    *response->add_instances() = instance;
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"discover", "web"}), 0);
  EXPECT_EQ(out_.str(), "web-1\tn1\t[fd00::7]:80\tpassing\ta,b\n");

  v1::WatchServiceResponse snapshot;
  snapshot.set_snapshot(true);
  snapshot.add_events()->set_type(v1::ServiceEvent::TYPE_PUT);
  *snapshot.mutable_events(0)->mutable_instance() = instance;
  gateway_.registry().stream = {{snapshot}, grpc::Status::OK, true};
  EXPECT_EQ(Run({"watch", "--service=web", "--count=1"}), 0);
  EXPECT_EQ(out_.str(), "put\tweb-1\tn1\t[fd00::7]:80\tpassing\ta,b\n");

  gateway_.registry().list = [](const v1::ListServicesRequest&, v1::ListServicesResponse* response) {
    response->add_services()->set_name("consul");
    response->add_services()->set_name("web");
    response->mutable_services(1)->add_tags("a");
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"services"}), 0);
  EXPECT_EQ(out_.str(), "consul\t\nweb\ta\n");
}

// A supervisor's SIGTERM must take the instance from the catalog, and its log must say what happened before.
TEST_F(CtlTest, HoldPrintsStatesAndSaysGoodbye) {
  v1::HoldRegistrationResponse waiting;
  waiting.set_id("web\n1");
  v1::HoldRegistrationResponse registered = waiting;
  registered.set_registered(true);
  gateway_.registry().holds = {
      {{waiting}, GatewayError(grpc::StatusCode::UNAVAILABLE, "DRAINING", "draining")},
      {{registered}, grpc::Status::OK, true},
  };
  std::thread interrupt([this] {
    EXPECT_TRUE(gateway_.registry().WaitForHoldRequests(2));
    cancellation_.Cancel();
  });
  EXPECT_EQ(Run({"hold", "--service=web", "--port=80", "--linger=3s"}), 130);
  interrupt.join();
  const std::string first = "web\\n1\twaiting\n";
  EXPECT_EQ(out_.str().substr(0, first.size()), first);
  EXPECT_THAT(err_.str(), HasSubstr("UNAVAILABLE (DRAINING)"));
  EXPECT_THAT(err_.str(), HasSubstr("hold: deregistered\n"));
  EXPECT_EQ(gateway_.registry().half_closes(), 1);
  const auto requests = gateway_.registry().hold_requests();
  EXPECT_EQ(requests[1].registration().instance().port(), 80u);
  EXPECT_EQ(requests[1].linger().seconds(), 3);
}

// Two programs with one id must not take it from each other in turns.
TEST_F(CtlTest, HoldEndsWhenItIsTakenOver) {
  gateway_.registry().holds = {{{}, GatewayError(grpc::StatusCode::ABORTED, "TAKEN_OVER", "somebody else has it")}};
  EXPECT_EQ(Run({"hold", "--service=web"}), 74);
  EXPECT_THAT(err_.str(), HasSubstr("ABORTED (TAKEN_OVER): somebody else has it"));
}

// Whoever registers an instance or writes a key chooses its name: it must not add records to what a script reads, or
// move a terminal's cursor.
TEST_F(CtlTest, NamesStayInTheirField) {
  const std::string evil = "x\ny\tz\x1b[2J";
  const std::string shown = "x\\ny\\tz\\033[2J";
  v1::DiscoveredInstance instance;
  instance.mutable_instance()->set_id(evil);
  instance.mutable_instance()->set_address(evil);
  instance.mutable_instance()->add_tags(evil);
  instance.set_status(v1::HEALTH_STATUS_PASSING);
  instance.set_node(evil);
  gateway_.registry().discover = [&](const v1::DiscoverRequest&, v1::DiscoverResponse* response) {
    *response->add_instances() = instance;
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"discover", "web"}), 0);
  EXPECT_EQ(out_.str(), shown + "\t" + shown + "\t" + shown + "\tpassing\t" + shown + "\n");

  v1::WatchServiceResponse gone;
  gone.set_snapshot(true);
  gone.add_events()->set_type(v1::ServiceEvent::TYPE_PUT);
  *gone.mutable_events(0)->mutable_instance() = instance;
  v1::WatchServiceResponse deleted = gone;
  deleted.set_snapshot(false);
  deleted.mutable_events(0)->set_type(v1::ServiceEvent::TYPE_DELETE);
  gateway_.registry().stream = {{gone, deleted}, grpc::Status::OK, true};
  EXPECT_EQ(Run({"watch", "--service=web", "--count=2"}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("\ndelete\t" + shown + "\t" + shown + "\n"));

  gateway_.registry().list = [&](const v1::ListServicesRequest&, v1::ListServicesResponse* response) {
    response->add_services()->set_name(evil);
    response->mutable_services(0)->add_tags(evil);
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"services"}), 0);
  EXPECT_EQ(out_.str(), shown + "\t" + shown + "\n");

  gateway_.config().list = [&](const v1::ListConfigRequest&, v1::ListConfigResponse* response) {
    response->add_entries()->set_key(evil);
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"list", "--keys-only"}), 0);
  EXPECT_EQ(out_.str(), shown + "\n");

  gateway_.config().get = [&](const v1::GetConfigRequest&, v1::GetConfigResponse*) {
    return GatewayError(grpc::StatusCode::INTERNAL, "UNEXPECTED_ANSWER", evil);
  };
  EXPECT_EQ(Run({"get", "a"}), 77);
  EXPECT_THAT(err_.str(), HasSubstr("x y z [2J"));
}

// Advice that contradicts the error it follows sends its reader in a circle.
TEST_F(CtlTest, ConditionOnAKeyThatDoesNotExist) {
  gateway_.config().put = [](const v1::PutConfigRequest&, v1::PutConfigResponse*) {
    return GatewayError(grpc::StatusCode::ABORTED, "CAS_MISMATCH", "the key does not exist any more");
  };
  EXPECT_EQ(Run({"put", "a", "v", "--if-modify-index=3"}), 74);
  EXPECT_THAT(err_.str(), HasSubstr("--if-modify-index 0 creates it"));
  EXPECT_THAT(err_.str(), Not(HasSubstr("meshgatectl get")));
}

// A prompt behind the value, on its line, would look like a part of it; a file or a pipe gets the bytes alone.
TEST_F(CtlTest, OnATerminalAValueEndsItsLine) {
  std::string value = "v";
  gateway_.config().get = [&](const v1::GetConfigRequest&, v1::GetConfigResponse* response) {
    response->mutable_entry()->set_value(value);
    return grpc::Status::OK;
  };
  const Environment terminal{&in_, &out_, &err_, gateway_.endpoint(), &cancellation_, true};
  EXPECT_EQ(RunMeshgatectl({"get", "a"}, terminal), 0);
  EXPECT_EQ(out_.str(), "v\n");
  value = "w\n";
  EXPECT_EQ(RunMeshgatectl({"get", "a"}, terminal), 0);
  EXPECT_EQ(out_.str(), "v\nw\n");
}

// A proxy for the way out, which most corporate shells name, must not get the calls to a gateway next door.
TEST_F(CtlTest, NoProxyInBetween) {
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  gateway_.config().get = [](const v1::GetConfigRequest&, v1::GetConfigResponse*) { return grpc::Status::OK; };
  EXPECT_EQ(Run({"get", "a"}), 0);
  unsetenv("http_proxy");
}

}  // namespace
}  // namespace meshgate::ctl
