// register, heartbeat, deregister, discover and services.
#include "client/ctl/app.h"
#include "client/ctl/output.h"

namespace meshgate::ctl {

Outcome Run(const RegisterArgs& args, const Context& context) {
  const auto response = context.client->Register(args.request, context.call);
  if (!response.ok()) return {response.status()};
  if (context.format == Format::kJson) {
    PrintJson(*response, *context.environment->out);
  } else {
    *context.environment->out << response->id() << "\n";
  }
  return {};
}

Outcome Run(const DeregisterArgs& args, const Context& context) {
  const auto response = context.client->Deregister(args.request, context.call);
  if (!response.ok()) return {response.status()};
  if (context.format == Format::kJson) PrintJson(*response, *context.environment->out);
  return {};
}

Outcome Run(const HeartbeatArgs& args, const Context& context) {
  const auto response = context.client->Heartbeat(args.request, context.call);
  if (!response.ok()) return {response.status()};
  if (context.format == Format::kJson) PrintJson(*response, *context.environment->out);
  return {};
}

Outcome Run(const DiscoverArgs& args, const Context& context) {
  const auto response = context.client->Discover(args.request, context.call);
  if (!response.ok()) return {response.status()};
  if (context.format == Format::kJson) {
    PrintJson(*response, *context.environment->out);
  } else {
    for (const auto& instance : response->instances()) PrintInstance(instance, *context.environment->out);
  }
  return {};
}

Outcome Run(const ServicesArgs& args, const Context& context) {
  const auto response = context.client->ListServices(args.request, context.call);
  if (!response.ok()) return {response.status()};
  if (context.format == Format::kJson) {
    PrintJson(*response, *context.environment->out);
  } else {
    for (const auto& service : response->services()) PrintService(service, *context.environment->out);
  }
  return {};
}

}  // namespace meshgate::ctl
