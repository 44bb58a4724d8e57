// What ConsulBackend asks of the agent: instances and their checks.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "consul/base/errors.h"
#include "consul/check_names.h"
#include "consul/http/bodies.h"
#include "consul/http/consul_backend.h"
#include "consul/http/parse.h"
#include "consul/http/paths.h"
#include "consul/http/status_map.h"

namespace meshgate::consul::http {
namespace {

Request Look(const std::string& id) {
  Request request;
  request.target = Target("/v1/agent/service/").Segment(id).str();
  return request;
}

Request UpdateCheck(const std::string& check_id, const std::string& body) {
  Request request;
  request.method = Method::kPut;
  request.target = Target("/v1/agent/check/update/").Segment(check_id).str();
  request.body = body;
  return request;
}

Request RegisterRequest(std::string body) {
  Request request;
  request.method = Method::kPut;
  // Without it the checks of an instance that is replaced stay.
  request.target = Target("/v1/agent/service/register").Query("replace-existing-checks", "true").str();
  request.body = std::move(body);
  return request;
}

// An agent that is too old. Agents may differ, so none is taken for old because another was.
bool RefusesToDisableRedirects(const absl::Status& status) {
  return absl::IsInvalidArgument(status) && absl::StrContains(status.message(), "unknown field \"DisableRedirects\"");
}

}  // namespace

CallHandle ConsulBackend::Register(const Registration& registration, const WriteOptions& options, DoneCallback done) {
  const ActiveCallHandle call = calls_.Begin(options.timeout, options.token);
  SendWrite(call, Endpoint::kAgentService, RegisterRequest(RegistrationBody(registration)),
            [this, call, older = RegistrationBody(registration, /*disable_redirects=*/false),
             done = std::move(done)](absl::Status status) mutable {
              if (!RefusesToDisableRedirects(status)) return done(std::move(status));
              SendWrite(call, Endpoint::kAgentService, RegisterRequest(std::move(older)), std::move(done));
            });
  return call;
}

CallHandle ConsulBackend::Deregister(const std::string& id, const WriteOptions& options, DoneCallback done) {
  const ActiveCallHandle call = calls_.Begin(options.timeout, options.token);
  calls_.Send(call, Endpoint::kAgentService, Look(id),
              [this, call, id, done = std::move(done)](Response response, absl::Time) mutable {
                absl::Status status = StatusOf({Endpoint::kAgentService}, response);
                if (!status.ok()) return done(std::move(status));
                Request request;
                request.method = Method::kPut;
                request.target = Target("/v1/agent/service/deregister/").Segment(id).str();
                SendWrite(call, Endpoint::kAgentService, std::move(request), std::move(done));
              });
  return call;
}

CallHandle ConsulBackend::FindService(const std::string& id, const ReadOptions& options, Callback<std::string> done) {
  const ActiveCallHandle call = calls_.Begin(options.timeout, options.token);
  calls_.Send(call, Endpoint::kAgentService, Look(id), [done = std::move(done)](Response response, absl::Time) mutable {
    if (absl::Status status = StatusOf({Endpoint::kAgentService}, response); !status.ok()) {
      return done(std::move(status));
    }
    done(ParseAgentService(std::move(response.body)));
  });
  return call;
}

CallHandle ConsulBackend::Heartbeat(const std::string& id, Health health, const std::string& note,
                                    const WriteOptions& options, DoneCallback done) {
  const ActiveCallHandle call = calls_.Begin(options.timeout, options.token);
  if (health == Health::kMaintenance) {
    calls_.Post([done = std::move(done)]() mutable {
      done(InvalidField("status", "maintenance can't be reported by a heartbeat; report passing, warning or critical"));
    });
    return call;
  }
  std::string body = CheckUpdateBody(health, note);
  Request request = UpdateCheck(TtlCheckId(id), body);
  SendWrite(call, Endpoint::kAgentCheck, std::move(request),
            [this, call, id, body = std::move(body), done = std::move(done)](absl::Status status) mutable {
              if (ReasonOf(status) != reason::kNoTtlCheck) return done(std::move(status));
              FindTtlChecks(call, id, body, std::move(done));
            });
  return call;
}

// The instance is gone, or was registered by another tool whose checks have other ids.
void ConsulBackend::FindTtlChecks(const ActiveCallHandle& call, const std::string& id, const std::string& body,
                                  DoneCallback done) {
  calls_.Send(call, Endpoint::kAgentService, Look(id),
              [this, call, id, body, done = std::move(done)](Response response, absl::Time) mutable {
                if (absl::Status status = StatusOf({Endpoint::kAgentService}, response); !status.ok())
                  return done(std::move(status));
                Request request;
                request.target = "/v1/agent/checks";
                calls_.Send(call, Endpoint::kAgentCheck, std::move(request),
                            [this, call, id, body, done = std::move(done)](Response response, absl::Time) mutable {
                              absl::Status status = StatusOf({Endpoint::kAgentCheck}, response);
                              if (!status.ok()) return done(std::move(status));
                              absl::StatusOr<std::vector<std::string>> checks =
                                  ParseTtlChecks(std::move(response.body), id);
                              if (!checks.ok()) return done(std::move(checks).status());
                              if (checks->empty()) {
                                return done(MakeError(absl::StatusCode::kFailedPrecondition, reason::kNoTtlCheck,
                                                      "the instance has no TTL check; register it with one"));
                              }
                              UpdateChecks(call, *std::move(checks), body, std::move(done));
                            });
              });
}

void ConsulBackend::UpdateChecks(const ActiveCallHandle& call, std::vector<std::string> check_ids,
                                 const std::string& body, DoneCallback done) {
  Request request = UpdateCheck(check_ids.back(), body);
  check_ids.pop_back();
  SendWrite(call, Endpoint::kAgentCheck, std::move(request),
            [this, call, check_ids = std::move(check_ids), body, done = std::move(done)](absl::Status status) mutable {
              if (!status.ok() || check_ids.empty()) return done(std::move(status));
              UpdateChecks(call, std::move(check_ids), body, std::move(done));
            });
}

}  // namespace meshgate::consul::http
