#include "server/service/registry_handlers.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/service/handler_harness.h"

namespace meshgate::server {
namespace {

using consul::Health;
using consul::Instance;

Instance MakeInstance(const std::string& id, Health health, std::vector<std::string> tags = {}) {
  Instance instance;
  instance.id = id;
  instance.service = "web";
  instance.address = "10.0.0.7";
  instance.port = 8080;
  instance.tags = std::move(tags);
  instance.meta = {{"zone", "a"}};
  instance.weight_passing = 10;
  instance.weight_warning = 2;
  instance.node = "node-1";
  instance.datacenter = "dc1";
  instance.health = health;
  instance.create_index = 5;
  instance.modify_index = 6;
  return instance;
}

std::vector<std::string> Ids(const v1::DiscoverResponse& response) {
  std::vector<std::string> ids;
  for (const v1::DiscoveredInstance& instance : response.instances()) ids.push_back(instance.instance().id());
  return ids;
}

class RegistryHandlersTest : public HandlerHarness {
 protected:
  Answered<v1::DiscoverResponse> Discover(const v1::DiscoverRequest& request) {
    Answered<v1::DiscoverResponse> answered;
    registry_.Discover(request, caller_, answered.reply());
    return answered;
  }

  static v1::DiscoverRequest Web() {
    v1::DiscoverRequest request;
    request.set_service("web");
    return request;
  }
};

using RegisterTest = RegistryHandlersTest;

// What is registered must be what was asked for, and the caller learns the id to deregister it by.
TEST_F(RegisterTest, RegistersAndAnswersWithTheId) {
  caller_.time_left = absl::Seconds(2);
  v1::RegisterRequest request;
  request.mutable_instance()->set_service("web");
  request.mutable_instance()->set_id("web-1");
  request.mutable_instance()->set_port(65535);
  request.add_checks()->mutable_ttl()->set_seconds(15);
  Answered<v1::RegisterResponse> answered;
  registry_.Register(request, caller_, answered.reply());
  const auto call = LastCall();
  EXPECT_EQ(call.method, Method::kRegister);
  EXPECT_EQ(call.registration.id, "web-1");
  EXPECT_EQ(call.registration.service, "web");
  EXPECT_EQ(call.registration.port, 65535u);
  EXPECT_EQ(call.registration.checks.size(), 1u);
  EXPECT_EQ(call.write.timeout, absl::Seconds(2));
  backend_.AnswerDone(Method::kRegister);
  Run();
  ASSERT_TRUE(answered.status().ok());
  EXPECT_EQ(answered.response().id(), "web-1");
}

// Consul's agent would look at others' ports, or fetch a machine's credentials, for whoever may register.
TEST_F(RegisterTest, ChecksLeadToTheInstanceAlone) {
  v1::RegisterRequest request;
  request.mutable_instance()->set_service("web");
  request.mutable_instance()->set_address("10.0.0.7");
  v1::HealthCheck* check = request.add_checks();
  check->mutable_interval()->set_seconds(10);
  for (const char* url : {"http://10.0.0.8/", "http://127.0.0.1:8500/v1/agent/self", "http://web.example/"}) {
    check->mutable_http()->set_url(url);
    Answered<v1::RegisterResponse> answered;
    registry_.Register(request, caller_, answered.reply());
    EXPECT_EQ(answered.status().code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_EQ(ReasonOf(answered.status()), reason::kCheckNotAllowed) << url;
    EXPECT_EQ(backend_.calls().size(), 0u);
  }
  check->mutable_http()->set_url("http://10.0.0.7:8080/healthz");
  Answered<v1::RegisterResponse> answered;
  registry_.Register(request, caller_, answered.reply());
  EXPECT_EQ(LastCall().method, Method::kRegister);
  backend_.AnswerDone(Method::kRegister);
  Run();
  EXPECT_TRUE(answered.status().ok());
}

// A lone instance of a service needs no id of its own.
TEST_F(RegisterTest, UsesTheServiceAsTheId) {
  v1::RegisterRequest request;
  request.mutable_instance()->set_service("web");
  Answered<v1::RegisterResponse> answered;
  registry_.Register(request, caller_, answered.reply());
  EXPECT_EQ(LastCall().name, "web");
  backend_.AnswerDone(Method::kRegister);
  Run();
  EXPECT_EQ(answered.response().id(), "web");
}

// A registration that failed must not be taken for one that holds.
TEST_F(RegisterTest, PassesErrorsOn) {
  v1::RegisterRequest request;
  request.mutable_instance()->set_service("web");
  Answered<v1::RegisterResponse> answered;
  registry_.Register(request, caller_, answered.reply());
  const absl::Status error = MakeError(absl::StatusCode::kUnavailable, reason::kWriteOutcomeUnknown, "unknown");
  backend_.AnswerDone(Method::kRegister, error);
  Run();
  EXPECT_EQ(answered.status(), error);
}

using DeregisterTest = RegistryHandlersTest;

// The id goes to Consul as it is, and an id that nobody has comes back as NOT_FOUND.
TEST_F(DeregisterTest, RemovesOneInstance) {
  v1::DeregisterRequest request;
  request.set_id("web 1:caf\xc3\xa9");
  Answered<v1::DeregisterResponse> first;
  registry_.Deregister(request, caller_, first.reply());
  EXPECT_EQ(LastCall().method, Method::kDeregister);
  EXPECT_EQ(LastCall().name, request.id());
  backend_.AnswerDone(Method::kDeregister);
  Run();
  EXPECT_TRUE(first.status().ok());

  Answered<v1::DeregisterResponse> second;
  registry_.Deregister(request, caller_, second.reply());
  const absl::Status gone = MakeError(absl::StatusCode::kNotFound, reason::kInstanceNotFound, "no such instance");
  backend_.AnswerDone(Method::kDeregister, gone);
  Run();
  EXPECT_EQ(second.status(), gone);
}

using HeartbeatTest = RegistryHandlersTest;

// A heartbeat without a status is good news; any other must arrive as it was meant.
TEST_F(HeartbeatTest, ReportsHealth) {
  const std::pair<v1::HealthStatus, Health> statuses[] = {{v1::HEALTH_STATUS_UNSPECIFIED, Health::kPassing},
                                                          {v1::HEALTH_STATUS_PASSING, Health::kPassing},
                                                          {v1::HEALTH_STATUS_WARNING, Health::kWarning},
                                                          {v1::HEALTH_STATUS_CRITICAL, Health::kCritical}};
  for (const auto& [status, health] : statuses) {
    v1::HeartbeatRequest request;
    request.set_id("web-1");
    request.set_status(status);
    request.set_note("queue: 3\nworkers: 8");
    Answered<v1::HeartbeatResponse> answered;
    registry_.Heartbeat(request, caller_, answered.reply());
    EXPECT_EQ(LastCall().name, "web-1");
    EXPECT_EQ(LastCall().health, health);
    EXPECT_EQ(LastCall().note, "queue: 3\nworkers: 8");
    backend_.AnswerDone(Method::kHeartbeat);
    Run();
    EXPECT_TRUE(answered.status().ok());
  }
}

// After an agent has forgotten an instance its heartbeats fail: that tells it to register again.
TEST_F(HeartbeatTest, PassesErrorsOn) {
  v1::HeartbeatRequest request;
  request.set_id("web-1");
  const absl::Status errors[] = {MakeError(absl::StatusCode::kNotFound, reason::kInstanceNotFound, "register again"),
                                 MakeError(absl::StatusCode::kFailedPrecondition, reason::kNoTtlCheck, "no ttl")};
  for (const absl::Status& error : errors) {
    Answered<v1::HeartbeatResponse> answered;
    registry_.Heartbeat(request, caller_, answered.reply());
    backend_.AnswerDone(Method::kHeartbeat, error);
    Run();
    EXPECT_EQ(answered.status(), error);
  }
}

using DiscoverTest = RegistryHandlersTest;

// All that is known of an instance must reach the caller.
TEST_F(DiscoverTest, AnswersFromTheHub) {
  auto answered = Discover(Web());
  EXPECT_EQ(LastCall().name, "web");
  backend_.AnswerService({MakeInstance("web-1", Health::kPassing, {"v1"})}, 9);
  Run();
  ASSERT_TRUE(answered.status().ok()) << answered.status();
  ASSERT_EQ(answered.response().instances_size(), 1);
  const v1::DiscoveredInstance& found = answered.response().instances(0);
  EXPECT_EQ(found.instance().id(), "web-1");
  EXPECT_EQ(found.instance().service(), "web");
  EXPECT_EQ(found.instance().address(), "10.0.0.7");
  EXPECT_EQ(found.instance().port(), 8080u);
  EXPECT_EQ(found.instance().tags(0), "v1");
  EXPECT_EQ(found.instance().meta().at("zone"), "a");
  EXPECT_EQ(found.instance().weights().passing(), 10);
  EXPECT_EQ(found.instance().weights().warning(), 2);
  EXPECT_EQ(found.status(), v1::HEALTH_STATUS_PASSING);
  EXPECT_EQ(found.node(), "node-1");
  EXPECT_EQ(found.datacenter(), "dc1");
  EXPECT_EQ(found.modify_index(), 6u);
  EXPECT_EQ(answered.response().info().source(), v1::ReadInfo::SOURCE_CACHE);
  EXPECT_EQ(answered.response().info().index(), 9u);
}

// Callers send traffic to what they find: only what passes, unless they ask for the rest as well.
TEST_F(DiscoverTest, LeavesOutWhatDoesNotPass) {
  auto healthy = Discover(Web());
  backend_.AnswerService({MakeInstance("c", Health::kCritical), MakeInstance("m", Health::kMaintenance),
                          MakeInstance("p", Health::kPassing), MakeInstance("w", Health::kWarning)},
                         9);
  Run();
  EXPECT_EQ(Ids(healthy.response()), (std::vector<std::string>{"p"}));
  v1::DiscoverRequest request = Web();
  request.set_include_unhealthy(true);
  auto all = Discover(request);
  EXPECT_EQ(Ids(all.response()), (std::vector<std::string>{"c", "m", "p", "w"}));
  EXPECT_EQ(all.response().instances(0).status(), v1::HEALTH_STATUS_CRITICAL);
  EXPECT_EQ(all.response().instances(1).status(), v1::HEALTH_STATUS_MAINTENANCE);
  EXPECT_EQ(all.response().instances(3).status(), v1::HEALTH_STATUS_WARNING);
}

// Every tag must be there, in any order and however often it was asked for.
TEST_F(DiscoverTest, AsksForEveryTag) {
  v1::DiscoverRequest request = Web();
  request.add_tags("v2");
  request.add_tags("eu");
  request.add_tags("v2");
  auto answered = Discover(request);
  backend_.AnswerService(
      {MakeInstance("a", Health::kPassing, {"eu", "x", "v2"}), MakeInstance("b", Health::kPassing, {"eu"}),
       MakeInstance("c", Health::kPassing, {"v2"}), MakeInstance("d", Health::kPassing, {"eu2", "v2"})},
      9);
  Run();
  EXPECT_EQ(Ids(answered.response()), (std::vector<std::string>{"a"}));
}

// A service that nobody has registered has no instances; that is not an error.
TEST_F(DiscoverTest, FindsNothingWithoutAnError) {
  auto answered = Discover(Web());
  backend_.AnswerService({}, 9);
  Run();
  ASSERT_TRUE(answered.status().ok());
  EXPECT_EQ(answered.response().instances_size(), 0);
}

// Filters are Consul's to evaluate: they must reach it, and two of them must not share an answer.
TEST_F(DiscoverTest, HandsTheFilterToConsul) {
  Discover(Web());
  v1::DiscoverRequest request = Web();
  request.set_filter("Service.Meta.version == \"2\"");
  Discover(request);
  EXPECT_EQ(backend_.pending(Method::kReadService), 2u);
  EXPECT_EQ(LastCall().filter, request.filter());
}

// Network distance is known to Consul alone: sorted by it, an answer never comes from memory, and its order is kept.
TEST_F(DiscoverTest, AsksConsulWhatIsNear) {
  Discover(Web());
  backend_.AnswerService({MakeInstance("a", Health::kPassing), MakeInstance("b", Health::kPassing)}, 9);
  Run();
  v1::DiscoverRequest request = Web();
  request.set_near("_agent");
  request.set_filter("x");
  request.mutable_options()->set_datacenter("dc2");
  auto answered = Discover(request);
  ASSERT_TRUE(answered.pending());
  EXPECT_EQ(LastCall().near, "_agent");
  EXPECT_EQ(LastCall().filter, "x");
  EXPECT_EQ(LastCall().read.datacenter, "dc2");
  EXPECT_EQ(LastCall().read.index, 0u);
  // The watch's own query waits too, and is the older one.
  backend_.Fail(Method::kReadService,
                MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "Consul is away"));
  backend_.AnswerService(
      {MakeInstance("b", Health::kPassing), MakeInstance("x", Health::kCritical), MakeInstance("a", Health::kPassing)},
      9);
  Run();
  ASSERT_TRUE(answered.status().ok()) << answered.status();
  EXPECT_EQ(Ids(answered.response()), (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(answered.response().info().source(), v1::ReadInfo::SOURCE_CONSUL);
}

// A filter that does not parse is the caller's mistake, and is told as Consul told it.
TEST_F(DiscoverTest, PassesErrorsOn) {
  v1::DiscoverRequest request = Web();
  request.set_filter("!!");
  auto answered = Discover(request);
  const absl::Status error = InvalidField("filter", "does not parse", reason::kInvalidFilter);
  backend_.Fail(Method::kReadService, error);
  Run();
  EXPECT_EQ(answered.status(), error);
}

using ListServicesTest = RegistryHandlersTest;

// The catalog, from memory the second time.
TEST_F(ListServicesTest, ListsNamesAndTags) {
  v1::ListServicesRequest request;
  Answered<v1::ListServicesResponse> answered;
  registry_.ListServices(request, caller_, answered.reply());
  backend_.AnswerCatalog({{"consul", {}}, {"web", {"v1", "v2"}}}, 9);
  Run();
  ASSERT_TRUE(answered.status().ok()) << answered.status();
  ASSERT_EQ(answered.response().services_size(), 2);
  EXPECT_EQ(answered.response().services(0).name(), "consul");
  EXPECT_EQ(answered.response().services(1).name(), "web");
  ASSERT_EQ(answered.response().services(1).tags_size(), 2);
  EXPECT_EQ(answered.response().services(1).tags(1), "v2");
  EXPECT_EQ(answered.response().info().index(), 9u);
  Answered<v1::ListServicesResponse> again;
  registry_.ListServices(request, caller_, again.reply());
  EXPECT_FALSE(again.pending());
}

// And from Consul when asked to, with its errors.
TEST_F(ListServicesTest, AsksConsul) {
  v1::ListServicesRequest request;
  request.mutable_options()->set_consistency(v1::CONSISTENCY_CONSISTENT);
  Answered<v1::ListServicesResponse> answered;
  registry_.ListServices(request, caller_, answered.reply());
  EXPECT_EQ(LastCall().method, Method::kReadCatalog);
  EXPECT_EQ(LastCall().read.mode, consul::ReadMode::kConsistent);
  const absl::Status error = MakeError(absl::StatusCode::kUnavailable, reason::kConsulUnavailable, "Consul is away");
  backend_.Fail(Method::kReadCatalog, error);
  Run();
  EXPECT_EQ(answered.status(), error);
}

class WatchServiceTest : public RegistryHandlersTest {
 protected:
  static std::vector<std::string> FirstIds(RecordedStream& stream) {
    std::vector<std::string> ids;
    v1::WatchServiceResponse response;
    if (stream.written().empty() || !response.ParseFromString(stream.written()[0])) return {"nothing"};
    for (const v1::ServiceEvent& event : response.events()) ids.push_back(event.instance().instance().id());
    return ids;
  }
};

// Two readers of one service that want to see different parts of it share the query, and each sees its own part.
TEST_F(WatchServiceTest, ShowsEachReaderItsView) {
  RecordedStream tagged(&scheduler_, &reporter_);
  v1::WatchServiceRequest request;
  request.set_service("web");
  request.set_datacenter("dc2");
  request.add_tags("v2");
  request.add_tags("v2");
  registry_.WatchService(request, caller_, tagged.outbox());
  RecordedStream all(&scheduler_, &reporter_);
  request.clear_tags();
  request.set_include_unhealthy(true);
  registry_.WatchService(request, caller_, all.outbox());
  ASSERT_EQ(backend_.pending(Method::kReadService), 1u);
  EXPECT_EQ(LastCall().read.datacenter, "dc2");
  backend_.AnswerService({MakeInstance("a", Health::kPassing, {"v2"}), MakeInstance("b", Health::kPassing),
                          MakeInstance("c", Health::kCritical, {"v2"})},
                         9);
  Run();
  EXPECT_EQ(FirstIds(tagged), (std::vector<std::string>{"a"}));
  EXPECT_EQ(FirstIds(all), (std::vector<std::string>{"a", "b", "c"}));
}

// A reader that comes back with its token and has missed nothing must not be sent the instances again.
TEST_F(WatchServiceTest, ResumesBehindAToken) {
  v1::WatchServiceRequest request;
  request.set_service("web");
  RecordedStream first(&scheduler_, &reporter_);
  registry_.WatchService(request, caller_, first.outbox());
  backend_.AnswerService({MakeInstance("a", Health::kPassing)}, 9);
  Run();
  ASSERT_EQ(FirstIds(first), (std::vector<std::string>{"a"}));
  v1::WatchServiceResponse response;
  ASSERT_TRUE(response.ParseFromString(first.written()[0]));
  request.set_resume_token(response.resume_token());
  RecordedStream resumed(&scheduler_, &reporter_);
  registry_.WatchService(request, caller_, resumed.outbox());
  Run();
  ASSERT_EQ(resumed.written().size(), 1u);
  ASSERT_TRUE(response.ParseFromString(resumed.written()[0]));
  EXPECT_FALSE(response.snapshot());
  EXPECT_EQ(response.events_size(), 0);
}

// A filter that Consul refuses ends the stream with what is wrong with it.
TEST_F(WatchServiceTest, EndsWithTheHubsError) {
  RecordedStream stream(&scheduler_, &reporter_);
  v1::WatchServiceRequest request;
  request.set_service("web");
  request.set_filter("!!");
  registry_.WatchService(request, caller_, stream.outbox());
  EXPECT_EQ(LastCall().filter, "!!");
  const absl::Status error = InvalidField("filter", "does not parse", reason::kInvalidFilter);
  backend_.Fail(Method::kReadService, error);
  Run();
  EXPECT_EQ(stream.end(), error);
}

}  // namespace
}  // namespace meshgate::server
