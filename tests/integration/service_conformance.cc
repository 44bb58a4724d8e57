// Services: registering, health, finding.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "consul/instance_directory.h"
#include "tests/integration/backend_conformance.h"

namespace meshgate::consul {
namespace {

Registration MakeRegistration(const std::string& id, const std::string& service, uint32_t port) {
  Registration registration;
  registration.id = id;
  registration.service = service;
  registration.address = "10.1.2.3";
  registration.port = port;
  return registration;
}

CheckDefinition Ttl(absl::Duration ttl, Health initial = Health::kCritical) {
  CheckDefinition check;
  check.probe = TtlProbe{ttl};
  check.initial_status = initial;
  return check;
}

bool HasOne(const Instances& instances) { return instances.size() == 1; }
bool IsEmpty(const Instances& instances) { return instances.empty(); }
auto HasHealth(Health health) {
  return [health](const Instances& instances) { return instances.size() == 1 && instances[0].health == health; };
}

std::vector<std::string> IdsOf(const absl::StatusOr<Answer<Instances>>& answer) {
  EXPECT_TRUE(answer.ok()) << answer.status();
  std::vector<std::string> ids;
  if (answer.ok()) {
    for (const Instance& instance : answer->value) ids.push_back(instance.id);
  }
  return ids;
}

// A service nobody registered would look like a failure, or could not be watched for its first instance.
TEST_P(BackendConformance, MissingServiceHasNoInstances) {
  auto answer = ReadService(Unique("svc-missing"));
  EXPECT_GE(IndexOf(answer), 1u);
  EXPECT_TRUE(answer->value.empty());
}

// Readers would not get what was registered.
TEST_P(BackendConformance, RegisterIsReadBack) {
  const std::string service = Unique("svc-register");
  Registration registration = MakeRegistration(service + "-1", service, 8080);
  registration.tags = {"blue", "a \"tag\""};
  registration.meta = {{"version", "2"},
                       {"owner",
                        "pay\xc3\xb1"
                        "ents"}};
  registration.weight_passing = 5;
  registration.weight_warning = 2;
  ASSERT_TRUE(Register(registration).ok());
  const Instances instances = AwaitService(service, HasOne);
  ASSERT_EQ(instances.size(), 1u);
  const Instance& instance = instances[0];
  EXPECT_EQ(instance.id, registration.id);
  EXPECT_EQ(instance.service, service);
  EXPECT_EQ(instance.address, "10.1.2.3");
  EXPECT_EQ(instance.port, 8080u);
  EXPECT_EQ(instance.tags, registration.tags);
  EXPECT_EQ(instance.meta, registration.meta);
  EXPECT_EQ(instance.weight_passing, 5);
  EXPECT_EQ(instance.weight_warning, 2);
  EXPECT_NE(instance.node, "");
  EXPECT_NE(instance.datacenter, "");
  EXPECT_EQ(instance.health, Health::kPassing) << "an instance without checks passes";
  EXPECT_GE(instance.create_index, 1u);
  EXPECT_GE(instance.modify_index, instance.create_index);
}

// An instance without an address would be unreachable for its readers.
TEST_P(BackendConformance, AddressFallsBackToTheNodes) {
  const std::string service = Unique("svc-address");
  Registration registration = MakeRegistration(service, service, 1);
  registration.address = "";
  ASSERT_TRUE(Register(registration).ok());
  const Instances instances = AwaitService(service, HasOne);
  ASSERT_EQ(instances.size(), 1u);
  EXPECT_NE(instances[0].address, "");
}

// Ids that a path has to encode would register but never deregister.
TEST_P(BackendConformance, InstanceIdsMayHoldAnyCharacter) {
  const std::string service = Unique("svc-ids");
  for (const char* tail : {"a b", "q?x=1", "h#f", "100%", "a+b", "a&b", "\"q\"", "\xc3\xbc", "a:b", "."}) {
    const std::string id = absl::StrCat(service, " ", tail);
    Registration registration = MakeRegistration(id, service, 1);
    registration.checks = {Ttl(absl::Seconds(30))};
    ASSERT_TRUE(Register(registration).ok()) << id;
    AwaitService(service, HasOne);
    EXPECT_EQ(Outcome(Heartbeat(id, Health::kPassing)), "OK") << id;
    AwaitService(service, HasHealth(Health::kPassing));
    EXPECT_EQ(Outcome(Deregister(id)), "OK") << id;
    AwaitService(service, IsEmpty);
  }
}

// Registering again must replace: a field or a check that survives would be somebody's outage.
TEST_P(BackendConformance, RegisterReplaces) {
  const std::string service = Unique("svc-replace");
  Registration first = MakeRegistration(service + "-1", service, 80);
  first.tags = {"old"};
  first.meta = {{"old", "1"}};
  first.checks = {Ttl(absl::Seconds(30))};
  ASSERT_TRUE(Register(first).ok());
  const Instances before = AwaitService(service, HasHealth(Health::kCritical));
  ASSERT_EQ(before.size(), 1u);

  Registration second = MakeRegistration(service + "-1", service, 81);
  second.tags = {"new"};
  ASSERT_TRUE(Register(second).ok());
  const Instances after = AwaitService(service, [](const Instances& instances) {
    return instances.size() == 1 && instances[0].port == 81 && instances[0].health == Health::kPassing;
  });
  ASSERT_EQ(after.size(), 1u);
  EXPECT_EQ(after[0].tags, std::vector<std::string>{"new"});
  EXPECT_TRUE(after[0].meta.empty());
  EXPECT_EQ(after[0].create_index, before[0].create_index);
  EXPECT_GT(after[0].modify_index, before[0].modify_index);
}

// Readers compare lists: an order that varies would look like changes.
TEST_P(BackendConformance, InstancesAreSortedById) {
  const std::string service = Unique("svc-sorted");
  for (const char* tail : {"-c", "-a", "-b"}) {
    ASSERT_TRUE(Register(MakeRegistration(service + tail, service, 1)).ok());
  }
  AwaitService(service, [](const Instances& instances) { return instances.size() == 3; });
  EXPECT_EQ(IdsOf(ReadService(service)), (std::vector<std::string>{service + "-a", service + "-b", service + "-c"}));
}

// A deregistered instance would stay in its readers' lists.
TEST_P(BackendConformance, DeregisterRemovesAndWakes) {
  const std::string service = Unique("svc-deregister");
  ASSERT_TRUE(Register(MakeRegistration(service, service, 1)).ok());
  AwaitService(service, HasOne);
  EXPECT_EQ(Outcome(Deregister(service)), "OK");
  AwaitService(service, IsEmpty);
  EXPECT_EQ(Outcome(Deregister(service)), "NOT_FOUND INSTANCE_NOT_FOUND");
}

// A caller that mistypes an id would believe that it has deregistered.
TEST_P(BackendConformance, DeregisterOfAnUnknownInstance) {
  EXPECT_EQ(Outcome(Deregister(Unique("svc-unknown"))), "NOT_FOUND INSTANCE_NOT_FOUND");
}

// Whoever decides by services what a caller may do to an instance would decide by another one's, or by none.
TEST_P(BackendConformance, AnInstanceIsFoundByItsId) {
  auto* const directory = dynamic_cast<InstanceDirectory*>(&backend());
  ASSERT_NE(directory, nullptr);
  const auto service_of = [&](const std::string& id) {
    testing::Pending<absl::StatusOr<std::string>> found;
    directory->FindService(id, {}, found.Callback());
    auto answer = found.Get(kBound);
    return answer.value_or(absl::UnknownError("no answer"));
  };
  const std::string service = Unique("svc-directory"), id = service + " x?&";
  EXPECT_EQ(Outcome(service_of(id).status()), "NOT_FOUND INSTANCE_NOT_FOUND");
  ASSERT_TRUE(Register(MakeRegistration(id, service, 1)).ok());
  EXPECT_EQ(*service_of(id), service);
  ASSERT_TRUE(Register(MakeRegistration(id, service + "-2", 1)).ok());
  EXPECT_EQ(*service_of(id), service + "-2");
  ASSERT_TRUE(Deregister(id).ok());
  EXPECT_EQ(Outcome(service_of(id).status()), "NOT_FOUND INSTANCE_NOT_FOUND");
}

// An instance that was forgotten has to hear that it must register again, and one without a TTL check that its
// heartbeats go nowhere.
TEST_P(BackendConformance, HeartbeatErrors) {
  EXPECT_EQ(Outcome(Heartbeat(Unique("svc-unknown"), Health::kPassing)), "NOT_FOUND INSTANCE_NOT_FOUND");
  const std::string service = Unique("svc-no-ttl");
  ASSERT_TRUE(Register(MakeRegistration(service, service, 1)).ok());
  EXPECT_EQ(Outcome(Heartbeat(service, Health::kPassing)), "FAILED_PRECONDITION NO_TTL_CHECK");
}

// Maintenance is an operator's mode, not something that an instance reports.
TEST_P(BackendConformance, MaintenanceIsNotReportable) {
  const std::string service = Unique("svc-maintenance");
  Registration registration = MakeRegistration(service, service, 1);
  registration.checks = {Ttl(absl::Seconds(30))};
  ASSERT_TRUE(Register(registration).ok());
  EXPECT_EQ(Heartbeat(service, Health::kMaintenance).code(), absl::StatusCode::kInvalidArgument);
}

// Readers would send traffic to an instance that has not said it is ready, or that says it is not.
TEST_P(BackendConformance, HeartbeatSetsTheHealth) {
  const std::string service = Unique("svc-heartbeat");
  Registration registration = MakeRegistration(service, service, 1);
  registration.checks = {Ttl(absl::Seconds(60))};
  ASSERT_TRUE(Register(registration).ok());
  AwaitService(service, HasHealth(Health::kCritical));
  for (Health health : {Health::kPassing, Health::kWarning, Health::kCritical, Health::kPassing}) {
    EXPECT_EQ(Outcome(Heartbeat(service, health, "a \"note\"\nof two lines")), "OK");
    AwaitService(service, HasHealth(health));
  }
}

// An instance that asked to begin as passing would be out of rotation until its first heartbeat.
TEST_P(BackendConformance, InitialStatus) {
  for (Health initial : {Health::kPassing, Health::kWarning, Health::kCritical}) {
    const std::string service = Unique("svc-initial");
    Registration registration = MakeRegistration(service, service, 1);
    registration.checks = {Ttl(absl::Seconds(60), initial)};
    ASSERT_TRUE(Register(registration).ok());
    const Instances instances = AwaitService(service, HasOne);
    ASSERT_EQ(instances.size(), 1u);
    EXPECT_EQ(instances[0].health, initial);
  }
}

// An instance that died would stay in its readers' lists: the TTL must expire by itself, and wake who waits.
TEST_P(BackendConformance, TtlExpiresAndWakes) {
  const std::string service = Unique("svc-ttl");
  Registration registration = MakeRegistration(service, service, 1);
  registration.checks = {Ttl(absl::Seconds(2), Health::kPassing)};
  ASSERT_TRUE(Register(registration).ok());
  const Instances before = AwaitService(service, HasHealth(Health::kPassing));
  ASSERT_EQ(before.size(), 1u);
  const Instances after =
      AwaitService(service, HasHealth(Health::kCritical), absl::Seconds(2) + under_test().probe_slack());
  ASSERT_EQ(after.size(), 1u);
  EXPECT_EQ(after[0].modify_index, before[0].modify_index) << "the registration itself has not changed";
  // And it comes back with the next heartbeat.
  EXPECT_EQ(Outcome(Heartbeat(service, Health::kPassing)), "OK");
  AwaitService(service, HasHealth(Health::kPassing));
}

// Readers would not learn of instances that come while they wait.
TEST_P(BackendConformance, ServiceWatchWakesOnRegister) {
  const std::string service = Unique("svc-watch");
  ASSERT_TRUE(Register(MakeRegistration(service + "-1", service, 1)).ok());
  AwaitService(service, HasOne);
  auto answer = ReadService(service);
  ReadOptions options;
  options.index = IndexOf(answer);
  options.wait = absl::Seconds(30);
  testing::Pending<absl::StatusOr<Answer<Instances>>> pending;
  backend().ReadService(service, "", "", options, pending.Callback());
  ASSERT_TRUE(Register(MakeRegistration(service + "-2", service, 2)).ok());
  auto woken = pending.Get(kBound);
  ASSERT_TRUE(woken.has_value());
  EXPECT_GT(IndexOf(*woken), options.index);
  EXPECT_EQ((*woken)->value.size(), 2u);
}

// Filters would show instances that the caller excluded, or hide those it asked for.
TEST_P(BackendConformance, Filters) {
  const std::string service = Unique("svc-filter");
  for (const char* version : {"1", "2"}) {
    Registration registration = MakeRegistration(absl::StrCat(service, "-", version), service, 1);
    registration.meta = {{"version", version}};
    registration.tags = {absl::StrCat("v", version), "all"};
    ASSERT_TRUE(Register(registration).ok());
  }
  AwaitService(service, [](const Instances& instances) { return instances.size() == 2; });
  const std::vector<std::string> one = {service + "-1"};
  const std::vector<std::string> two = {service + "-2"};
  EXPECT_EQ(IdsOf(ReadService(service, {}, "Service.Meta.version == \"2\"")), two);
  EXPECT_EQ(IdsOf(ReadService(service, {}, "Service.Meta.version != \"2\"")), one);
  EXPECT_EQ(IdsOf(ReadService(service, {}, "\"v1\" in Service.Tags")), one);
  EXPECT_EQ(IdsOf(ReadService(service, {}, "\"all\" in Service.Tags and not \"v1\" in Service.Tags")), two);
  EXPECT_TRUE(IdsOf(ReadService(service, {}, "Service.Meta.version == \"3\"")).empty());
}

// Checks that are called differently would make a filter by their names work with one store and not the other.
TEST_P(BackendConformance, FiltersByChecks) {
  const std::string service = Unique("svc-check-filter");
  const std::string id = service + "-1";
  Registration registration = MakeRegistration(id, service, 1);
  registration.checks.resize(3);
  registration.checks[0].probe = TcpProbe{"127.0.0.1:1"};
  registration.checks[0].interval = absl::Minutes(10);
  registration.checks[1].probe = TtlProbe{absl::Minutes(10)};
  registration.checks[2].probe = HttpProbe{"http://127.0.0.1:1/", "", {}, false};
  registration.checks[2].interval = absl::Minutes(10);
  registration.checks[2].name = "front page";
  ASSERT_TRUE(Register(registration).ok());
  AwaitService(service, [](const Instances& instances) { return instances.size() == 1; });
  for (const std::string& filter :
       {absl::StrCat("Checks.CheckID == \"service:", id, ":probe-1\""),
        absl::StrCat("Checks.CheckID == \"service:", id, ":ttl\""),
        absl::StrCat("Checks.CheckID == \"service:", id, ":probe-3\""),
        absl::StrCat("Checks.Name == \"TCP check of ", service, "\""),
        absl::StrCat("Checks.Name == \"TTL check of ", service, "\""), std::string("Checks.Name == \"front page\"")}) {
    EXPECT_EQ(IdsOf(ReadService(service, {}, filter)), std::vector<std::string>{id}) << filter;
  }
  EXPECT_TRUE(IdsOf(ReadService(service, {}, absl::StrCat("Checks.CheckID == \"service:", id, "\""))).empty());
}

// A mistake in a filter must not read as "no instances".
TEST_P(BackendConformance, BadFilter) {
  const std::string service = Unique("svc-bad-filter");
  EXPECT_EQ(Outcome(ReadService(service, {}, "Service.Meta.version ==").status()), "INVALID_ARGUMENT INVALID_FILTER");
  EXPECT_EQ(Outcome(ReadService(service, {}, "not a filter at all").status()), "INVALID_ARGUMENT INVALID_FILTER");
}

// Sorting by distance must not lose instances.
TEST_P(BackendConformance, NearTheAgent) {
  const std::string service = Unique("svc-near");
  for (const char* tail : {"-a", "-b"}) ASSERT_TRUE(Register(MakeRegistration(service + tail, service, 1)).ok());
  AwaitService(service, [](const Instances& instances) { return instances.size() == 2; });
  std::vector<std::string> ids = IdsOf(ReadService(service, {}, "", "_agent"));
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(ids, (std::vector<std::string>{service + "-a", service + "-b"}));
}

// A list of services would miss one, or a tag that only some instances carry.
TEST_P(BackendConformance, CatalogListsServicesWithAllTags) {
  const std::string service = Unique("svc-catalog");
  auto before = ReadCatalog();
  ReadOptions options;
  options.index = IndexOf(before);
  options.wait = absl::Seconds(30);
  for (const char* tag : {"b", "a"}) {
    Registration registration = MakeRegistration(absl::StrCat(service, "-", tag), service, 1);
    registration.tags = {tag, "all"};
    ASSERT_TRUE(Register(registration).ok());
  }
  AwaitService(service, [](const Instances& instances) { return instances.size() == 2; });
  auto after = ReadCatalog(options);
  EXPECT_GT(IndexOf(after), options.index) << "a new service wakes who waits for the catalog";
  EXPECT_TRUE(std::is_sorted(after->value.begin(), after->value.end(),
                             [](const ServiceSummary& a, const ServiceSummary& b) { return a.name < b.name; }));
  const ServiceSummary want{service, {"a", "all", "b"}};
  EXPECT_EQ(std::count(after->value.begin(), after->value.end(), want), 1);
}

}  // namespace
}  // namespace meshgate::consul
