#include "consul/embedded/filter_selectors.h"

#include <utility>

#include "absl/strings/str_join.h"
#include "consul/check_names.h"

namespace meshgate::consul::embedded {
namespace {

const Registration& RegistrationOf(const FilterSubject& s) { return *s.record.registration; }

Selector Text(std::function<const std::string&(const FilterSubject&)> read) {
  Selector selector;
  selector.text = std::move(read);
  return selector;
}

Selector Number(std::function<int64_t(const FilterSubject&)> read) {
  Selector selector;
  selector.number = std::move(read);
  return selector;
}

// One value per check. Consul lists the node's own check, which always passes here, with those of the instance.
Selector OfChecks(std::string of_node, std::function<std::string(const FilterSubject&, size_t)> read) {
  Selector selector;
  selector.texts = [of_node = std::move(of_node), read = std::move(read)](const FilterSubject& s) {
    std::vector<std::string> values = {of_node};
    for (size_t i = 0; i < s.record.checks.size(); ++i) values.push_back(read(s, i));
    return values;
  };
  return selector;
}

std::string StatusName(Health health) {
  switch (health) {
    case Health::kPassing:
      return "passing";
    case Health::kWarning:
      return "warning";
    case Health::kCritical:
      return "critical";
    case Health::kMaintenance:
      return "maintenance";
  }
  return "";
}

std::map<std::string, Selector> MakeSelectors() {
  std::map<std::string, Selector> all;
  all["Node.Node"] = Text([](const FilterSubject& s) -> const std::string& { return s.node.name; });
  all["Node.Address"] = Text([](const FilterSubject& s) -> const std::string& { return s.node.address; });
  all["Node.Datacenter"] = Text([](const FilterSubject& s) -> const std::string& { return s.node.datacenter; });
  all["Service.ID"] = Text([](const FilterSubject& s) -> const std::string& { return RegistrationOf(s).id; });
  all["Service.Service"] = Text([](const FilterSubject& s) -> const std::string& { return RegistrationOf(s).service; });
  all["Service.Address"] = Text([](const FilterSubject& s) -> const std::string& { return RegistrationOf(s).address; });
  all["Service.Port"] = Number([](const FilterSubject& s) -> int64_t { return RegistrationOf(s).port; });
  all["Service.Weights.Passing"] = Number([](const FilterSubject& s) { return RegistrationOf(s).weight_passing; });
  all["Service.Weights.Warning"] = Number([](const FilterSubject& s) { return RegistrationOf(s).weight_warning; });
  all["Service.Tags"].list = [](const FilterSubject& s) -> const auto& { return RegistrationOf(s).tags; };
  all["Service.Meta"].map = [](const FilterSubject& s) -> const auto& { return RegistrationOf(s).meta; };
  all["Checks"].checks = true;
  all["Checks.Status"] =
      OfChecks("passing", [](const FilterSubject& s, size_t i) { return StatusName(s.record.checks[i].health); });
  all["Checks.CheckID"] =
      OfChecks("serfHealth", [](const FilterSubject& s, size_t i) { return CheckId(RegistrationOf(s), i); });
  all["Checks.Name"] =
      OfChecks("Serf Health Status", [](const FilterSubject& s, size_t i) { return CheckName(RegistrationOf(s), i); });
  all["Checks.ServiceID"] = OfChecks("", [](const FilterSubject& s, size_t) { return RegistrationOf(s).id; });
  return all;
}

const std::map<std::string, Selector>& Selectors() {
  static const auto* const all = new std::map<std::string, Selector>(MakeSelectors());
  return *all;
}

}  // namespace

std::optional<Selector> FindSelector(const std::vector<std::string>& path) {
  if (path.size() == 3 && path[0] == "Service" && path[1] == "Meta") {
    Selector selector;
    selector.map_value = [key = path[2]](const FilterSubject& s) -> const std::string* {
      auto it = RegistrationOf(s).meta.find(key);
      return it == RegistrationOf(s).meta.end() ? nullptr : &it->second;
    };
    return selector;
  }
  auto it = Selectors().find(absl::StrJoin(path, "."));
  if (it == Selectors().end()) return std::nullopt;
  return it->second;
}

std::string_view SupportedSelectors() {
  static const auto* const names = new std::string([] {
    std::vector<std::string> all = {"Service.Meta.<key>"};
    for (const auto& [name, selector] : Selectors()) all.push_back(name);
    return absl::StrJoin(all, ", ");
  }());
  return *names;
}

}  // namespace meshgate::consul::embedded
