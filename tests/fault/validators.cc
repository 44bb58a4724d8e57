#include "tests/fault/validators.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/fault/replay.h"

namespace meshgate::fault {
namespace {

std::string Text(const Held& held) {
  const std::string value =
      held.value.has_value() ? absl::StrCat(held.value->version, " of writer ", held.value->writer) : "foreign bytes";
  return absl::StrCat("version ", value, " (index ", held.modify_index,
                      held.health.empty() ? "" : absl::StrCat(", ", held.health), ")");
}

// What is wrong with `name` having gone from `before` to `after`; empty: nothing.
std::string GoesBack(const Step& step, const Writes& writes, const std::string& name, const Held* before,
                     const Held& after, uint64_t covered) {
  const bool service = step.log.target.kind == Kind::kService;
  if (before != nullptr) {
    if (after.modify_index < before->modify_index) return "an older index";
    if (!service && after.modify_index == before->modify_index) return "the same index with another content";
    const Write* held = writes.PutOf(name, before->value);
    const Write* told = writes.PutOf(name, after.value);
    if (held != nullptr && told != nullptr && held != told && Precedes(*told, *held)) {
      return "a write that was over before the one held began";
    }
  }
  if (!service && after.modify_index <= covered) return absl::StrCat("a change that index ", covered, " covered");
  return "";
}

}  // namespace

bool Covers(const Target& target, const std::string& name) {
  if (target.kind == Kind::kPrefix) return absl::StartsWith(name, target.name);
  if (target.kind == Kind::kKey) return name == target.name;
  // Instances are called "<service>-<number>".
  return absl::StartsWith(name, absl::StrCat(target.name, "-"));
}

Violations CheckOrder(const Record& record) {
  Violations found;
  const Writes writes(record);
  std::map<const SubscriberLog*, uint64_t> covered;
  Replay(record, [&](const Step& step) {
    const Response& response = step.response;
    uint64_t& seen = covered[&step.log];
    const bool restarts = response.snapshot &&
                          (LostBetween(record, response.at - kLossToldWithin, response.at) || step.stored_snapshot());
    // Index 0 comes with "nothing is known yet".
    const bool same_state = step.first_of_stream() && step.before == step.after;
    if (response.index != 0 && response.index < seen && !restarts && !same_state) {
      found.push_back(absl::StrCat(Where(step), "the index goes back from ", seen));
    }
    for (const auto& [name, held] : step.after) {
      const auto it = step.before.find(name);
      const Held* before = it == step.before.end() ? nullptr : &it->second;
      if ((before != nullptr && *before == held) || restarts) continue;
      const std::string wrong = GoesBack(step, writes, name, before, held, seen);
      if (wrong.empty()) continue;
      found.push_back(absl::StrCat(Where(step), name, " goes from ", before == nullptr ? "nothing" : Text(*before),
                                   " to ", Text(held), ": ", wrong));
    }
    if (response.index != 0 && !same_state) seen = response.index;
  });
  return found;
}

Violations CheckNoDuplicates(const Record& record) {
  Violations found;
  Replay(record, [&](const Step& step) {
    const Response& response = step.response;
    std::set<std::string> names;
    for (const Event& event : response.events) {
      const auto held = step.before.find(event.name);
      if (!names.insert(event.name).second) {
        found.push_back(absl::StrCat(Where(step), event.name, " is twice in one response"));
      } else if (response.snapshot) {
        if (!event.put) found.push_back(absl::StrCat(Where(step), "a snapshot deletes ", event.name));
      } else if (event.put && held != step.before.end() && held->second == event.held) {
        found.push_back(absl::StrCat(Where(step), event.name, " is told again: ", Text(event.held)));
      } else if (!event.put && held == step.before.end()) {
        found.push_back(absl::StrCat(Where(step), "deletes ", event.name, ", which the reader does not hold"));
      }
    }
    if (step.previous == nullptr || step.before != step.after) return;
    if (!step.first_of_stream()) {
      if (response.stale == step.previous->stale) found.push_back(absl::StrCat(Where(step), "says nothing"));
    } else if (response.resumed && response.snapshot && !response.events.empty()) {
      found.push_back(absl::StrCat(Where(step), "came with a token and is sent again what it holds"));
    }
  });
  return found;
}

Violations CheckNothingInvented(const Record& record) {
  Violations found;
  const Writes writes(record);
  Replay(record, [&](const Step& step) {
    const absl::Duration at = step.response.at;
    for (const Event& event : step.response.events) {
      if (!event.put) continue;
      if (!event.held.value.has_value()) {
        found.push_back(absl::StrCat(Where(step), event.name, " has bytes that nobody wrote"));
        continue;
      }
      bool begun = false;
      bool applied = false;
      bool index_fits = false;
      for (const Write* write : writes.PutsOf(event.name, *event.held.value)) {
        if (write->begin > at) continue;
        begun = true;
        applied = applied || write->outcome != Outcome::kRefused;
        index_fits = index_fits || write->modify_index == 0 || write->modify_index == event.held.modify_index;
      }
      const std::string what = absl::StrCat(Where(step), event.name, " has ", Text(event.held), ", which ");
      if (!begun) {
        found.push_back(absl::StrCat(what, "nobody had written"));
      } else if (!applied) {
        found.push_back(absl::StrCat(what, "was refused to its writer"));
      } else if (!index_fits) {
        found.push_back(absl::StrCat(what, "its writer was told another index of"));
      }
    }
    if (step.stored_snapshot()) return;
    for (const auto& [name, held] : step.before) {
      if (step.after.count(name) != 0) continue;
      const Write* put = writes.PutOf(name, held.value);
      if (LostBetween(record, put == nullptr ? absl::ZeroDuration() : put->begin, at)) continue;
      const auto& deletes = writes.DeletesOf(name);
      const bool deleted = std::any_of(deletes.begin(), deletes.end(), [&](const Write* write) {
        return write->begin <= at && write->outcome != Outcome::kRefused && (put == nullptr || !Precedes(*write, *put));
      });
      if (!deleted) {
        found.push_back(absl::StrCat(Where(step), name, " with ", Text(held), " is gone, and nobody deleted it"));
      }
    }
  });
  return found;
}

Violations CheckTransactions(const Record& record) {
  Violations found;
  std::set<std::vector<std::string>> groups;
  for (const Write& write : record.writes) {
    if (write.names.size() > 1) groups.insert(write.names);
  }
  Replay(record, [&](const Step& step) {
    for (const auto& group : groups) {
      if (!std::all_of(group.begin(), group.end(), [&](const auto& name) { return Covers(step.log.target, name); })) {
        continue;
      }
      std::set<std::string> states;
      for (const std::string& name : group) {
        const auto it = step.after.find(name);
        // Their index is the same, too: a version may be written again.
        states.insert(it == step.after.end() ? "nothing" : Text(it->second));
      }
      if (states.size() > 1) {
        found.push_back(absl::StrCat(Where(step), "of one transaction ", group.front(), "... shows ", *states.begin(),
                                     " beside ", *states.rbegin()));
      }
    }
  });
  return found;
}

Violations CheckConditionalWrites(const Record& record) {
  Violations found;
  std::map<std::pair<std::string, uint64_t>, const Write*> winners;
  for (const Write& write : record.writes) {
    if (!write.conditional || write.kind != Write::Kind::kPut || write.outcome != Outcome::kAcknowledged) continue;
    auto [it, first] = winners.emplace(std::make_pair(write.names.front(), write.value.version), &write);
    if (first) continue;
    if (!LostBetween(record, it->second->begin, write.end)) {
      found.push_back(absl::StrCat(write.names.front(), ": version ", write.value.version, " of writer ",
                                   it->second->value.writer, " was replaced unseen by writer ", write.value.writer));
    }
    it->second = &write;
  }
  return found;
}

Violations CheckAcknowledged(const Record& record, const Holding& truth) {
  Violations found;
  const Writes writes(record);
  for (const Write& write : record.writes) {
    if (write.outcome != Outcome::kAcknowledged) continue;
    if (LostBetween(record, write.begin, absl::InfiniteDuration())) continue;
    for (const std::string& name : write.names) {
      const auto it = truth.find(name);
      const bool put = write.kind == Write::Kind::kPut;
      std::string instead;
      if (it != truth.end()) {
        const Write* last = writes.PutOf(name, it->second.value);
        if (last != nullptr && last != &write && Precedes(*last, write)) instead = Text(it->second);
      } else if (put) {
        const auto& deletes = writes.DeletesOf(name);
        const bool deleted = std::any_of(deletes.begin(), deletes.end(), [&](const Write* other) {
          return other->outcome != Outcome::kRefused && !Precedes(*other, write);
        });
        if (!deleted) instead = "nothing";
      }
      if (!instead.empty()) {
        found.push_back(absl::StrCat(
            name, ": the ", put ? absl::StrCat("write of version ", write.value.version) : "delete",
            " that was acknowledged at ", absl::FormatDuration(write.end), " is lost: Consul has ", instead));
      }
    }
  }
  return found;
}

Violations CheckConverged(const std::vector<SubscriberLog>& subscribers, const std::map<Target, Holding>& truth) {
  Violations found;
  for (const SubscriberLog& log : subscribers) {
    if (log.responses.empty()) {
      found.push_back(absl::StrCat(log.name, " was never told anything"));
      continue;
    }
    if (log.stale) found.push_back(absl::StrCat(log.name, " was left stale"));
    const auto it = truth.find(log.target);
    if (it == truth.end()) {
      found.push_back(absl::StrCat(log.name, ": nothing is known of its target"));
      continue;
    }
    for (const auto& [name, held] : it->second) {
      const auto mine = log.holding.find(name);
      if (mine == log.holding.end()) {
        found.push_back(absl::StrCat(log.name, " lacks ", name, " with ", Text(held)));
      } else if (mine->second != held) {
        found.push_back(absl::StrCat(log.name, " holds ", name, " with ", Text(mine->second), ", not ", Text(held)));
      }
    }
    for (const auto& [name, held] : log.holding) {
      if (it->second.count(name) == 0) {
        found.push_back(absl::StrCat(log.name, " holds ", name, " with ", Text(held), ", which does not exist"));
      }
    }
  }
  return found;
}

Violations CheckStalePairs(const Record& record, const Outage& outage) {
  Violations found;
  int judged = 0;
  for (const SubscriberLog& log : record.subscribers) {
    int stale = 0;
    int recovered = 0;
    const Response* previous = nullptr;
    bool spans = false;
    bool broken = false;
    std::string times;
    for (const Response& response : log.responses) {
      if (response.at < outage.begin) {
        spans = true;
      } else if (response.at <= outage.end && previous != nullptr) {
        broken = broken || previous->stream != response.stream;
        if (response.stale) {
          ++stale;
          absl::StrAppend(&times, " ", absl::FormatDuration(response.at));
        } else if (previous->stale) {
          ++recovered;
        }
      }
      previous = &response;
    }
    if (!spans || broken) continue;
    ++judged;
    if (stale > outage.times || (outage.told && stale == 0)) {
      found.push_back(
          absl::StrCat(log.name, " was told ", stale, " times that it is stale", stale == 0 ? "" : ", at", times));
    }
    if (recovered != stale) {
      found.push_back(absl::StrCat(log.name, " was told ", stale, " times that it is stale and ", recovered,
                                   " times that this is over"));
    }
  }
  if (judged == 0) found.push_back("no stream spans the outage: nothing was judged");
  return found;
}

Violations CheckDelivered(const Record& record, const std::string& name, const Numbered& value, absl::Duration begin,
                          absl::Duration within) {
  Violations found;
  for (const SubscriberLog& log : record.subscribers) {
    if (!Covers(log.target, name)) continue;
    const auto told = std::find_if(log.responses.begin(), log.responses.end(), [&](const Response& response) {
      return std::any_of(response.events.begin(), response.events.end(), [&](const Event& event) {
        return event.put && event.name == name && event.held.value == value;
      });
    });
    if (told == log.responses.end()) {
      found.push_back(absl::StrCat(log.name, " was never told of ", name));
    } else if (told->at - begin > within) {
      found.push_back(absl::StrCat(log.name, " was told of ", name, " after ", absl::FormatDuration(told->at - begin)));
    }
  }
  return found;
}

}  // namespace meshgate::fault
