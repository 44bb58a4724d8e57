#include "tests/fault/world.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/consul_agent.h"

namespace meshgate::fault {
namespace {

constexpr int kHandWriter = 9;
constexpr char kCanary[] = "load/canary";
// Of each promise; the rest are counted.
constexpr size_t kShown = 8;
constexpr absl::Duration kStartBound = absl::Seconds(60);
// Until a gateway that needs nobody for it has told what it holds.
constexpr absl::Duration kHeldBound = absl::Seconds(20);

const std::vector<Target>& Targets() {
  static const auto* const targets =
      new std::vector<Target>{{Kind::kKey, "load/a/0"},    {Kind::kKey, "load/g/0"},     {Kind::kKey, "load/c/0"},
                              {Kind::kKey, kCanary},       {Kind::kPrefix, kLoadPrefix}, {Kind::kPrefix, kTxnPrefix},
                              {Kind::kPrefix, kBigPrefix}, {Kind::kService, kService}};
  return *targets;
}

std::string Short(const Target& target) {
  switch (target.kind) {
    case Kind::kKey:
      return absl::StrCat("key ", target.name);
    case Kind::kPrefix:
      return absl::StrCat("prefix ", target.name);
    case Kind::kService:
      return absl::StrCat("service ", target.name);
  }
  return "";
}

}  // namespace

World::World(Options options) : options_(std::move(options)) {
  if (options_.service_agent_url.empty()) options_.service_agent_url = options_.agent_url;
  row_.fault = options_.fault;
}

World::~World() {
  load_.reset();
  subscribers_.reset();
}

std::string World::data_dir(int gateway) const { return absl::StrCat(folder_.path(), "/data-", gateway); }

bool World::Start() {
  const std::vector<uint16_t> ports = testing::FreePorts(kGateways);
  for (int i = 0; i < kGateways; ++i) {
    gateways_[static_cast<size_t>(i)].port = ports[static_cast<size_t>(i)];
    if (!StartGateway(i)) return false;
  }
  hand_ = std::make_unique<AgentWriter>(&history_, kHandWriter, options_.agent_url);
  subscribers_ = std::make_unique<Subscribers>(&history_);
  AddSubscribers();
  load_ = std::make_unique<Load>(
      &history_, Load::Places{options_.agent_url, gateway(0).grpc_address(), options_.service_agent_url});
  return history_.WaitUntil(
      [](const std::vector<SubscriberLog>& logs) {
        return std::all_of(logs.begin(), logs.end(), [](const auto& log) { return !log.responses.empty(); });
      },
      kStartBound);
}

bool World::StartGateway(int number) {
  Process& gateway = gateways_[static_cast<size_t>(number)];
  std::vector<std::string> flags = {"--backend=consul", "--consul_address=" + options_.consul_url,
                                    absl::StrCat("--grpc_listen=127.0.0.1:", gateway.port),
                                    "--data_dir=" + data_dir(number)};
  flags.insert(flags.end(), options_.gateway_flags.begin(), options_.gateway_flags.end());
  testing::ChildProcess::Options process;
  if (number == 0) {
    process = options_.first_process;
    flags.insert(flags.end(), options_.first_flags.begin(), options_.first_flags.end());
  }
  process.stderr_file = absl::StrCat(folder_.path(), "/gateway-", number, ".log");
  ++gateway.generation;
  gateway.process = std::make_unique<testing::GatewayProcess>(flags, process);
  return gateway.process->listening();
}

void World::KillGateway(int number) {
  auto& process = gateway(number).process();
  process.Signal(SIGKILL);
  EXPECT_TRUE(process.Wait().has_value());
}

void World::AddSubscribers() {
  std::vector<Gateway> gateways;
  for (Process& each : gateways_) gateways.push_back({each.process->grpc_address(), &each.generation});
  const std::vector<Gateway> first = {gateways[0]};
  const std::vector<Gateway> second = {gateways[1]};
  for (const Target& target : Targets()) {
    Subscribers::Spec spec;
    spec.target = target;
    spec.name = absl::StrCat("steady ", Short(target));
    spec.gateways = first;
    subscribers_->Add(spec);
    if (target.kind == Kind::kKey) continue;
    spec.name = absl::StrCat("slow ", Short(target));
    spec.pause = absl::Milliseconds(150);
    subscribers_->Add(spec);
    spec.name = absl::StrCat("roaming ", Short(target));
    spec.pause = absl::ZeroDuration();
    spec.gateways = gateways;
    spec.leaves_after = 6;
    subscribers_->Add(spec);
    spec.name = absl::StrCat("returning ", Short(target));
    spec.gateways = first;
    subscribers_->Add(spec);
    if (target.name != kLoadPrefix) continue;
    spec.name = absl::StrCat("steady on the second gateway, ", Short(target));
    spec.gateways = second;
    spec.leaves_after = 0;
    subscribers_->Add(spec);
  }
}

void World::RunLoad(absl::Duration time) {
  subscribers_->SetHurry(false);
  load_->Resume();
  absl::SleepFor(time);
}

void World::PauseLoad() {
  load_->Pause();
  subscribers_->SetHurry(true);
}

void World::Settle() {
  PauseLoad();
  Converge("the load was paused", Pick(absl::Seconds(30), absl::Seconds(10)));
}

void World::AwaitStale(absl::Duration bound) {
  const bool told = history_.WaitUntil(
      [](const std::vector<SubscriberLog>& logs) {
        return std::all_of(logs.begin(), logs.end(), [](const auto& log) { return log.stale; });
      },
      bound);
  if (told) return;
  for (const SubscriberLog& log : history_.record().subscribers) {
    if (!log.stale) Add("stale", {absl::StrCat(log.name, " was not told that Consul is away")});
  }
}

std::map<Target, Holding> World::Truth() {
  std::map<Target, Holding> truth;
  for (const Target& target : Targets()) {
    auto holding = hand_->consul().Read(target);
    if (holding.has_value()) truth[target] = *std::move(holding);
  }
  return truth;
}

void World::Converge(const std::string& after, absl::Duration bound) {
  const absl::Duration begin = history_.Now();
  // The bound is for the verdict; what takes longer is waited for, to say how long.
  const absl::Duration patience = bound + absl::Seconds(30);
  Violations left;
  std::string late;
  do {
    // Consul may still apply a write that nobody waits for any more.
    const std::map<Target, Holding> truth = Truth();
    history_.WaitUntil(
        [&](const std::vector<SubscriberLog>& logs) {
          left = CheckConverged(logs, truth);
          return left.empty();
        },
        absl::Milliseconds(100));
    if (!left.empty() && late.empty() && history_.Now() - begin > bound) late = left.front();
  } while (!left.empty() && history_.Now() - begin < patience);
  const absl::Duration took = history_.Now() - begin;
  if (after != "the load was paused") row_.converged = std::max(row_.converged, took);
  Add(absl::StrCat("convergence after ", after), left);
  if (left.empty() && took > bound) {
    Add("convergence", {absl::StrCat("after ", after, " it took ", absl::FormatDuration(took), ", more than ",
                                     absl::FormatDuration(bound), "; until then ", late)});
  }
}

void World::Canary(absl::Duration bound) {
  Numbered value;
  const absl::Duration begin = history_.Now();
  if (hand_->Put(kCanary, 0, &value) != Outcome::kAcknowledged) {
    Add("delivery", {"the canary was not written"});
    return;
  }
  const std::string name = kCanary;
  history_.WaitUntil(
      [&](const std::vector<SubscriberLog>& logs) {
        return std::all_of(logs.begin(), logs.end(), [&](const SubscriberLog& log) {
          if (!Covers(log.target, name)) return true;
          const auto it = log.holding.find(name);
          return it != log.holding.end() && it->second.value == value;
        });
      },
      bound + absl::Seconds(30));
  Add("delivery", CheckDelivered(history_.record(), name, value, begin, bound));
}

void World::Add(const std::string& promise, const Violations& violations) {
  row_.violations += static_cast<int64_t>(violations.size());
  for (size_t i = 0; i < std::min(violations.size(), kShown); ++i) {
    ADD_FAILURE() << options_.fault << ": " << promise << ": " << violations[i];
  }
  if (violations.size() > kShown) {
    ADD_FAILURE() << options_.fault << ": " << promise << ": and " << violations.size() - kShown << " more";
  }
}

void World::ChangeThingsInTheGap() {
  hand_->Put("load/a/1");
  hand_->Delete("load/a/2");
  hand_->Put("load/gap");
  hand_->PutAll({"txn/0/x", "txn/0/y", "txn/0/z"});
  hand_->DeleteAll({"txn/1/x", "txn/1/y", "txn/1/z"});
  hand_->Put("big/0", 1000);
  hand_->Delete("big/1");
}

std::vector<SubscriberLog> World::SubscribeAfresh(bool stale_will_do, absl::Duration within) {
  // "Nothing is known yet" is no snapshot.
  auto told = [](const SubscriberLog& log) {
    return std::any_of(log.responses.begin(), log.responses.end(), [](const auto& each) { return each.snapshot; });
  };
  History history;
  {
    Subscribers fresh(&history);
    for (const Target& target : Targets()) {
      fresh.Add({absl::StrCat("fresh ", Short(target)),
                 target,
                 {{gateway(0).grpc_address(), &gateways_[0].generation}},
                 absl::ZeroDuration(),
                 0});
    }
    history.WaitUntil(
        [&](const std::vector<SubscriberLog>& logs) {
          return std::all_of(logs.begin(), logs.end(),
                             [&](const auto& log) { return told(log) && (stale_will_do || !log.stale); });
        },
        within);
  }
  std::vector<SubscriberLog> logs = history.record().subscribers;
  for (SubscriberLog& log : logs) {
    if (!told(log)) log.responses.clear();
  }
  return logs;
}

void World::CheckHeld(const std::string& when) {
  const std::map<Target, Holding> truth = Truth();
  Violations left;
  auto holds = [&](std::vector<SubscriberLog> logs) {
    for (SubscriberLog& log : logs) log.stale = false;
    left = CheckConverged(logs, truth);
    return left.empty();
  };
  history_.WaitUntil(holds, kStartBound);
  Add(absl::StrCat("held ", when), left);

  // Readers that came back may have all that from before. These have nothing but what the gateway knows.
  const std::vector<SubscriberLog> fresh = SubscribeAfresh(/*stale_will_do=*/true, kHeldBound);
  holds(fresh);
  Add(absl::StrCat("told afresh ", when), left);
  left.clear();
  std::vector<SubscriberLog> told = history_.record().subscribers;
  told.insert(told.end(), fresh.begin(), fresh.end());
  for (const SubscriberLog& log : told) {
    const bool lies = std::any_of(log.responses.begin(), log.responses.end(), [&](const Response& response) {
      return response.gateway == gateways_[0].generation && !response.stale;
    });
    if (lies) left.push_back(absl::StrCat(log.name, " was told as current what nobody can know"));
  }
  Add(absl::StrCat("stale ", when), left);
}

bool World::Supervise(int number) {
  if (!gateway(number).process().Wait(absl::ZeroDuration()).has_value()) return false;
  EXPECT_TRUE(StartGateway(number));
  return true;
}

void World::Judge() {
  PauseLoad();
  subscribers_->StayAway();
  ChangeThingsInTheGap();
  subscribers_->ComeBack();
  Converge("the end of the load", Pick(absl::Seconds(20), absl::Seconds(5)));
  // Either may have what is a moment newer than what the other has: agents go on mending their registrations after a
  // fault.
  Violations left;
  const absl::Duration begin = history_.Now();
  do {
    std::map<Target, Holding> fresh;
    for (SubscriberLog& log : SubscribeAfresh(/*stale_will_do=*/false, kStartBound)) {
      if (!log.responses.empty()) fresh[log.target] = std::move(log.holding);
    }
    history_.WaitUntil(
        [&](const std::vector<SubscriberLog>& logs) {
          left = CheckConverged(logs, fresh);
          return left.empty();
        },
        absl::Seconds(1));
  } while (!left.empty() && history_.Now() - begin < kStartBound);
  Add("convergence, compared with fresh subscriptions", left);
  const Record record = history_.record();
  Holding truth;
  for (auto& [target, holding] : Truth()) truth.insert(holding.begin(), holding.end());
  Add("order", CheckOrder(record));
  Add("no duplicates", CheckNoDuplicates(record));
  Add("nothing invented", CheckNothingInvented(record));
  Add("transactions", CheckTransactions(record));
  Add("conditional writes", CheckConditionalWrites(record));
  // An agent acknowledges registrations before it tells the servers: convergence is what they are judged by.
  Record keys = record;
  keys.writes.erase(std::remove_if(keys.writes.begin(), keys.writes.end(),
                                   [](const Write& write) {
                                     return Covers({Kind::kService, kService}, write.names[0]);
                                   }),
                    keys.writes.end());
  Add("acknowledged writes", CheckAcknowledged(keys, truth));
  row_.acknowledged = history_.acknowledged();
  row_.delivered = history_.received();
  AddRow(row_);
  std::printf("%s: %lld writes acknowledged, %lld deliveries, %lld violations, converged after %.2f s\n",
              row_.fault.c_str(), static_cast<long long>(row_.acknowledged), static_cast<long long>(row_.delivered),
              static_cast<long long>(row_.violations), absl::ToDoubleSeconds(row_.converged));
  std::fflush(stdout);
}

}  // namespace meshgate::fault
