#include <limits>

#include "meshgate/v1/registry_service.pb.h"
#include "tests/testing/bad_input_table.h"

namespace meshgate::testing::bad_input {
namespace {

void AddInstances(Table& table) {
  const auto wire = [](const std::string& instance) { return Field<v1::RegisterRequest>("instance", instance); };
  v1::ServiceInstance web;
  web.set_service("web");
  const auto add = [&](const std::string& what, const std::string& field, auto change) {
    v1::RegisterRequest request;
    *request.mutable_instance() = web;
    change(request.mutable_instance());
    table.Add("Register", what, field, request);
  };

  table.Add("Register", "NoInstance", "instance", v1::RegisterRequest());
  for (const Named& name : BadServiceNames()) {
    table.Add("Register", absl::StrCat("Service", name.name), "instance.service",
              wire(Field<v1::ServiceInstance>("service", name.bytes)));
  }
  for (const Named& id : BadInstanceIds()) {
    table.Add("Register", absl::StrCat("Id", id.name), "instance.id",
              wire(web.SerializeAsString() + Field<v1::ServiceInstance>("id", id.bytes)));
  }
  for (uint32_t port : {65536u, 70000u, 4294967295u}) {
    add(absl::StrCat("Port", port), "instance.port", [port](v1::ServiceInstance* i) { i->set_port(port); });
  }
  add("AddressNoHost", "instance.address", [](v1::ServiceInstance* i) { i->set_address("no host"); });
  add("AddressWithPort", "instance.address", [](v1::ServiceInstance* i) { i->set_address("10.0.0.1:80"); });
  table.Add("Register", "AddressNotUtf8", "instance.address",
            wire(web.SerializeAsString() + Field<v1::ServiceInstance>("address", "\xff")));
  add("TagEmpty", "instance.tags[1]", [](v1::ServiceInstance* i) {
    i->add_tags("v1");
    i->add_tags("");
  });
  add("TagTooLong", "instance.tags[0]", [](v1::ServiceInstance* i) { i->add_tags(std::string(256, 't')); });
  add("TagsTooMany", "instance.tags", [](v1::ServiceInstance* i) {
    for (int n = 0; n < 65; ++n) i->add_tags(absl::StrCat("tag", n));
  });
  add("TagControlCharacter", "instance.tags[0]", [](v1::ServiceInstance* i) { i->add_tags("a\tb"); });
  table.Add("Register", "TagNotUtf8", "instance.tags[1]",
            wire(web.SerializeAsString() + Field<v1::ServiceInstance>("tags", "v1") +
                 Field<v1::ServiceInstance>("tags", "\xff")));
  add("MetaTooMany", "instance.meta", [](v1::ServiceInstance* i) {
    for (int n = 0; n < 65; ++n) (*i->mutable_meta())[absl::StrCat("key", n)] = "value";
  });
  add("MetaKey", "instance.meta", [](v1::ServiceInstance* i) { (*i->mutable_meta())["a b"] = "value"; });
  add("MetaKeyEmpty", "instance.meta", [](v1::ServiceInstance* i) { (*i->mutable_meta())[""] = "value"; });
  add("MetaKeyReserved", "instance.meta[consul-x]",
      [](v1::ServiceInstance* i) { (*i->mutable_meta())["consul-x"] = "value"; });
  add("MetaValueTooLong", "instance.meta[a]",
      [](v1::ServiceInstance* i) { (*i->mutable_meta())["a"] = std::string(513, 'v'); });
  table.Add("Register", "MetaValueNotUtf8", "instance.meta",
            wire(web.SerializeAsString() + Field<v1::ServiceInstance>("meta", "\x0a\x01k\x12\x01\xff")));
  table.Add("Register", "MetaKeyNotUtf8", "instance.meta",
            wire(web.SerializeAsString() + Field<v1::ServiceInstance>("meta", "\x0a\x01\xff\x12\x01v")));
  for (int32_t weight : {0, -1, 65536}) {
    add(absl::StrCat("WeightPassing", weight), "instance.weights.passing",
        [weight](v1::ServiceInstance* i) { i->mutable_weights()->set_passing(weight); });
  }
  for (int32_t weight : {-1, 65536}) {
    add(absl::StrCat("WeightWarning", weight), "instance.weights.warning", [weight](v1::ServiceInstance* i) {
      i->mutable_weights()->set_passing(1);
      i->mutable_weights()->set_warning(weight);
    });
  }
  table.AddMalformed("Register");
}

void AddChecks(Table& table) {
  v1::HealthCheck ttl;
  *ttl.mutable_ttl() = Length(15);
  v1::HealthCheck http;
  http.mutable_http()->set_url("http://10.0.0.1:8080/healthz");
  *http.mutable_interval() = Length(10);
  const auto add = [&](const std::string& what, const std::string& field, const v1::HealthCheck& valid, auto change) {
    v1::RegisterRequest request;
    request.mutable_instance()->set_service("web");
    *request.add_checks() = valid;
    change(request.mutable_checks(0));
    table.Add("Register", absl::StrCat("Check", what), absl::StrCat("checks[0].", field), request);
  };
  using Check = v1::HealthCheck;

  add("NoProbe", "probe", ttl, [](Check* c) { c->clear_probe(); });
  add("TtlNegative", "ttl", ttl, [](Check* c) { *c->mutable_ttl() = Length(-15); });
  add("TtlZero", "ttl", ttl, [](Check* c) { *c->mutable_ttl() = Length(0); });
  add("TtlMalformed", "ttl", ttl, [](Check* c) { *c->mutable_ttl() = Length(15, -1); });
  add("TtlEndless", "ttl", ttl, [](Check* c) { *c->mutable_ttl() = Length(std::numeric_limits<int64_t>::max()); });
  add("TtlWithInterval", "interval", ttl, [](Check* c) { *c->mutable_interval() = Length(10); });
  add("HttpUrlEmpty", "http.url", http, [](Check* c) { c->mutable_http()->clear_url(); });
  add("HttpUrlFile", "http.url", http, [](Check* c) { c->mutable_http()->set_url("file:///etc/passwd"); });
  add("HttpUrlCredentials", "http.url", http, [](Check* c) { c->mutable_http()->set_url("http://a:b@10.0.0.1/"); });
  add("HttpUrlLinkLocal", "http.url", http, [](Check* c) { c->mutable_http()->set_url("http://169.254.169.254/x"); });
  add("HttpUrlLinkLocalV6", "http.url", http, [](Check* c) { c->mutable_http()->set_url("http://[fe80::1]/"); });
  add("HttpUrlLinkLocalNumber", "http.url", http, [](Check* c) { c->mutable_http()->set_url("http://2852039166/"); });
  add("TcpLinkLocal", "tcp.address", http, [](Check* c) { c->mutable_tcp()->set_address("169.254.169.254:80"); });
  add("GrpcLinkLocal", "grpc.target", http, [](Check* c) { c->mutable_grpc()->set_target("[fe80::1]:80/web"); });
  add("HttpUrlAnothers", "http.url", http, [](Check* c) { c->mutable_http()->set_url("http://10.0.0.9/"); });
  add("HttpUrlName", "http.url", http, [](Check* c) { c->mutable_http()->set_url("http://metadata.example/"); });
  add("HttpHeadersTooMany", "http.headers", http, [](Check* c) {
    for (int n = 0; n < 65; ++n) (*c->mutable_http()->mutable_headers())[absl::StrCat("x-", n)] = "v";
  });
  add("HttpHeaderNameTooLong", "http.headers", http,
      [](Check* c) { (*c->mutable_http()->mutable_headers())[std::string(257, 'x')] = "v"; });
  add("HttpHeaderValueTooLong", "http.headers[a]", http,
      [](Check* c) { (*c->mutable_http()->mutable_headers())["a"] = std::string(4097, 'v'); });
  add("HttpMethod", "http.method", http, [](Check* c) { c->mutable_http()->set_method("GET /\r\n"); });
  add("HttpHeaderName", "http.headers", http, [](Check* c) { (*c->mutable_http()->mutable_headers())["a b"] = "c"; });
  add("HttpHeaderValue", "http.headers[a]", http,
      [](Check* c) { (*c->mutable_http()->mutable_headers())["a"] = "b\r\nc: d"; });
  add("IntervalMissing", "interval", http, [](Check* c) { c->clear_interval(); });
  add("IntervalNegative", "interval", http, [](Check* c) { *c->mutable_interval() = Length(-10); });
  add("IntervalTooShort", "interval", http, [](Check* c) { *c->mutable_interval() = Length(0, 1000000); });
  add("TimeoutNegative", "timeout", http, [](Check* c) { *c->mutable_timeout() = Length(-1); });
  add("DeregisterNegative", "deregister_critical_after", http,
      [](Check* c) { *c->mutable_deregister_critical_after() = Length(-60); });
  add("DeregisterTooSoon", "deregister_critical_after", http,
      [](Check* c) { *c->mutable_deregister_critical_after() = Length(5); });
  add("TcpNoPort", "tcp.address", http, [](Check* c) { c->mutable_tcp()->set_address("10.0.0.1"); });
  add("TcpPort", "tcp.address", http, [](Check* c) { c->mutable_tcp()->set_address("10.0.0.1:65536"); });
  add("GrpcNoPort", "grpc.target", http, [](Check* c) { c->mutable_grpc()->set_target("10.0.0.1/web"); });
  add("Name", "name", http, [](Check* c) { c->set_name("a\nb"); });
  add("StatusUnknown", "initial_status", http,
      [](Check* c) { c->set_initial_status(static_cast<v1::HealthStatus>(9)); });
  add("StatusMaintenance", "initial_status", http,
      [](Check* c) { c->set_initial_status(v1::HEALTH_STATUS_MAINTENANCE); });

  v1::RegisterRequest request;
  request.mutable_instance()->set_service("web");
  *request.add_checks() = ttl;
  *request.add_checks() = ttl;
  table.Add("Register", "CheckSecondTtl", "checks[1].ttl", request);
  request.mutable_checks(1)->clear_probe();
  table.Add("Register", "CheckSecondNoProbe", "checks[1].probe", request);
  while (request.checks_size() < 65) *request.add_checks() = http;
  table.Add("Register", "CheckTooMany", "checks", request);
}

void AddHealth(Table& table) {
  std::vector<Named> ids = BadInstanceIds();
  ids.push_back({"Empty", ""});
  table.AddStrings<v1::DeregisterRequest>("Deregister", "id", ids);
  table.AddMalformed("Deregister");

  table.AddStrings<v1::HeartbeatRequest>("Heartbeat", "id", ids);
  v1::HeartbeatRequest beat;
  beat.set_id("web");
  table.AddStrings("Heartbeat", "note",
                   {{"TooLong", std::string(4097, 'n')}, {"ControlCharacter", "a\x1b[31m"}, {"NotUtf8", "\xff"}}, beat);
  for (int status : {static_cast<int>(v1::HEALTH_STATUS_MAINTENANCE), 5, -1}) {
    beat.set_status(static_cast<v1::HealthStatus>(status));
    table.Add("Heartbeat", absl::StrCat("Status", status), "status", beat);
  }
  table.AddMalformed("Heartbeat");
}

// The first message of the stream: its registration is checked as Register's is, under names that say so.
void AddHold(Table& table) {
  using Hold = v1::HoldRegistrationRequest;
  const auto wire = [](const std::string& registration) { return Field<Hold>("registration", registration); };
  v1::RegisterRequest web;
  web.mutable_instance()->set_service("web");

  table.Add("HoldRegistration", "Empty", "registration", Hold());
  table.Add("HoldRegistration", "NoInstance", "registration.instance", wire(""));
  table.Add("HoldRegistration", "IdSlash", "registration.instance.id",
            wire(web.SerializeAsString() +
                 Field<v1::RegisterRequest>("instance", Field<v1::ServiceInstance>("id", "web/1"))));
  table.Add("HoldRegistration", "TagNotUtf8", "registration.instance.tags[0]",
            wire(Field<v1::RegisterRequest>("instance", Field<v1::ServiceInstance>("tags", "\xff"))));
  for (const Named& name : BadServiceNames()) {
    table.Add("HoldRegistration", absl::StrCat("Service", name.name), "registration.instance.service",
              wire(Field<v1::RegisterRequest>("instance", Field<v1::ServiceInstance>("service", name.bytes))));
  }
  const auto add = [&](const std::string& what, const std::string& field, auto change) {
    Hold request;
    *request.mutable_registration() = web;
    change(&request);
    table.Add("HoldRegistration", what, field, request);
  };
  add("CheckTtl", "registration.checks[0].ttl",
      [](Hold* r) { *r->mutable_registration()->add_checks()->mutable_ttl() = Length(0, 1); });
  add("CheckNoProbe", "registration.checks[0].probe", [](Hold* r) { r->mutable_registration()->add_checks(); });
  add("LingerNegative", "linger", [](Hold* r) { *r->mutable_linger() = Length(-1); });
  add("LingerBarelyNegative", "linger", [](Hold* r) { *r->mutable_linger() = Length(0, -1); });
  add("LingerTooLong", "linger", [](Hold* r) { *r->mutable_linger() = Length(600, 1); });
  add("LingerMalformed", "linger", [](Hold* r) { *r->mutable_linger() = Length(1, 1000000000); });
  for (int status : {static_cast<int>(v1::HEALTH_STATUS_MAINTENANCE), 5, -1}) {
    add(absl::StrCat("Status", status), "status",
        [status](Hold* r) { r->set_status(static_cast<v1::HealthStatus>(status)); });
  }
  table.AddMalformed("HoldRegistration");
}

template <typename M>
void AddServiceQuery(Table& table, const std::string& rpc, const M& rest) {
  table.AddStrings<M>(rpc, "service", BadServiceNames());
  table.AddStrings<M>(
      rpc, "filter", {{"TooLong", std::string(4097, 'f')}, {"Nul", std::string("a\0b", 3)}, {"NotUtf8", "\xff"}}, rest);
  const std::string valid = rest.SerializeAsString() + Field<M>("tags", "v1");
  for (const Named& tag : std::vector<Named>{
           {"Empty", ""}, {"TooLong", std::string(256, 't')}, {"LineFeed", "a\nb"}, {"NotUtf8", "\xff"}}) {
    table.Add(rpc, absl::StrCat("Tag", tag.name), "tags[1]", valid + Field<M>("tags", tag.bytes));
  }
  M many = rest;
  for (int i = 0; i < 65; ++i) many.add_tags(absl::StrCat("tag", i));
  table.Add(rpc, "TooManyTags", "tags", many);
}

void AddDiscovery(Table& table) {
  v1::DiscoverRequest discover;
  discover.set_service("web");
  AddServiceQuery(table, "Discover", discover);
  table.AddStrings("Discover", "near", {{"TooLong", std::string(256, 'n')}, {"LineFeed", "a\n"}, {"NotUtf8", "\xff"}},
                   discover);
  table.AddReadOptions("Discover", discover);
  table.AddMalformed("Discover");

  v1::WatchServiceRequest watch;
  watch.set_service("web");
  AddServiceQuery(table, "WatchService", watch);
  table.AddStreamFields("WatchService", watch);
  table.AddMalformed("WatchService");

  table.AddReadOptions<v1::ListServicesRequest>("ListServices");
  table.AddMalformed("ListServices");
}

}  // namespace

void AddRegistryService(Table& table) {
  AddInstances(table);
  AddChecks(table);
  AddHealth(table);
  AddHold(table);
  AddDiscovery(table);
}

}  // namespace meshgate::testing::bad_input
