#include "consul/upstream/planner.h"

#include <algorithm>
#include <numeric>
#include <queue>
#include <string_view>
#include <utility>

namespace meshgate::consul {
namespace {

// What an answer costs beside what it holds.
constexpr double kBytesPerAnswer = 256;

constexpr int kNone = -1;

// Between the datacenter and the name, which hold no such byte. Targets of different datacenters then have nothing in
// common that could be asked for.
constexpr char kSeparator = '\0';

std::string TextOf(const std::string& datacenter, const std::string& name) {
  std::string text;
  text.reserve(datacenter.size() + 1 + name.size());
  text += datacenter;
  text += kSeparator;
  text += name;
  return text;
}

size_t CommonLength(std::string_view a, std::string_view b) {
  const size_t most = std::min(a.size(), b.size());
  return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first -
                             a.begin());
}

bool InsideCharacter(std::string_view text, size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;
}

// One string of the sorted list: a target, or a prefix that was measured.
struct Item {
  std::string text;
  size_t target = 0;
  size_t bytes = 0;
  bool is_target = true;
  // `bytes` is all that is below `text`.
  bool is_prefix = false;
};

// A node of the radix trie over the items, laid out so that a child comes before its parent.
struct Node {
  size_t length = 0;  // of the common prefix
  size_t begin = 0;   // the items below it
  size_t end = 0;
  int parent = kNone;
  bool askable = false;
  double bytes = 0;  // likely size of a recursive read of it
  double targets = 0;
  // As planned so far, for the targets below it:
  double queries = 0;
  double cost = 0;

  double merged_cost() const { return targets * (bytes + kBytesPerAnswer); }
  double price() const { return (merged_cost() - cost) / (queries - 1); }
};

class Planner {
 public:
  Planner(const std::vector<PlannedTarget>& targets, const std::vector<MeasuredPrefix>& measured,
          const PlannerOptions& options)
      : targets_(targets), options_(options) {
    for (size_t i = 0; i < targets.size(); ++i) {
      const PlannedTarget& t = targets[i];
      items_.push_back({TextOf(t.datacenter, t.name), i, t.bytes, true, t.is_prefix});
    }
    for (const MeasuredPrefix& m : measured) {
      items_.push_back({TextOf(m.datacenter, m.prefix), 0, m.bytes, false, true});
    }
    std::sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) { return a.text < b.text; });
  }

  Plan Make() {
    BuildTrie();
    FillIn();
    Merge();
    return Collect();
  }

 private:
  // The inner nodes, from the lengths that neighbours have in common: those that are open form a path, and one closes
  // when a neighbour has less in common than it stands for.
  void BuildTrie() {
    struct Open {
      size_t length;
      size_t begin;
      std::vector<int> children;
    };
    std::vector<Open> open;
    const auto close = [&](Open& top, size_t end) {
      Node node;
      node.length = top.length;
      node.begin = top.begin;
      node.end = end;
      const int id = static_cast<int>(nodes_.size());
      nodes_.push_back(node);
      for (const int child : top.children) nodes_[static_cast<size_t>(child)].parent = id;
      return id;
    };
    for (size_t i = 0; i + 1 < items_.size(); ++i) {
      const size_t common = CommonLength(items_[i].text, items_[i + 1].text);
      size_t begin = i;
      int last = kNone;
      while (!open.empty() && open.back().length > common) {
        Open top = std::move(open.back());
        open.pop_back();
        if (last != kNone) top.children.push_back(last);
        begin = top.begin;
        last = close(top, i + 1);
      }
      if (open.empty() || open.back().length < common) open.push_back({common, begin, {}});
      if (last != kNone) open.back().children.push_back(last);
    }
    int last = kNone;
    while (!open.empty()) {
      Open top = std::move(open.back());
      open.pop_back();
      if (last != kNone) top.children.push_back(last);
      last = close(top, items_.size());
    }
  }

  // Bottom-up: what is below each node, and what it costs unmerged.
  void FillIn() {
    next_free_.resize(items_.size() + 1);
    std::iota(next_free_.begin(), next_free_.end(), size_t{0});
    std::vector<double> below(nodes_.size(), 0);
    for (size_t n = 0; n < nodes_.size(); ++n) {
      Node& node = nodes_[n];
      const std::string& text = items_[node.begin].text;
      double exact = -1;
      // Its children, which came before, have taken theirs.
      for (size_t i = NextFree(node.begin); i < node.end; i = NextFree(i + 1)) {
        const Item& item = items_[i];
        next_free_[i] = i + 1;
        if (item.is_prefix && item.text.size() == node.length) {
          exact = std::max(exact, static_cast<double>(item.bytes));
        } else {
          below[n] += static_cast<double>(item.bytes);
        }
        if (!item.is_target) continue;
        ++node.targets;
        ++node.queries;
        node.cost += static_cast<double>(item.bytes) + kBytesPerAnswer;
      }
      node.bytes = exact >= 0 ? exact : below[n];
      const size_t name_at = text.find(kSeparator) + 1;
      node.askable = node.length > name_at && !InsideCharacter(text, node.length);
      if (node.parent == kNone) continue;
      Node& parent = nodes_[static_cast<size_t>(node.parent)];
      below[static_cast<size_t>(node.parent)] += node.bytes;
      parent.targets += node.targets;
      parent.queries += node.queries;
      parent.cost += node.cost;
    }
    queries_ = targets_.size();
  }

  void Merge() {
    struct Candidate {
      double price;
      double queries;  // when it was priced
      size_t node;
      bool operator<(const Candidate& other) const {
        // The cheapest first; of equals the longest prefix, which comes first in the trie.
        return price != other.price ? price > other.price : node > other.node;
      }
    };
    std::priority_queue<Candidate> candidates;
    const auto offer = [&](size_t n) {
      const Node& node = nodes_[n];
      if (!node.askable || node.queries < 2 || node.bytes > static_cast<double>(options_.max_bytes)) return;
      candidates.push({node.price(), node.queries, n});
    };
    for (size_t n = 0; n < nodes_.size(); ++n) offer(n);
    merged_.assign(nodes_.size(), false);
    while (queries_ > options_.queries && !candidates.empty()) {
      const Candidate best = candidates.top();
      candidates.pop();
      Node& node = nodes_[best.node];
      if (best.queries != node.queries || Covered(node)) continue;
      const double fewer = node.queries - 1;
      const double dearer = node.merged_cost() - node.cost;
      queries_ -= static_cast<size_t>(fewer);
      merged_[best.node] = true;
      node.queries = 1;
      node.cost += dearer;
      for (int up = node.parent; up != kNone; up = nodes_[static_cast<size_t>(up)].parent) {
        Node& above = nodes_[static_cast<size_t>(up)];
        above.queries -= fewer;
        above.cost += dearer;
        offer(static_cast<size_t>(up));
      }
    }
  }

  // A wider one has been merged, which is cheaper than what it covers where much was measured below that.
  bool Covered(const Node& node) const {
    for (int up = node.parent; up != kNone; up = nodes_[static_cast<size_t>(up)].parent) {
      if (merged_[static_cast<size_t>(up)]) return true;
    }
    return false;
  }

  Plan Collect() const {
    Plan plan;
    std::vector<bool> shared(items_.size(), false);
    // Parents come after their children: from the top, so that the widest of nested ones is taken.
    for (size_t n = nodes_.size(); n-- > 0;) {
      const Node& node = nodes_[n];
      if (!merged_[n] || shared[node.begin]) continue;
      PlannedShare share;
      const std::string& text = items_[node.begin].text;
      const size_t name_at = text.find(kSeparator) + 1;
      share.datacenter = text.substr(0, name_at - 1);
      share.prefix = text.substr(name_at, node.length - name_at);
      for (size_t i = node.begin; i < node.end; ++i) {
        shared[i] = true;
        if (items_[i].is_target) share.members.push_back(items_[i].target);
      }
      plan.shares.push_back(std::move(share));
    }
    for (size_t i = 0; i < items_.size(); ++i) {
      if (!shared[i] && items_[i].is_target) plan.alone.push_back(items_[i].target);
    }
    return plan;
  }

  // The first item at or after `i` that no node has taken. Nearly constant time: the way over taken ones is shortened
  // each time it is gone.
  size_t NextFree(size_t i) {
    i = std::min(i, items_.size());
    size_t free = i;
    while (next_free_[free] != free) free = next_free_[free];
    while (next_free_[i] != free) i = std::exchange(next_free_[i], free);
    return free;
  }

  const std::vector<PlannedTarget>& targets_;
  const PlannerOptions options_;
  std::vector<Item> items_;
  std::vector<Node> nodes_;
  std::vector<bool> merged_;
  std::vector<size_t> next_free_;
  size_t queries_ = 0;
};

}  // namespace

Plan MakePlan(const std::vector<PlannedTarget>& targets, const std::vector<MeasuredPrefix>& measured,
              const PlannerOptions& options) {
  return Planner(targets, measured, options).Make();
}

}  // namespace meshgate::consul
