#ifndef MESHGATE_SERVER_HTTP_CONSUL_CALL_H_
#define MESHGATE_SERVER_HTTP_CONSUL_CALL_H_

#include <map>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "consul/backend.h"
#include "consul/base/mutex.h"
#include "consul/check_allow_list.h"
#include "consul/relay.h"
#include "consul/watch/hub.h"
#include "consul/watch/reader_thread.h"
#include "server/http/api/call.h"
#include "server/http/consul/parameters.h"
#include "server/http/router.h"
#include "server/service/config_handlers.h"
#include "server/service/reader.h"
#include "server/service/registry_handlers.h"

namespace meshgate::server::consul_api {

// What waits, for the end of the process: see Waiters::EndAll().
class Waiter {
 public:
  virtual ~Waiter() = default;
  // Answers now, with what there is. Any thread.
  virtual void EndWait() = 0;
};

// Thread-safe.
class Waiters {
 public:
  void Add(const std::shared_ptr<Waiter>& waiter);
  void Remove(Waiter* waiter);
  // From here on nobody waits: those who do are answered, and those who come, too.
  void EndAll();

 private:
  Mutex mu_;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::map<Waiter*, std::weak_ptr<Waiter>> waiting_ ABSL_GUARDED_BY(mu_);
};

// What requests share. All of it outlives them.
struct Sources {
  consul::Backend* backend = nullptr;
  consul::Hub* hub = nullptr;
  // Null: the store does not speak Consul's API, and is asked in our own terms.
  consul::Relay* relay = nullptr;
  api::Environment environment;
  Waiters* waiters = nullptr;
  // Of what is passed on; the handlers know of their own.
  consul::CheckAllowList check_allow;
  ConfigHandlers* config = nullptr;
  RegistryHandlers* registry = nullptr;

  auth::Guard* guard() const { return environment.guard; }
  Scheduler* scheduler() const { return environment.scheduler; }
  ReadSources reads() const { return {backend, hub, environment.guard}; }
  // Whether callers' tokens are Consul's to judge, so that what is passed on is safe to be.
  bool passes_on() const { return relay != nullptr && (guard() == nullptr || !guard()->decides()); }
};

// One request to Consul's API: who calls, its parameters, metrics, the log, and one answer. Used by one thread at a
// time.
class Request {
 public:
  // `method` and `sources` outlive it.
  Request(const MethodInfo* method, const Sources* sources, HttpRequest http, HttpReply reply);

  // What is wrong with its parameters, or does not let it in. Once, first.
  absl::Status Admit();
  // The same where it will wait for a change.
  absl::Status AdmitStream();

  const Sources& sources() const { return *sources_; }
  const HttpRequest& http() const { return http_; }
  const Parameters& parameters() const { return parameters_; }
  const Caller& caller() const { return call_.caller(); }
  // Of its connection, where it is answered.
  consul::ReaderThread* thread() const { return thread_; }
  bool is_read() const { return http_.method == "GET" || http_.method == "HEAD"; }
  // Asks for an answer that is kept back until there is news, or that does not end by itself.
  bool waits() const;
  // With what Consul is asked for this caller. `lends`: whoever has no token has the gateway's own, where nobody is
  // asked for permission.
  consul::CallToken token(bool lends) const;

  // Once. An answer is counted and logged by its status, an error by its own.
  void Answer(HttpResponse response);
  void Fail(const absl::Status& status);
  // Nobody is there to be answered any more.
  void Drop(const absl::Status& status);
  // What Drop() does beside, where nothing has been answered until then.
  void WhenDropped(absl::AnyInvocable<void()> task) { when_dropped_ = std::move(task); }
  void Leave() { call_.Leave(); }

 private:
  void End(HttpResponse response, const absl::Status& status);

  const Sources* const sources_;
  const HttpRequest http_;
  consul::ReaderThread* const thread_;
  // Set by what finds out whether they are malformed.
  Parameters parameters_;
  const absl::Status malformed_;
  std::string token_;
  api::Call call_;
  HttpReply reply_;
  absl::AnyInvocable<void()> when_dropped_;
};
using SharedRequest = std::shared_ptr<Request>;

// RESOURCE_EXHAUSTED: HttpConnection::Attach() has refused.
absl::Status TooManyWait();

// Runs `task` on the thread of a connection.
void RunOn(consul::ReaderThread* thread, absl::AnyInvocable<void()> task);

}  // namespace meshgate::server::consul_api

#endif  // MESHGATE_SERVER_HTTP_CONSUL_CALL_H_
