// get, put, del and list.
#include "absl/strings/match.h"
#include "client/ctl/app.h"
#include "client/ctl/input.h"
#include "client/ctl/output.h"

namespace meshgate::ctl {

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
  const auto value = ReadValue(args.source, context.environment->in);
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
