#include "consul/embedded/filter.h"

#include <string>
#include <vector>

#include "consul/base/errors.h"
#include "gtest/gtest.h"

namespace meshgate::consul::embedded {
namespace {

// The instance that the expressions below were put to a real agent with.
InstanceRecord Example() {
  Registration r;
  r.id = "f";
  r.service = "f";
  r.port = 80;
  r.tags = {"a", "b"};
  r.meta = {{"version", "2"}, {"my-key", "z"}};
  CheckDefinition ttl;
  ttl.probe = TtlProbe{absl::Seconds(10)};
  r.checks = {ttl};
  InstanceRecord record;
  record.registration = std::make_shared<const Registration>(std::move(r));
  record.checks = {{Health::kWarning, ""}};
  return record;
}

struct FilterCase {
  std::string expression;
  // What Consul 1.8.7 was seen to answer, but for Checks.
  bool matches;
};

// A filter that selects other instances than Consul would send traffic to where it must not go.
TEST(FilterTest, GivesConsulsResults) {
  const std::vector<FilterCase> cases = {
      {"Service.Meta.version == \"2\"", true},
      {"Service.Meta.version == 2", true},
      {"Service.Meta.version == 2.5", false},
      {"Service.Meta.version != 2", false},
      {"Service.Meta.none == \"2\"", false},
      {"Service.Meta.none != \"2\"", true},
      {"Service.Meta.none not matches \".*\"", true},
      {"Service.Meta[\"my-key\"] == z", true},
      {"\"a\" in Service.Tags", true},
      {"a in Service.Tags", true},
      {"c in Service.Tags", false},
      {"a not in Service.Tags", false},
      {"80 in Service.Tags", false},
      {"Service.Tags contains a", true},
      {"Service.Tags not contains a", false},
      {"Service.Tags is empty", false},
      {"Service.Tags is not empty", true},
      {"\"e\" in Service.Meta", false},
      {"version in Service.Meta", true},
      {"Service.Meta contains version", true},
      {"Service.Meta is not empty", true},
      {"Service.Port == 80", true},
      {"Service.Port == \"80\"", true},
      {"Service.Port != 81", true},
      {"Service.Port == -1", false},
      {"Service.Weights.Passing == 1", true},
      {"Node.Node != x", true},
      {"Node.Node == here", true},
      {"Node.Address matches `^10[.]`", true},
      {"Node.Datacenter == dc1", true},
      {"Service.Service == f", true},
      {"\"f\" in Service.Service", true},
      {"Service.Service contains f", true},
      {"Service.Meta.version in Service.ID", false},
      {"Service.Address == \"\"", true},
      {"Service.ID == `f`", true},
      {"Service.ID == \"f\\x22\"", false},
      {"Service.ID == f.g", false},
      {"Service.ID  ==  f  ", true},
      {"Service.ID matches \"^F$\"", false},
      {"Service.ID matches \"(?i)^F$\"", true},
      {"(Service.Port==80)", true},
      {"not Service.Port==80", false},
      {"not not Service.Port==80", true},
      {"Service.Port==80 and Service.ID==f or not Service.ID==f", true},
      {"Service.Port==80 or Service.ID==f and Service.ID==x", true},
      {"(Service.Port==80 or Service.ID==f) and Service.ID==x", false},
      {"not Service.ID==x and Service.ID==x", false},
      {"Checks is not empty", true},
      {"Checks.Status == warning", true},
      {"Checks.Status == passing", true},  // the node's own
      {"Checks.Status == critical", false},
      {"Checks.Status != warning", true},
      {"Checks.CheckID == \"service:f:ttl\"", true},
      {"Checks.Name == \"TTL check of f\"", true},
      {"(Service.Tags is empty)", false},
  };
  const InstanceRecord record = Example();
  const NodeInfo node{"here", "10.0.0.1", "dc1"};
  for (const FilterCase& c : cases) {
    auto filter = Filter::Parse(c.expression);
    ASSERT_TRUE(filter.ok()) << c.expression << " " << filter.status();
    EXPECT_EQ(filter->Matches({record, node}), c.matches) << c.expression;
  }
}

// What Consul refuses, and what has no counterpart here, must not select anything in silence.
TEST(FilterTest, RefusesTheRest) {
  const std::vector<std::string> cases = {
      "  ",
      "Service",
      "Service.Meta.version ==",
      "not a filter at all",
      "service.id == f",
      "Service.Nothing == f",
      "Service.ID is empty",
      "Service.Meta.version is empty",
      "Service.Port in 80",
      "Service.Port contains 8",
      "Service.Port == abc",
      "Service.Port matches 8",
      "Service.Meta.my-key == z",
      "Service.Meta.a.b == c",
      "Service.Tags == a",
      "Service.Tags[0] == a",
      "Service.ID in f",
      "Service.ID not in f",
      "Service.ID == 'f'",
      "Service.ID == f-g",
      "Service.ID matches \"(\"",
      "\"f\"==Service.ID",
      "\"Service\".ID == f",
      "NOT Service.Port==80",
      "not(Service.Port==80)",
      "Service.ID==\"f\" AND Service.ID==\"f\"",
      "Service.ID == f andService.ID == f",
      "((Service.ID == f))and(Service.ID==f)",
      "(Service.ID == f",
      "Service.ID == f)",
      "Service.ID == \"f",
      "Service.ID == \"\\q\"",
      "Service.Connect.Native == false",
      "Node.Meta.x == y",
      "Checks == x",
      std::string(100, '(') + "Service.ID == f" + std::string(100, ')'),
      "Service.ID == \"" + std::string(5000, 'x') + "\"",
  };
  for (const std::string& expression : cases) {
    auto filter = Filter::Parse(expression);
    ASSERT_FALSE(filter.ok()) << expression;
    EXPECT_EQ(filter.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ReasonOf(filter.status()), reason::kInvalidFilter);
  }
}

// Whoever writes a filter that is not supported has to learn what is.
TEST(FilterTest, SaysWhatIsSupported) {
  EXPECT_NE(Filter::Parse("Service.Kind == x").status().message().find("Service.Meta.<key>"), std::string::npos);
  EXPECT_NE(Filter::Parse("Service.Port matches 8").status().message().find("==, !="), std::string::npos);
  EXPECT_NE(Filter::Parse("a in Service.ID x").status().message().find("at character 17"), std::string::npos)
      << Filter::Parse("a in Service.ID x").status();
}

}  // namespace
}  // namespace meshgate::consul::embedded
