// An answer of Consul about a large service: from its JSON to what is different.
#include <benchmark/benchmark.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "consul/http/parse.h"
#include "consul/watch/state.h"

namespace meshgate::consul {
namespace {

constexpr int kInstances = 1000;

// /v1/health/service/ as an agent answers, with the fields that we do not use as well.
std::string HealthOfService(int instances) {
  std::string body = "[";
  for (int i = 0; i < instances; ++i) {
    const std::string node = absl::StrFormat("node-%04d", i), id = absl::StrFormat("orders-%04d", i);
    const auto check = [&](absl::string_view check_id, absl::string_view service) {
      return absl::StrCat(R"({"Node":")", node, R"(","CheckID":")", check_id, R"(","Name":"Check of )", check_id,
                          R"(","Status":"passing","Notes":"","Output":"HTTP GET http://10.0.0.1:8080/health: 200 OK )"
                          R"(Output: ok","ServiceID":")",
                          service, R"(","ServiceName":"orders","ServiceTags":["v1"],"Type":"http","Definition":{},)",
                          R"("CreateIndex":)", 100 + i, R"(,"ModifyIndex":)", 5000 + i, "}");
    };
    absl::StrAppend(&body, i == 0 ? "" : ",", R"({"Node":{"ID":"8ab2c2f8-6b1f-4b8a-9f5e-0123456789ab","Node":")", node,
                    R"(","Address":"10.0.)", i / 256, ".", i % 256,
                    R"(","Datacenter":"dc1","TaggedAddresses":{"lan":"10.0.0.1","wan":"10.0.0.1"},)",
                    R"("Meta":{"consul-network-segment":""},"CreateIndex":)", 10 + i, R"(,"ModifyIndex":)", 11 + i,
                    R"(},"Service":{"ID":")", id, R"(","Service":"orders","Tags":["primary","v1"],"Address":"",)",
                    R"("Meta":{"version":"1.2.3","zone":"a"},"Port":8080,"Weights":{"Passing":1,"Warning":1},)",
                    R"("EnableTagOverride":false,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},)",
                    R"("CreateIndex":)", 100 + i, R"(,"ModifyIndex":)", 5000 + i, R"(},"Checks":[)",
                    check("serfHealth", ""), ",", check("service:" + id, id), "]}");
  }
  return body + "]";
}

State StateOf(const std::string& body) {
  State state;
  state.instances = *http::ParseInstances(body);
  return state;
}

void ParseService(benchmark::State& state) {
  const std::string body = HealthOfService(kInstances);
  if (const auto parsed = http::ParseInstances(body); !parsed.ok() || parsed->size() != kInstances) {
    return state.SkipWithError("the answer is not parsed");
  }
  for (auto _ : state) benchmark::DoNotOptimize(http::ParseInstances(body));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(body.size()));
}
BENCHMARK(ParseService);

// With so many instances that have changed: 0 is what most returns of a query bring.
void DiffService(benchmark::State& state) {
  const State before = StateOf(HealthOfService(kInstances));
  State after = before;
  for (int64_t i = 0; i < state.range(0); ++i) {
    Instance& instance = after.instances[static_cast<size_t>(i * kInstances / state.range(0))];
    instance.health = Health::kCritical;
  }
  if (Diff(TargetKind::kService, before, after).size() != static_cast<size_t>(state.range(0))) {
    return state.SkipWithError("the difference is wrong");
  }
  for (auto _ : state) benchmark::DoNotOptimize(Diff(TargetKind::kService, before, after));
}
BENCHMARK(DiffService)->Arg(0)->Arg(1)->Arg(kInstances);

}  // namespace
}  // namespace meshgate::consul
