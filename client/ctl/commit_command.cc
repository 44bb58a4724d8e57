// commit.
#include <google/protobuf/util/json_util.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/ctl/app.h"
#include "client/ctl/input.h"
#include "client/ctl/output.h"

namespace meshgate::ctl {
namespace {

// Several times what a commit may hold: JSON and quotes take their part.
constexpr size_t kMaxInput = 4 << 20;

struct Operations {
  v1::CommitConfigRequest request;
  // Of each operation, counted from 1; empty where they did not come as lines.
  std::vector<size_t> lines;
};

absl::Status AddOperation(const std::vector<std::string>& words, v1::CommitConfigRequest* request) {
  absl::StatusOr<CommandArgs> parsed = ParseOperation(words);
  if (!parsed.ok()) return parsed.status();
  if (const auto* remove = std::get_if<DelArgs>(&*parsed)) {
    *request->add_operations()->mutable_delete_() = remove->request;
    return absl::OkStatus();
  }
  const auto& put = std::get<PutArgs>(*parsed);
  if (put.source == "-") return absl::InvalidArgumentError("a value from standard input is for put alone: use @FILE");
  absl::StatusOr<std::string> value = ReadValue(put.source, nullptr);
  if (!value.ok()) return value.status();
  v1::PutConfigRequest* operation = request->add_operations()->mutable_put();
  *operation = put.request;
  operation->set_value(*std::move(value));
  return absl::OkStatus();
}

absl::StatusOr<Operations> ParseLines(const std::string& text, const std::string& name) {
  Operations operations;
  size_t number = 0;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n'))) {
    ++number;
    auto words = SplitWords(line);
    if (words.ok() && words->empty()) continue;
    const absl::Status added = words.ok() ? AddOperation(*words, &operations.request) : words.status();
    if (!added.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ", line ", number, ": ", added.message()));
    }
    operations.lines.push_back(number);
  }
  return operations;
}

absl::StatusOr<Operations> ParseJson(const std::string& text, const std::string& name) {
  Operations operations;
  const auto parsed = google::protobuf::util::JsonStringToMessage(text, &operations.request);
  if (parsed.ok()) return operations;
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is not a CommitConfigRequest in JSON: ", std::string(parsed.message())));
}

// "operations[3]..." is the fourth line that has an operation: says so, for whoever wrote them.
void SayLine(const absl::Status& failed, const std::vector<size_t>& lines, const std::string& name, std::ostream& err) {
  absl::string_view message = failed.message();
  size_t operation = 0;
  const size_t end = message.find(']');
  constexpr absl::string_view kOperations = "operations[";
  if (!absl::StartsWith(message, kOperations) || end == absl::string_view::npos ||
      !absl::SimpleAtoi(message.substr(kOperations.size(), end - kOperations.size()), &operation) ||
      operation >= lines.size()) {
    return;
  }
  err << "meshgatectl: commit: operations[" << operation << "] is line " << lines[operation] << " of " << name
      << std::endl;
}

}  // namespace

Outcome Run(const CommitArgs& args, const Context& context) {
  const std::string name = args.source == "-" ? "standard input" : args.source;
  const auto text = ReadSource(args.source, context.environment->in, kMaxInput, "a commit");
  if (!text.ok()) return {text.status(), true};
  const bool json = absl::StartsWith(absl::StripLeadingAsciiWhitespace(*text), "{");
  auto operations = json ? ParseJson(*text, name) : ParseLines(*text, name);
  if (!operations.ok()) return {operations.status(), true};
  v1::CommitConfigRequest& request = operations->request;
  if (request.operations().empty()) return {absl::InvalidArgumentError(absl::StrCat("no operation in ", name)), true};
  if (!args.request.datacenter().empty()) request.set_datacenter(args.request.datacenter());

  const auto response = context.client->CommitConfig(request, context.call);
  if (!response.ok()) {
    SayLine(response.status(), operations->lines, name, *context.environment->err);
    return {response.status()};
  }
  if (context.format == Format::kJson) {
    PrintJson(*response, *context.environment->out);
    return {};
  }
  for (const v1::ConfigEntry& entry : response->entries()) PrintWritten(entry, *context.environment->out);
  return {};
}

}  // namespace meshgate::ctl
