// get, put, del and list.
#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/ctl/app.h"
#include "client/ctl/output.h"

namespace meshgate::ctl {
namespace {

// The API's limit; checked here too so that an endless input ends.
constexpr size_t kMaxValue = 524'288;

absl::StatusOr<std::string> ReadAll(std::istream& in, const std::string& name) {
  std::string value(kMaxValue + 1, '\0');
  in.read(value.data(), static_cast<std::streamsize>(value.size()));
  if (in.bad()) return absl::UnknownError(absl::StrCat("can't read ", name));
  value.resize(static_cast<size_t>(in.gcount()));
  if (value.size() > kMaxValue) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is too large: a value has at most ", kMaxValue, " bytes"));
  }
  return value;
}

absl::StatusOr<std::string> ReadValue(const std::string& source, std::istream& in) {
  if (source == "-") return ReadAll(in, "standard input");
  if (!absl::StartsWith(source, "@")) return source;
  const std::string path = source.substr(1);
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat("can't open ", path, ": ", std::strerror(errno)));
  return ReadAll(file, path);
}

}  // namespace

Outcome Run(const GetArgs& args, const Context& context) {
  const auto response = context.client->GetConfig(args.request, context.call);
  if (!response.ok()) return {response.status()};
  if (context.format == Format::kJson) {
    PrintJson(*response, *context.environment->out);
  } else {
    const std::string& value = response->entry().value();
    *context.environment->out << value;
    // Where the next prompt would stand behind it.
    if (context.environment->out_is_terminal && !absl::EndsWith(value, "\n")) *context.environment->out << "\n";
  }
  return {};
}

Outcome Run(const PutArgs& args, const Context& context) {
  const auto value = ReadValue(args.source, *context.environment->in);
  if (!value.ok()) return {value.status(), true};
  v1::PutConfigRequest request = args.request;
  request.set_value(*value);
  const auto response = context.client->PutConfig(request, context.call);
  if (!response.ok()) return {response.status()};
  if (context.format == Format::kJson) {
    PrintJson(*response, *context.environment->out);
  } else {
    *context.environment->out << request.key() << "\t" << response->entry().modify_index() << "\n";
  }
  return {};
}

Outcome Run(const DelArgs& args, const Context& context) {
  const auto response = context.client->DeleteConfig(args.request, context.call);
  if (!response.ok()) return {response.status()};
  if (context.format == Format::kJson) PrintJson(*response, *context.environment->out);
  return {};
}

Outcome Run(const ListArgs& args, const Context& context) {
  v1::ListConfigRequest request = args.request;
  while (true) {
    const auto response = context.client->ListConfig(request, context.call);
    if (!response.ok()) return {response.status()};
    for (const v1::ConfigEntry& entry : response->entries()) {
      if (context.format == Format::kJson) {
        PrintJson(entry, *context.environment->out);
      } else {
        PrintEntry(entry, request.keys_only(), *context.environment->out);
      }
    }
    if (response->next_page_token().empty() || !context.environment->out->good()) return {};
    request.set_page_token(response->next_page_token());
  }
}

}  // namespace meshgate::ctl
