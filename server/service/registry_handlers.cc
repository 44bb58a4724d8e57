#include "server/service/registry_handlers.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "consul/base/errors.h"
#include "consul/validate.h"
#include "consul/watch/encode.h"
#include "consul/watch/state.h"
#include "server/service/convert.h"
#include "server/service/read_options.h"
#include "server/service/reader.h"
#include "server/service/validate_request.h"

namespace meshgate::server {
namespace {

// Registrations live with the gateway's own agent: no datacenter.
absl::StatusOr<consul::WriteOptions> PlanWrite(const Caller& caller) {
  consul::WriteOptions options;
  absl::StatusOr<absl::Duration> timeout = CallTimeout(caller);
  if (!timeout.ok()) return timeout.status();
  options.timeout = *timeout;
  options.token = caller.token();
  return options;
}

struct ServiceQuery {
  consul::Target target;
  consul::View view;
};

// What DiscoverRequest and WatchServiceRequest have in common.
template <typename Request>
absl::StatusOr<ServiceQuery> ParseServiceQuery(const Request& request) {
  if (absl::Status s = consul::ValidateServiceName("service", request.service()); !s.ok()) return s;
  if (absl::Status s = ValidateTags("tags", request.tags()); !s.ok()) return s;
  if (absl::Status s = ValidateLines("filter", request.filter(), kMaxFilterBytes); !s.ok()) return s;
  ServiceQuery query;
  query.target.kind = consul::TargetKind::kService;
  query.target.name = request.service();
  query.target.filter = request.filter();
  query.view.tags.assign(request.tags().begin(), request.tags().end());
  std::sort(query.view.tags.begin(), query.view.tags.end());
  query.view.tags.erase(std::unique(query.view.tags.begin(), query.view.tags.end()), query.view.tags.end());
  query.view.include_unhealthy = request.include_unhealthy();
  return query;
}

struct WatchParameters {
  ServiceQuery query;
  std::optional<consul::ResumeToken> resume;
  absl::Duration progress_interval;
};

absl::StatusOr<WatchParameters> ParseWatch(const v1::WatchServiceRequest& request) {
  absl::StatusOr<ServiceQuery> query = ParseServiceQuery(request);
  if (!query.ok()) return query.status();
  absl::StatusOr<std::optional<consul::ResumeToken>> resume = ParseResumeToken("resume_token", request.resume_token());
  if (!resume.ok()) return resume.status();
  if (absl::Status s = consul::ValidateDatacenter("datacenter", request.datacenter()); !s.ok()) return s;
  query->target.datacenter = request.datacenter();
  if (absl::Status s = ValidateText("subscriber", request.subscriber(), kMaxSubscriberBytes); !s.ok()) return s;
  absl::StatusOr<absl::Duration> progress = ParseProgressInterval("progress_interval", request.progress_interval());
  if (!progress.ok()) return progress.status();
  return WatchParameters{*std::move(query), *resume, *progress};
}

}  // namespace

void RegistryHandlers::Register(const v1::RegisterRequest& request, const Caller& caller,
                                Reply<v1::RegisterResponse> reply) {
  absl::StatusOr<consul::Registration> registration = ParseRegistration(request);
  if (!registration.ok()) return reply(registration.status());
  if (absl::Status s = holds_->check_allow().Validate(*registration); !s.ok()) return reply(std::move(s));
  absl::StatusOr<consul::WriteOptions> options = PlanWrite(caller);
  if (!options.ok()) return reply(options.status());

  auto write = [holds = holds_, registration = *registration, options = *options, identity = caller.identity,
                reply = std::move(reply)](absl::Status permitted) mutable {
    if (!permitted.ok()) return reply(std::move(permitted));
    holds->Register(registration, options,
                    [id = registration.id, identity, reply = std::move(reply)](absl::Status registered) mutable {
                      if (!registered.ok()) return reply(auth::ForCaller(identity, std::move(registered)));
                      v1::RegisterResponse response;
                      response.set_id(std::move(id));
                      reply(std::move(response));
                    });
  };
  WhenPermitted(registration->id, registration->service, caller, options->timeout, std::move(write));
}

void RegistryHandlers::Deregister(const v1::DeregisterRequest& request, const Caller& caller,
                                  Reply<v1::DeregisterResponse> reply) {
  if (absl::Status s = consul::ValidateInstanceId("id", request.id()); !s.ok()) return reply(s);
  absl::StatusOr<consul::WriteOptions> options = PlanWrite(caller);
  if (!options.ok()) return reply(options.status());

  auto write = [holds = holds_, id = request.id(), options = *options, identity = caller.identity,
                reply = std::move(reply)](absl::Status permitted) mutable {
    if (!permitted.ok()) return reply(std::move(permitted));
    holds->Deregister(id, options, [identity, reply = std::move(reply)](absl::Status deregistered) mutable {
      if (!deregistered.ok()) return reply(auth::ForCaller(identity, std::move(deregistered)));
      reply(v1::DeregisterResponse());
    });
  };
  WhenPermitted(request.id(), "", caller, options->timeout, std::move(write));
}

void RegistryHandlers::WhenPermitted(const std::string& id, const std::string& service, const Caller& caller,
                                     absl::Duration timeout, absl::AnyInvocable<void(absl::Status)> write) {
  auth::Guard* const guard = sources_.guard;
  if (guard == nullptr) return write(absl::OkStatus());
  const std::optional<std::string> held = holds_->HeldService(id);
  if (!held.has_value() && !guard->decides()) return write(absl::OkStatus());
  std::vector<std::string> services;
  if (!service.empty() && service != held) services.push_back(service);
  if (held.has_value()) services.push_back(*held);
  guard->MayWriteInstance(caller.identity, id, std::move(services), timeout, std::move(write));
}

void RegistryHandlers::Heartbeat(const v1::HeartbeatRequest& request, const Caller& caller,
                                 Reply<v1::HeartbeatResponse> reply) {
  if (absl::Status s = consul::ValidateInstanceId("id", request.id()); !s.ok()) return reply(s);
  absl::StatusOr<consul::Health> health = ParseHealth("status", request.status(), consul::Health::kPassing);
  if (!health.ok()) return reply(health.status());
  if (absl::Status s = ValidateLines("note", request.note(), kMaxNoteBytes); !s.ok()) return reply(s);
  absl::StatusOr<consul::WriteOptions> options = PlanWrite(caller);
  if (!options.ok()) return reply(options.status());

  auto report = [backend = sources_.backend, id = request.id(), health = *health, note = request.note(),
                 options = *options, identity = caller.identity,
                 reply = std::move(reply)](absl::Status permitted) mutable {
    if (!permitted.ok()) return reply(std::move(permitted));
    backend->Heartbeat(id, health, note, options, [identity, reply = std::move(reply)](absl::Status reported) mutable {
      if (!reported.ok()) return reply(auth::ForCaller(identity, std::move(reported)));
      reply(v1::HeartbeatResponse());
    });
  };
  // A heartbeat does not wait for what is held.
  if (sources_.guard == nullptr || !sources_.guard->decides()) return report(absl::OkStatus());
  WhenPermitted(request.id(), "", caller, options->timeout, std::move(report));
}

void RegistryHandlers::Discover(const v1::DiscoverRequest& request, const Caller& caller,
                                Reply<v1::DiscoverResponse> reply) {
  absl::StatusOr<ServiceQuery> query = ParseServiceQuery(request);
  if (!query.ok()) return reply(query.status());
  if (absl::Status s = ValidateText("near", request.near(), kMaxNearBytes); !s.ok()) return reply(s);
  absl::StatusOr<ReadPlan> plan = PlanRead(request.options(), caller);
  if (!plan.ok()) return reply(plan.status());

  ReadDone done = [view = std::move(query->view), reply = std::move(reply)](absl::StatusOr<ReadResult> read) mutable {
    if (!read.ok()) return reply(read.status());
    v1::DiscoverResponse response;
    const consul::SharedState seen = consul::Filter(consul::TargetKind::kService, read->state, view);
    for (const consul::Instance& instance : seen->instances) consul::ToProto(instance, response.add_instances());
    *response.mutable_info() = std::move(read->info);
    reply(std::move(response));
  };
  if (!request.near().empty()) {
    ReadNear(sources_, query->target, request.near(), *plan, std::move(done));
    return;
  }
  Read(sources_, std::move(query->target), *plan, std::move(done));
}

void RegistryHandlers::ListServices(const v1::ListServicesRequest& request, const Caller& caller,
                                    Reply<v1::ListServicesResponse> reply) {
  absl::StatusOr<ReadPlan> plan = PlanRead(request.options(), caller);
  if (!plan.ok()) return reply(plan.status());

  consul::Target target;
  target.kind = consul::TargetKind::kCatalog;
  Read(sources_, std::move(target), *plan, [reply = std::move(reply)](absl::StatusOr<ReadResult> read) mutable {
    if (!read.ok()) return reply(read.status());
    v1::ListServicesResponse response;
    for (const consul::ServiceSummary& service : read->state->services) ToApi(service, response.add_services());
    *response.mutable_info() = std::move(read->info);
    reply(std::move(response));
  });
}

void RegistryHandlers::WatchService(const v1::WatchServiceRequest& request, const Caller& caller,
                                    const std::shared_ptr<Outbox>& outbox) {
  absl::StatusOr<WatchParameters> watch = ParseWatch(request);
  if (!watch.ok()) {
    outbox->End(watch.status());
    return;
  }
  if (absl::Status taken = caller.TakeTarget(watch->query.target); !taken.ok()) {
    outbox->End(std::move(taken));
    return;
  }
  outbox->Start(
      Subscribe(sources_, caller.identity, watch->query.target, watch->query.view, watch->resume, outbox.get()),
      watch->progress_interval);
}

}  // namespace meshgate::server
