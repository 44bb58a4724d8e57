#ifndef MESHGATE_CONSUL_UPSTREAM_PLANNER_H_
#define MESHGATE_CONSUL_UPSTREAM_PLANNER_H_

#include <cstddef>
#include <string>
#include <vector>

namespace meshgate::consul {

// A watched key or prefix, as the planner sees it.
struct PlannedTarget {
  std::string datacenter;
  // The key, or the prefix.
  std::string name;
  // About what an answer to it alone holds.
  size_t bytes = 0;
  // Its answer holds everything below `name`.
  bool is_prefix = false;
};

// What the answer to a recursive read was found to hold, watched or not.
struct MeasuredPrefix {
  std::string datacenter;
  std::string prefix;
  size_t bytes = 0;
};

struct PlannerOptions {
  // Queries that the plan may have.
  size_t queries = 1;
  // No shared query whose answer is likely to hold more.
  size_t max_bytes = size_t{32} << 20;
};

// One recursive read in place of several.
struct PlannedShare {
  std::string datacenter;
  std::string prefix;
  // Positions in the targets; two at least.
  std::vector<size_t> members;
};

struct Plan {
  std::vector<PlannedShare> shares;
  // Positions of the targets that are asked for alone.
  std::vector<size_t> alone;

  size_t queries() const { return shares.size() + alone.size(); }
};

// Decides which targets are asked for alone and which share a recursive read of a string prefix that they have in
// common, so that the queries are no more than `options.queries` and the bytes read stay low.
//
// The cost of a query is what it reads in a round of changes: every change of one of its targets brings all of them. It
// starts from every target alone and then merges where one query less costs the least. It is greedy: for evenly grown
// trees of keys that is the best plan, in general a good one.
//
// A shared prefix has at least one character, never ends within one, and what was measured counts where it is known: a
// prefix with much below it that nobody watches is avoided, and one beyond `max_bytes` not used. Where the targets have
// too little in common the plan has more queries than asked for, and as few as can be.
//
// Pure: no I/O, clock, threads or state. 100,000 targets take a tenth of a second or two.
Plan MakePlan(const std::vector<PlannedTarget>& targets, const std::vector<MeasuredPrefix>& measured,
              const PlannerOptions& options);

}  // namespace meshgate::consul

#endif  // MESHGATE_CONSUL_UPSTREAM_PLANNER_H_
