// The command line of watch.
#include "client/ctl/command_spec.h"

namespace meshgate::ctl {
namespace po = boost::program_options;
namespace {

void AddWatch(po::options_description* options) {
  options->add_options()                                                                                         //
      ("prefix,p", po::value<std::string>()->value_name("PREFIX"), "every key that begins with it; '' for all")  //
      ("service,s", po::value<std::string>()->value_name("NAME"), "the instances of a service")                  //
      ("tag", po::value<std::vector<std::string>>()->value_name("TAG"),                                          //
       "with --service: instances that have it; may be repeated, all must match")                                //
      ("include-unhealthy", "with --service: also instances whose checks don't pass")                            //
      ("filter", po::value<std::string>()->value_name("EXPR"),                                                   //
       "with --service: a Consul filter, e.g. 'Service.Meta.version == \"2\"'")                                  //
      ("count,n", po::value<std::string>()->value_name("N"), "end after N states, the first one counted")        //
      ("no-reconnect", "end when the stream ends")                                                               //
      ("resume", po::value<std::string>()->value_name("TOKEN"), "resume behind the response that carried it")    //
      ("subscriber", po::value<std::string>()->value_name("NAME"), "name shown to operators");
  AddDatacenter(options);
}

template <typename Request>
void FillCommon(const po::variables_map& options, Request* request) {
  request->set_resume_token(StringOf(options, "resume"));
  request->set_subscriber(StringOf(options, "subscriber", "meshgatectl"));
  request->set_datacenter(StringOf(options, "datacenter"));
}

absl::StatusOr<CommandArgs> BuildWatch(const po::variables_map& options, const std::vector<std::string>& positional) {
  if (positional.size() + Has(options, "prefix") + Has(options, "service") != 1) {
    return absl::InvalidArgumentError("watch takes one of KEY, --prefix PREFIX and --service NAME");
  }
  WatchArgs args;
  if (absl::Status number = FillNumber(options, "count", &args.count); !number.ok()) return number;
  args.reconnect = !Has(options, "no-reconnect");
  if (Has(options, "service")) {
    v1::WatchServiceRequest request;
    request.set_service(StringOf(options, "service"));
    for (const std::string& tag : ListOf(options, "tag")) request.add_tags(tag);
    request.set_include_unhealthy(Has(options, "include-unhealthy"));
    request.set_filter(StringOf(options, "filter"));
    FillCommon(options, &request);
    args.request = std::move(request);
    return args;
  }
  if (Has(options, "tag") || Has(options, "include-unhealthy") || Has(options, "filter")) {
    return absl::InvalidArgumentError("--tag, --include-unhealthy and --filter go with --service");
  }
  v1::WatchConfigRequest request;
  if (Has(options, "prefix")) {
    request.set_prefix(StringOf(options, "prefix"));
  } else {
    request.set_key(positional[0]);
  }
  FillCommon(options, &request);
  args.request = std::move(request);
  return args;
}

}  // namespace

CommandSpec WatchCommand() {
  return {
      "watch",
      "KEY | --prefix PREFIX | --service NAME",
      "Print the state of a target, then every change of it.",
      "Reconnects by itself, and says so on standard error, as it does when the gateway loses Consul (the state is\n"
      "then the last one known) and finds it again. --timeout does not apply.\n\n"
      "A line of text is `put`, key, modify index and value or `delete` and key, separated by tabs, the value with\n"
      "C escapes; for a service `put`, id, node, address, status and tags or `delete`, id and node. Only differences\n"
      "are printed, after a reconnection too. A line of json is a response as it was received.\n\n"
      "Examples:\n"
      "  meshgatectl watch payments/db/url\n"
      "  meshgatectl watch --prefix payments/ -o json\n"
      "  meshgatectl watch --service web --tag primary\n"
      "  meshgatectl watch feature/on --count 1        # wait for nothing: print the state and end\n",
      0,
      1,
      AddWatch,
      BuildWatch};
}

}  // namespace meshgate::ctl
