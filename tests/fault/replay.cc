#include "tests/fault/replay.h"

#include "absl/strings/str_cat.h"

namespace meshgate::fault {
namespace {

const std::vector<const Write*>& None() {
  static const auto* const none = new std::vector<const Write*>();
  return *none;
}

}  // namespace

void Replay(const Record& record, const std::function<void(const Step&)>& visit) {
  for (const SubscriberLog& log : record.subscribers) {
    Holding before;
    Holding after;
    const Response* previous = nullptr;
    for (const Response& response : log.responses) {
      Apply(response, after);
      visit(Step{log, response, previous, before, after});
      before = after;
      previous = &response;
    }
  }
}

std::string Where(const Step& step) {
  return absl::StrCat(step.log.name, " at ", absl::FormatDuration(absl::Trunc(step.response.at, absl::Milliseconds(1))),
                      " (stream ", step.response.stream, ", gateway ", step.response.gateway, ", index ",
                      step.response.index, step.response.snapshot ? ", snapshot" : "",
                      step.response.stale ? ", stale" : "", "): ");
}

Writes::Writes(const Record& record) {
  for (const Write& write : record.writes) {
    for (const std::string& name : write.names) {
      if (write.kind == Write::Kind::kPut) {
        puts_[{name, write.value}].push_back(&write);
      } else {
        deletes_[name].push_back(&write);
      }
    }
  }
}

const std::vector<const Write*>& Writes::PutsOf(const std::string& name, const Numbered& value) const {
  const auto it = puts_.find({name, value});
  return it == puts_.end() ? None() : it->second;
}

const std::vector<const Write*>& Writes::DeletesOf(const std::string& name) const {
  const auto it = deletes_.find(name);
  return it == deletes_.end() ? None() : it->second;
}

const Write* Writes::PutOf(const std::string& name, const std::optional<Numbered>& value) const {
  if (!value.has_value()) return nullptr;
  const auto& puts = PutsOf(name, *value);
  return puts.size() == 1 ? puts.front() : nullptr;
}

bool Precedes(const Write& a, const Write& b) { return a.outcome == Outcome::kAcknowledged && a.end < b.begin; }

bool LostBetween(const Record& record, absl::Duration from, absl::Duration at) {
  for (const Loss& loss : record.losses) {
    if (loss.begin <= at && loss.end >= from) return true;
  }
  return false;
}

}  // namespace meshgate::fault
