// The command lines of register, hold, heartbeat, deregister, discover and services.
#include "absl/strings/str_cat.h"
#include "client/ctl/command_spec.h"

namespace meshgate::ctl {
namespace po = boost::program_options;
namespace {

using Positional = std::vector<std::string>;

void AddRegister(po::options_description* options) {
  const auto text = [](const char* name) { return po::value<std::string>()->value_name(name); };
  const auto texts = [](const char* name) { return po::value<std::vector<std::string>>()->value_name(name); };
  options->add_options()                                                                             //
      ("service,s", text("NAME"), "the service (required)")                                          //
      ("id", text("ID"), "unique per Consul agent (default: the service's name)")                    //
      ("address", text("HOST"), "default: the Consul node's")                                        //
      ("port", text("PORT"), "default: none")                                                        //
      ("tag", texts("TAG"), "may be repeated")                                                       //
      ("meta", texts("KEY=VALUE"), "may be repeated")                                                //
      ("weight-passing", text("N"), "share of traffic when passing")                                 //
      ("weight-warning", text("N"), "share of traffic when warning")                                 //
      ("check-http", texts("URL"), "Consul gets it: 2xx passes, 429 warns")                          //
      ("check-tcp", texts("HOST:PORT"), "Consul connects to it")                                     //
      ("check-grpc", texts("HOST:PORT[/SERVICE]"), "Consul asks its grpc.health.v1.Health")          //
      ("check-ttl", text("TIME"), "the instance reports within this time, see heartbeat")            //
      ("interval", text("TIME"), "between probes (default 10s)")                                     //
      ("check-timeout", text("TIME"), "of a probe (default 10s)")                                    //
      ("deregister-after", text("TIME"), "deregister when critical for so long; at least a minute")  //
      ("initial-status", text("STATUS"), "passing, warning or critical until the first probe (default critical)");
}

absl::Status AddChecks(const po::variables_map& options, v1::RegisterRequest* request) {
  for (const std::string& url : ListOf(options, "check-http")) request->add_checks()->mutable_http()->set_url(url);
  for (const std::string& address : ListOf(options, "check-tcp")) {
    request->add_checks()->mutable_tcp()->set_address(address);
  }
  for (const std::string& target : ListOf(options, "check-grpc")) {
    request->add_checks()->mutable_grpc()->set_target(target);
  }
  const auto interval = ParsePositiveDuration("--interval", StringOf(options, "interval", "10s"));
  if (!interval.ok()) return interval.status();
  for (v1::HealthCheck& check : *request->mutable_checks()) SetDuration(*interval, check.mutable_interval());
  if (Has(options, "check-timeout")) {
    const auto timeout = ParsePositiveDuration("--check-timeout", StringOf(options, "check-timeout"));
    if (!timeout.ok()) return timeout.status();
    for (v1::HealthCheck& check : *request->mutable_checks()) SetDuration(*timeout, check.mutable_timeout());
  }
  if (Has(options, "check-ttl")) {
    const auto ttl = ParsePositiveDuration("--check-ttl", StringOf(options, "check-ttl"));
    if (!ttl.ok()) return ttl.status();
    SetDuration(*ttl, request->add_checks()->mutable_ttl());
  }
  if (request->checks().empty()) {
    for (const char* option : {"interval", "check-timeout", "deregister-after", "initial-status"}) {
      if (Has(options, option)) return absl::InvalidArgumentError(absl::StrCat("--", option, " needs a --check-..."));
    }
  }
  if (Has(options, "deregister-after")) {
    const auto after = ParsePositiveDuration("--deregister-after", StringOf(options, "deregister-after"));
    if (!after.ok()) return after.status();
    for (v1::HealthCheck& check : *request->mutable_checks()) {
      SetDuration(*after, check.mutable_deregister_critical_after());
    }
  }
  if (Has(options, "initial-status")) {
    const auto status = ParseHealth("--initial-status", StringOf(options, "initial-status"));
    if (!status.ok()) return status.status();
    for (v1::HealthCheck& check : *request->mutable_checks()) check.set_initial_status(*status);
  }
  return absl::OkStatus();
}

absl::Status FillRegistration(const po::variables_map& options, const char* command, v1::RegisterRequest* request) {
  v1::ServiceInstance* instance = request->mutable_instance();
  if (!Has(options, "service")) return absl::InvalidArgumentError(absl::StrCat(command, " needs --service NAME"));
  instance->set_service(StringOf(options, "service"));
  instance->set_id(StringOf(options, "id"));
  instance->set_address(StringOf(options, "address"));
  uint32_t port = 0;
  if (absl::Status number = FillNumber(options, "port", &port); !number.ok()) return number;
  instance->set_port(port);
  for (const std::string& tag : ListOf(options, "tag")) instance->add_tags(tag);
  for (const std::string& pair : ListOf(options, "meta")) {
    const size_t at = pair.find('=');
    if (at == 0 || at == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("--meta takes KEY=VALUE, not '", pair, "'"));
    }
    (*instance->mutable_meta())[pair.substr(0, at)] = pair.substr(at + 1);
  }
  if (Has(options, "weight-passing") || Has(options, "weight-warning")) {
    int32_t passing = 1;  // Consul's defaults, for the one that is not given.
    int32_t warning = 1;
    if (absl::Status number = FillNumber(options, "weight-passing", &passing); !number.ok()) return number;
    if (absl::Status number = FillNumber(options, "weight-warning", &warning); !number.ok()) return number;
    instance->mutable_weights()->set_passing(passing);
    instance->mutable_weights()->set_warning(warning);
  }
  return AddChecks(options, request);
}

absl::StatusOr<CommandArgs> BuildRegister(const po::variables_map& options, const Positional&) {
  RegisterArgs args;
  if (absl::Status filled = FillRegistration(options, "register", &args.request); !filled.ok()) return filled;
  return args;
}

void AddHold(po::options_description* options) {
  AddRegister(options);
  options->add_options()  //
      ("linger", po::value<std::string>()->value_name("TIME"),
       "how long the gateway keeps it when this command is lost (default 10s, at most 10m)")  //
      ("no-reconnect", "end when the stream ends");
}

absl::StatusOr<CommandArgs> BuildHold(const po::variables_map& options, const Positional&) {
  HoldArgs args;
  if (absl::Status filled = FillRegistration(options, "hold", &args.request); !filled.ok()) return filled;
  if (Has(options, "linger")) {
    const auto linger = ParsePositiveDuration("--linger", StringOf(options, "linger"));
    if (!linger.ok()) return linger.status();
    args.linger = *linger;
  }
  args.reconnect = !Has(options, "no-reconnect");
  return args;
}

void AddHeartbeat(po::options_description* options) {
  options->add_options()                                                                                    //
      ("status", po::value<std::string>()->value_name("STATUS"), "passing (default), warning or critical")  //
      ("note", po::value<std::string>()->value_name("TEXT"), "shown to humans");
}

absl::StatusOr<CommandArgs> BuildHeartbeat(const po::variables_map& options, const Positional& positional) {
  HeartbeatArgs args;
  args.request.set_id(positional[0]);
  const auto status = ParseHealth("--status", StringOf(options, "status", "passing"));
  if (!status.ok()) return status.status();
  args.request.set_status(*status);
  args.request.set_note(StringOf(options, "note"));
  return args;
}

absl::StatusOr<CommandArgs> BuildDeregister(const po::variables_map&, const Positional& positional) {
  DeregisterArgs args;
  args.request.set_id(positional[0]);
  return args;
}

void AddDiscover(po::options_description* options) {
  options->add_options()                                                                                    //
      ("tag", po::value<std::vector<std::string>>()->value_name("TAG"), "may be repeated, all must match")  //
      ("include-unhealthy", "also instances whose checks don't pass")                                       //
      ("filter", po::value<std::string>()->value_name("EXPR"),
       "a Consul filter, e.g. 'Service.Meta.version == \"2\"'")  //
      ("near", po::value<std::string>()->value_name("NODE"), "sort by distance from it; _agent is the gateway's");
  AddReadOptions(options);
}

absl::StatusOr<CommandArgs> BuildDiscover(const po::variables_map& options, const Positional& positional) {
  DiscoverArgs args;
  args.request.set_service(positional[0]);
  for (const std::string& tag : ListOf(options, "tag")) args.request.add_tags(tag);
  args.request.set_include_unhealthy(Has(options, "include-unhealthy"));
  args.request.set_filter(StringOf(options, "filter"));
  args.request.set_near(StringOf(options, "near"));
  if (absl::Status read = FillReadOptions(options, args.request.mutable_options()); !read.ok()) return read;
  return args;
}

absl::StatusOr<CommandArgs> BuildServices(const po::variables_map& options, const Positional&) {
  ServicesArgs args;
  if (absl::Status read = FillReadOptions(options, args.request.mutable_options()); !read.ok()) return read;
  return args;
}

}  // namespace

std::vector<CommandSpec> RegistryCommands() {
  return {
      {"register", "--service NAME", "Register an instance, or replace the one with the same id.",
       "Prints the id. It stays registered until deregister.\n\n"
       "Examples:\n"
       "  meshgatectl register --service web --id web-1 --address 10.0.0.7 --port 8080 --tag primary \\\n"
       "      --check-http http://10.0.0.7:8080/healthz --interval 5s\n"
       "  meshgatectl register --service batch --check-ttl 30s && meshgatectl heartbeat batch\n",
       0, 0, AddRegister, BuildRegister},
      {"hold", "--service NAME", "Register an instance for as long as this command runs.",
       "The gateway reports its health, registers it again should Consul forget it, and deregisters it at Ctrl-C, or\n"
       "--linger after this command was killed. Reconnects by itself, and says so on standard error. --timeout does "
       "not\n"
       "apply.\n\n"
       "A line of text is id and `registered` or, while Consul can't be reached, `waiting`, separated by a tab.\n\n"
       "Example:\n  meshgatectl hold --service web --id web-1 --address 10.0.0.7 --port 8080\n",
       0, 0, AddHold, BuildHold},
      {"heartbeat", "ID", "Report the health of an instance that has a TTL check.",
       "Examples:\n"
       "  meshgatectl heartbeat batch\n"
       "  meshgatectl heartbeat batch --status warning --note 'queue is long'\n",
       1, 1, AddHeartbeat, BuildHeartbeat},
      {"deregister", "ID", "Remove an instance.", "Example:\n  meshgatectl deregister web-1\n", 1, 1, nullptr,
       BuildDeregister},
      {"discover", "SERVICE", "Print the instances of a service, by default the healthy ones.",
       "A line of text is id, node, address, status and tags, separated by tabs; json is a DiscoverResponse.\n\n"
       "Examples:\n"
       "  meshgatectl discover web\n"
       "  meshgatectl discover web --tag primary --include-unhealthy -o json\n",
       1, 1, AddDiscover, BuildDiscover},
      {"services", "", "List the services of the catalog with their tags.",
       "A line of text is name and tags, separated by a tab; json is a ListServicesResponse.\n\n"
       "Example:\n  meshgatectl services\n",
       0, 0, AddReadOptions, BuildServices},
  };
}

}  // namespace meshgate::ctl
