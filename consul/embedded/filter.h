#ifndef MESHGATE_CONSUL_EMBEDDED_FILTER_H_
#define MESHGATE_CONSUL_EMBEDDED_FILTER_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "consul/embedded/catalog.h"

namespace meshgate::consul::embedded {

// What a filter is evaluated on: an entry of Consul's health endpoint.
struct FilterSubject {
  const InstanceRecord& record;
  const NodeInfo& node;
};

// A filter expression in Consul's language, for the entries of its health endpoint. What parses here parses in Consul
// and gives the same result, with one exception: for a missing key of a map, `matches` never holds (Consul 1.8 lets
// both it and its negation hold). As in Consul the other negated operators do hold for one.
//
//   expression: "and", "or", "not", parentheses; "and" binds tighter than "or"
//   text        Node.Node Node.Address Node.Datacenter Service.ID Service.Service Service.Address Service.Meta.<key>
//               Service.Meta["any key"]; of each check: Checks.Status Checks.Name Checks.CheckID Checks.ServiceID
//               == != matches, not matches (RE2); "x" in, "x" not in, contains "x", not contains "x" (substring)
//   number      Service.Port Service.Weights.Passing Service.Weights.Warning
//               == !=
//   list        Service.Tags
//               "x" in, "x" not in, contains "x", not contains "x", is empty, is not empty
//   map         Service.Meta
//               the same, on its keys
//   checks      Checks
//               is empty, is not empty
//   values      "quoted" with \" and the like, `raw`, or bare: a number or a word
//
// Selectors of Consul that have no counterpart here are refused rather than answered wrongly. Immutable.
class Filter {
 public:
  class Node;

  // INVALID_ARGUMENT (INVALID_FILTER) says at which character what is wrong, and what would be supported there.
  static absl::StatusOr<Filter> Parse(std::string_view expression);

  bool Matches(const FilterSubject& subject) const;

 private:
  explicit Filter(std::shared_ptr<const Node> root) : root_(std::move(root)) {}
  std::shared_ptr<const Node> root_;
};

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_FILTER_H_
