#include "client/ctl/command_spec.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace meshgate::ctl {
namespace po = boost::program_options;
namespace {

template <typename Number>
absl::Status FillNumberOf(const po::variables_map& options, const char* name, Number* out) {
  if (!Has(options, name) || absl::SimpleAtoi(StringOf(options, name), out)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", name, " takes a number, not '", StringOf(options, name), "'"));
}

}  // namespace

void AddDatacenter(po::options_description* options) {
  options->add_options()("datacenter,d", po::value<std::string>()->value_name("NAME"),
                         "Consul datacenter (default: the gateway's own)");
}

void AddReadOptions(po::options_description* options) {
  AddDatacenter(options);
  options->add_options()("consistency", po::value<std::string>()->value_name("MODE"),
                         "cached: the gateway's memory, kept current by a watch (default); default: Consul's leader; "
                         "consistent: verified with a quorum; stale: any server");
}

absl::Status FillReadOptions(const po::variables_map& options, v1::ReadOptions* read) {
  read->set_datacenter(StringOf(options, "datacenter"));
  const std::string mode = StringOf(options, "consistency", "cached");
  if (mode == "cached") {
    read->set_consistency(v1::CONSISTENCY_CACHED);
  } else if (mode == "default") {
    read->set_consistency(v1::CONSISTENCY_DEFAULT);
  } else if (mode == "consistent") {
    read->set_consistency(v1::CONSISTENCY_CONSISTENT);
  } else if (mode == "stale") {
    read->set_consistency(v1::CONSISTENCY_STALE);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("--consistency is cached, default, consistent or stale, not ", mode));
  }
  return absl::OkStatus();
}

std::string StringOf(const po::variables_map& options, const char* name, const std::string& fallback) {
  const auto found = options.find(name);
  return found == options.end() ? fallback : found->second.as<std::string>();
}

std::vector<std::string> ListOf(const po::variables_map& options, const char* name) {
  const auto found = options.find(name);
  return found == options.end() ? std::vector<std::string>() : found->second.as<std::vector<std::string>>();
}

bool Has(const po::variables_map& options, const char* name) { return options.count(name) > 0; }

absl::Status FillNumber(const po::variables_map& options, const char* name, uint64_t* out) {
  return FillNumberOf(options, name, out);
}
absl::Status FillNumber(const po::variables_map& options, const char* name, uint32_t* out) {
  return FillNumberOf(options, name, out);
}
absl::Status FillNumber(const po::variables_map& options, const char* name, int32_t* out) {
  return FillNumberOf(options, name, out);
}

absl::StatusOr<absl::Duration> ParsePositiveDuration(const std::string& option, const std::string& text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration <= absl::ZeroDuration() ||
      duration == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat(option, " takes a positive time with a unit, such as 30s, 1m30s or 500ms, not '", text, "'"));
  }
  return duration;
}

void SetDuration(absl::Duration duration, google::protobuf::Duration* out) {
  const timespec value = absl::ToTimespec(duration);
  out->set_seconds(value.tv_sec);
  out->set_nanos(static_cast<int32_t>(value.tv_nsec));
}

absl::StatusOr<v1::HealthStatus> ParseHealth(const std::string& option, const std::string& text) {
  if (text == "passing") return v1::HEALTH_STATUS_PASSING;
  if (text == "warning") return v1::HEALTH_STATUS_WARNING;
  if (text == "critical") return v1::HEALTH_STATUS_CRITICAL;
  return absl::InvalidArgumentError(absl::StrCat(option, " is passing, warning or critical, not ", text));
}

}  // namespace meshgate::ctl
