#include "tests/testing/bad_input.h"

#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "meshgate/v1/config_service.pb.h"
#include "meshgate/v1/registry_service.pb.h"
#include "server/service/page_token.h"

namespace meshgate::testing {
namespace {

using google::protobuf::Duration;
using google::protobuf::Message;

// One length-delimited field, whatever its bytes are: the generated code would refuse, or complain of, some of them.
template <typename M>
std::string Field(const std::string& name, std::string_view bytes) {
  std::string wire;
  {
    google::protobuf::io::StringOutputStream stream(&wire);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.WriteTag(static_cast<uint32_t>(M::descriptor()->FindFieldByName(name)->number()) << 3 | 2);
    out.WriteVarint32(static_cast<uint32_t>(bytes.size()));
    out.WriteString(std::string(bytes));
  }
  return wire;
}

Duration Length(int64_t seconds, int32_t nanos = 0) {
  Duration duration;
  duration.set_seconds(seconds);
  duration.set_nanos(nanos);
  return duration;
}

struct Named {
  std::string name;
  std::string bytes;
};

std::vector<Named> NotUtf8() {
  return {{"ByteFF", "a\xff"}, {"Overlong", "a\xc0\xaf"}, {"Surrogate", "a\xed\xa0\x80"}, {"CutOff", "a\xe2\x82"}};
}

// Neither a key nor a prefix.
std::vector<Named> BadPaths() {
  std::vector<Named> paths = {
      {"DotDot", "a/../b"},   {"DotDotFirst", "../agent/self"},
      {"Dot", "a/./b"},       {"DoubleSlash", "a//b"},
      {"LeadingSlash", "/a"}, {"ControlCharacter", "a\x01z"},
      {"LineFeed", "a\nb"},   {"Nul", std::string("a\0b", 3)},
      {"Delete", "a\x7f"},    {"TooLong", std::string(1025, 'k')},
  };
  for (Named& bad : NotUtf8()) paths.push_back(std::move(bad));
  return paths;
}

// As a prefix "a/.." may go on as "a/..b".
std::vector<Named> BadKeys() {
  std::vector<Named> keys = BadPaths();
  keys.push_back({"DotDotLast", "a/.."});
  return keys;
}

std::vector<Named> BadServiceNames() {
  return {{"Empty", ""},
          {"LeadingDash", "-web"},
          {"TrailingDash", "web-"},
          {"Underscore", "web_1"},
          {"Dotted", "web.prod"},
          {"Space", "we b"},
          {"Slash", "a/b"},
          {"NotAscii",
           "w\xc3\xa9"
           "b"},
          {"TooLong", std::string(64, 'w')},
          {"NotUtf8", "web\xff"}};
}

std::vector<Named> BadInstanceIds() {
  return {{"Slash", "web/1"},       {"LineFeed", "web\n1"},    {"DotDot", ".."},
          {"LeadingSpace", " web"}, {"TrailingSpace", "web "}, {"TooLong", std::string(256, 'i')},
          {"NotUtf8", "web\xff"}};
}

std::vector<Named> BadDatacenters() {
  return {{"Slash", "dc/1"}, {"Space", "dc 1"}, {"Query", "dc1&stale"}, {"NotUtf8", "dc\xff"}};
}

class Table {
 public:
  explicit Table(std::string service) : service_(std::move(service)) {}

  void Add(const std::string& rpc, const std::string& what, const std::string& field, std::string bytes) {
    rows_.push_back(
        {absl::StrCat(rpc, "_", what), absl::StrCat("/meshgate.v1.", service_, "/", rpc), std::move(bytes), field});
  }
  void Add(const std::string& rpc, const std::string& what, const std::string& field, const Message& request) {
    Add(rpc, what, field, request.SerializeAsString());
  }
  // Each of `values` in the string field `field` of a request that is otherwise `rest`.
  template <typename M>
  void AddStrings(const std::string& rpc, const std::string& field, const std::vector<Named>& values,
                  const M& rest = M()) {
    for (const Named& value : values) {
      Add(rpc, absl::StrCat(field, value.name), field, rest.SerializeAsString() + Field<M>(field, value.bytes));
    }
  }
  // For an RPC that takes ReadOptions beside `rest`.
  template <typename M>
  void AddReadOptions(const std::string& rpc, const M& rest = M());
  // For a stream, beside `rest`.
  template <typename M>
  void AddStreamFields(const std::string& rpc, const M& rest);
  // What no message is made of.
  void AddMalformed(const std::string& rpc) {
    Add(rpc, "NotProtobuf", "request", std::string("\xff\xff\xff"));
    Add(rpc, "CutOff", "request",
        std::string("\x0a\x20"
                    "abc"));
  }

  std::vector<BadInput> Take() { return std::move(rows_); }

 private:
  const std::string service_;
  std::vector<BadInput> rows_;
};

template <typename M>
void Table::AddReadOptions(const std::string& rpc, const M& rest) {
  const auto add = [&](const std::string& what, const std::string& field, auto change) {
    M request = rest;
    change(request.mutable_options());
    Add(rpc, what, field, request);
  };
  for (int unknown : {5, 99, -1}) {
    add(absl::StrCat("Consistency", unknown), "options.consistency",
        [unknown](v1::ReadOptions* o) { o->set_consistency(static_cast<v1::Consistency>(unknown)); });
  }
  add("MaxAgeNegative", "options.max_age", [](v1::ReadOptions* o) { *o->mutable_max_age() = Length(-1); });
  add("MaxAgeBarelyNegative", "options.max_age", [](v1::ReadOptions* o) { *o->mutable_max_age() = Length(0, -1); });
  add("MaxAgeMalformed", "options.max_age", [](v1::ReadOptions* o) { *o->mutable_max_age() = Length(1, 2000000000); });
  add("MaxAgeMixedSigns", "options.max_age", [](v1::ReadOptions* o) { *o->mutable_max_age() = Length(1, -1); });
  for (v1::Consistency uncached : {v1::CONSISTENCY_DEFAULT, v1::CONSISTENCY_CONSISTENT, v1::CONSISTENCY_STALE}) {
    add(absl::StrCat("MaxAgeWith", v1::Consistency_Name(uncached)), "options.max_age", [=](v1::ReadOptions* o) {
      o->set_consistency(uncached);
      *o->mutable_max_age() = Length(1);
    });
  }
  for (const Named& datacenter : BadDatacenters()) {
    Add(rpc, absl::StrCat("OptionsDatacenter", datacenter.name), "options.datacenter",
        rest.SerializeAsString() + Field<M>("options", Field<v1::ReadOptions>("datacenter", datacenter.bytes)));
  }
}

template <typename M>
void Table::AddStreamFields(const std::string& rpc, const M& rest) {
  AddStrings<M>(rpc, "datacenter", BadDatacenters(), rest);
  AddStrings<M>(rpc, "resume_token",
                {{"Junk", "junk"},
                 {"TooLong", std::string(129, 't')},
                 {"Space", "a b"},
                 {"LineFeed", "a\n"},
                 {"NotUtf8", "\xff"}},
                rest);
  AddStrings<M>(rpc, "subscriber",
                {{"TooLong", std::string(257, 's')}, {"LineFeed", "a\nb"}, {"C1", "a\xc2\x85"}, {"NotUtf8", "\xff"}},
                rest);
  const std::pair<std::string, Duration> intervals[] = {{"Negative", Length(-1)},
                                                        {"BarelyNegative", Length(0, -1)},
                                                        {"UnderASecond", Length(0, 999999999)},
                                                        {"Malformed", Length(1, 1000000000)},
                                                        {"TooLong", Length(315576000001)}};
  for (const auto& [what, interval] : intervals) {
    M request = rest;
    *request.mutable_progress_interval() = interval;
    Add(rpc, absl::StrCat("ProgressInterval", what), "progress_interval", request);
  }
}

void AddReads(Table& table) {
  table.AddStrings<v1::GetConfigRequest>("GetConfig", "key", BadKeys());
  table.Add("GetConfig", "keyEmpty", "key", v1::GetConfigRequest());
  v1::GetConfigRequest get;
  get.set_key("a");
  table.AddReadOptions("GetConfig", get);
  table.AddMalformed("GetConfig");

  table.AddStrings<v1::ListConfigRequest>("ListConfig", "prefix", BadPaths());
  table.AddReadOptions<v1::ListConfigRequest>("ListConfig");
  for (int32_t size : {-1, std::numeric_limits<int32_t>::min()}) {
    v1::ListConfigRequest list;
    list.set_page_size(size);
    table.Add("ListConfig", absl::StrCat("PageSize", size), "page_size", list);
  }
  const std::string good = server::EncodePageToken({"a/1", 7}, "a/", "");
  std::string changed = good;
  changed[changed.size() / 2] = changed[changed.size() / 2] == 'A' ? 'B' : 'A';
  v1::ListConfigRequest list;
  list.set_prefix("a/");
  table.AddStrings("ListConfig", "page_token",
                   {{"Junk", "junk"},
                    {"NotBase64", "!!!"},
                    {"OfAnotherPrefix", server::EncodePageToken({"a/1", 7}, "a", "")},
                    {"OfAnotherDatacenter", server::EncodePageToken({"a/1", 7}, "a/", "dc2")},
                    {"Changed", changed},
                    {"CutOff", good.substr(0, good.size() - 4)},
                    {"NotUtf8", "\xff"}},
                   list);
  table.AddMalformed("ListConfig");
}

void AddWrites(Table& table) {
  table.AddStrings<v1::PutConfigRequest>("PutConfig", "key", BadKeys());
  table.Add("PutConfig", "keyEmpty", "key", v1::PutConfigRequest());
  v1::PutConfigRequest put;
  put.set_key("a");
  table.AddStrings("PutConfig", "datacenter", BadDatacenters(), put);
  table.AddStrings("PutConfig", "value", {{"TooLarge", std::string(524289, 'v')}}, put);
  table.AddMalformed("PutConfig");

  table.AddStrings<v1::DeleteConfigRequest>("DeleteConfig", "key", BadKeys());
  table.AddStrings<v1::DeleteConfigRequest>("DeleteConfig", "key", {{"Empty", ""}});
  table.AddStrings<v1::DeleteConfigRequest>("DeleteConfig", "prefix", BadPaths());
  table.AddStrings<v1::DeleteConfigRequest>("DeleteConfig", "prefix", {{"Empty", ""}});
  table.Add("DeleteConfig", "NoTarget", "target", v1::DeleteConfigRequest());
  v1::DeleteConfigRequest prefix_with_index;
  prefix_with_index.set_prefix("a/");
  prefix_with_index.set_if_modify_index(0);
  table.Add("DeleteConfig", "IndexWithPrefix", "if_modify_index", prefix_with_index);
  v1::DeleteConfigRequest remove;
  remove.set_key("a");
  table.AddStrings("DeleteConfig", "datacenter", BadDatacenters(), remove);
  table.AddMalformed("DeleteConfig");
}

void AddConfigWatches(Table& table) {
  table.AddStrings<v1::WatchConfigRequest>("WatchConfig", "key", BadKeys());
  table.AddStrings<v1::WatchConfigRequest>("WatchConfig", "key", {{"Empty", ""}});
  table.AddStrings<v1::WatchConfigRequest>("WatchConfig", "prefix", BadPaths());
  table.Add("WatchConfig", "NoTarget", "target", v1::WatchConfigRequest());
  v1::WatchConfigRequest watch;
  watch.set_key("a");
  table.AddStreamFields("WatchConfig", watch);
  table.AddMalformed("WatchConfig");
}

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

std::vector<BadInput> BadInputs() {
  Table config("ConfigService");
  AddReads(config);
  AddWrites(config);
  AddConfigWatches(config);
  Table registry("RegistryService");
  AddInstances(registry);
  AddChecks(registry);
  AddHealth(registry);
  AddDiscovery(registry);

  std::vector<BadInput> all = config.Take();
  for (BadInput& input : registry.Take()) all.push_back(std::move(input));
  return all;
}

}  // namespace meshgate::testing
