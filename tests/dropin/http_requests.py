"""The script of requests as a program makes them that has no library, by curl: status, headers and body."""
import json

FORM = ("-H", "Content-Type: application/x-www-form-urlencoded")


def run(world):
    reads(world)
    writes(world)
    blocking_queries(world)
    transactions(world)
    sessions(world)
    agent(world)
    catalog_and_health(world)
    what_is_not_there(world)


def reads(world):
    world.http("PUT", "/v1/kv/http/a?flags=42", "-d", "value")
    for parameters in ("", "?raw", "?pretty", "?keys", "?recurse", "?stale", "?consistent", "?stale&consistent", "?dc=dc1",
                       "?dc=nowhere", "?index=abc", "?wait=1", "?index=1&wait=abc", "?separator=/", "?keys&separator=/",
                       "?cached", "?unknown=1", "?token=", "?raw&pretty"):
        world.http("GET", f"/v1/kv/http/a{parameters}")
    world.http("GET", "/v1/kv/http/missing")
    world.http("GET", "/v1/kv/http/missing?raw")
    world.http("GET", "/v1/kv/http/missing?recurse")
    world.http("GET", "/v1/kv/http/missing?keys")
    world.http("GET", "/v1/kv/")
    world.http("GET", "/v1/kv/?keys")
    world.http("GET", "/v1/kv/?recurse")
    world.http("GET", "/v1/kv")
    world.http("GET", "/v1/kv/http/a", "-H", "X-Consul-Token: anything")
    world.http("GET", "/v1/kv/http/a", "-H", "Authorization: Bearer anything")
    world.http("GET", "/v1/kv/http/a", "-H", "Accept: text/plain")


def writes(world):
    world.http("PUT", "/v1/kv/http/empty")
    world.http("GET", "/v1/kv/http/empty")
    world.http("PUT", "/v1/kv/http/form", *FORM, "-d", "a=b&c=d")
    world.http("GET", "/v1/kv/http/form?raw")
    world.http("PUT", "/v1/kv/http/chunked", "-H", "Transfer-Encoding: chunked", "-d", "in chunks")
    world.http("GET", "/v1/kv/http/chunked?raw")
    world.http("PUT", "/v1/kv/http/expected", "-H", "Expect: 100-continue", "-d", "x")
    world.http("PUT", "/v1/kv/http/b%20c%2Fd%3F", "-d", "odd")
    world.http("GET", "/v1/kv/http/b%20c%2Fd%3F")
    world.http("GET", "/v1/kv/http/b?keys")
    world.http("PUT", "/v1/kv//double//slash", "-d", "x")
    world.http("PUT", "/v1/kv/%2Fleading", "-d", "x")
    world.http("PUT", "/v1/kv/http/a?cas=0", "-d", "no")
    world.http("PUT", "/v1/kv/http/new?cas=0", "-d", "yes")
    world.http("PUT", "/v1/kv/http/a?cas=abc", "-d", "no")
    world.http("PUT", "/v1/kv/http/a?flags=abc", "-d", "no")
    world.http("PUT", "/v1/kv/http/a?acquire=nobody", "-d", "no")
    world.http("PUT", "/v1/kv/?flags=1", "-d", "no")
    world.write("large", "x" * 524288)
    world.http("PUT", "/v1/kv/http/large", "--data-binary", "@large")
    world.http("GET", "/v1/kv/http/large?raw", "--compressed")
    world.http("GET", "/v1/kv/http/a?raw", "--compressed")
    world.write("larger", "x" * 524289)
    world.http("PUT", "/v1/kv/http/larger", "--data-binary", "@larger")
    world.http("DELETE", "/v1/kv/http/large")
    world.http("DELETE", "/v1/kv/http/new?cas=1")
    world.http("DELETE", "/v1/kv/http/new?cas=0")
    world.http("DELETE", "/v1/kv/http/new")
    world.http("DELETE", "/v1/kv/http/new")
    world.http("DELETE", "/v1/kv/http/b?recurse")
    world.http("DELETE", "/v1/kv/")


def blocking_queries(world):
    world.http("GET", "/v1/kv/http/a?index=1&wait=10ms")
    world.http("GET", "/v1/kv/http/a?index=1000000&wait=10ms")
    world.http("GET", "/v1/kv/http/missing?index=1&wait=10ms")
    world.http("GET", "/v1/kv/http/?recurse&index=1&wait=10ms")
    world.http("GET", "/v1/kv/http/?keys&index=1000000&wait=10ms")
    world.http("GET", "/v1/kv/http/a?raw&index=1000000&wait=10ms")
    world.http("GET", "/v1/health/service/consul?index=1&wait=10ms")
    world.http("GET", "/v1/health/service/none?passing&index=1000000&wait=10ms")
    world.http("GET", "/v1/catalog/services?index=1000000&wait=10ms")


def transactions(world):
    def transact(*operations):
        world.http("PUT", "/v1/txn", "-d@-", stdin=json.dumps([{"KV": operation} for operation in operations]))

    transact({"Verb": "set", "Key": "txn/a", "Value": "eA==", "Flags": 3}, {"Verb": "get", "Key": "txn/a"})
    transact({"Verb": "set", "Key": "txn/b", "Value": "eA=="}, {"Verb": "check-not-exists", "Key": "txn/a"})
    transact({"Verb": "get", "Key": "txn/b"})
    transact({"Verb": "get-tree", "Key": "txn/"})
    transact({"Verb": "cas", "Key": "txn/a", "Index": 1, "Value": ""})
    transact({"Verb": "no-such-verb", "Key": "txn/a"})
    transact(*[{"Verb": "set", "Key": f"txn/{i}"} for i in range(65)])
    transact({"Verb": "delete-tree", "Key": "txn/"})
    world.http("PUT", "/v1/txn", "-d", "[")


def sessions(world):
    world.variables["session"] = json.loads(
        world.http("PUT", "/v1/session/create", "-d@-", stdin='{"Name": "http", "TTL": "10m"}'))["ID"]
    world.http("GET", "/v1/session/info/{session}")
    world.http("GET", "/v1/session/list")
    world.http("GET", "/v1/session/node/dropin")
    world.http("PUT", "/v1/session/renew/{session}")
    world.http("PUT", "/v1/kv/http/held?acquire={session}", "-d", "x")
    world.http("GET", "/v1/kv/http/held")
    world.http("PUT", "/v1/session/destroy/{session}")
    world.http("GET", "/v1/session/info/{session}")
    world.http("PUT", "/v1/session/renew/{session}")
    world.http("PUT", "/v1/session/create", "-d@-", stdin='{"TTL": "1s"}')
    world.http("PUT", "/v1/session/create", "-d", "[")


def agent(world):
    world.http("PUT", "/v1/agent/service/register", "-d@-", stdin=json.dumps({
        "Name": "api", "ID": "api-1", "Port": 8080, "Address": "127.0.0.1", "Tags": ["a"], "Check": {"TTL": "1h"}}))
    world.settle("/v1/health/service/api", "service:api-1")
    world.http("GET", "/v1/agent/services")
    world.http("GET", "/v1/agent/services?filter=Service==none")
    world.http("GET", "/v1/agent/services?filter=nonsense")
    world.http("GET", "/v1/agent/service/api-1")
    world.http("GET", "/v1/agent/service/none")
    world.http("GET", "/v1/agent/checks")
    world.http("PUT", "/v1/agent/check/pass/service:api-1?note=fine")
    world.http("GET", "/v1/agent/health/service/id/api-1")
    world.http("GET", "/v1/agent/health/service/name/api")
    world.http("GET", "/v1/agent/health/service/name/api?format=text")
    world.http("PUT", "/v1/agent/check/update/service:api-1", "-d@-", stdin='{"Status": "warning", "Output": "so so"}')
    world.http("GET", "/v1/agent/health/service/name/api?format=text")
    world.http("PUT", "/v1/agent/check/fail/service:api-1")
    world.http("GET", "/v1/agent/health/service/id/api-1")
    world.http("PUT", "/v1/agent/check/pass/none")
    world.http("PUT", "/v1/agent/check/register", "-d@-", stdin='{"Name": "lone", "TTL": "1h"}')
    world.http("PUT", "/v1/agent/check/register", "-d@-", stdin='{"Name": "bad", "TTL": "soon"}')
    world.http("PUT", "/v1/agent/check/deregister/lone")
    world.http("PUT", "/v1/agent/service/register", "-d@-", stdin='{"ID": "nameless"}')
    world.http("PUT", "/v1/agent/service/register", "-d", "[")
    world.http("PUT", "/v1/agent/service/maintenance/api-1")
    world.http("GET", "/v1/agent/members")


def catalog_and_health(world):
    for path in ("catalog/datacenters", "catalog/nodes", "catalog/services", "catalog/service/api", "catalog/node/dropin",
                 "catalog/node/none", "catalog/service/none", "health/node/dropin", "health/checks/api",
                 "health/state/any", "health/state/nonsense", "health/service/api?passing", "health/service/api?tag=a",
                 "health/service/api?near=_agent", "health/service/api?node-meta=a:b", "health/service/api?cached",
                 "health/service/api?filter=Service.Port==8080", "health/service/api?filter=nonsense",
                 "health/service/", "status/leader", "status/peers", "coordinate/datacenters", "event/list",
                 "query", "internal/ui/services", "operator/autopilot/configuration"):
        world.http("GET", f"/v1/{path}")
    world.http("PUT", "/v1/agent/service/deregister/api-1")
    world.http("PUT", "/v1/agent/service/deregister/api-1")
    world.settle("/v1/catalog/services", "(?s)^(?!.*api)")
    world.http("GET", "/v1/health/service/api")


def what_is_not_there(world):
    world.http("GET", "/v1/nothing")
    world.http("GET", "/v1/")
    world.http("GET", "/v1/kvs")
    world.http("GET", "/v1/acl/tokens")
    world.http("GET", "/v1/agent/service/")
