"""The script of the `consul` command line."""
import json

import normal_form

SERVICE = json.dumps({"service": {
    "name": "web", "id": "web-1", "port": 8001, "address": "127.0.0.1", "tags": ["v1", "primary"],
    "meta": {"version": "1.2"}, "check": {"id": "web-1-ttl", "name": "alive", "ttl": "1h"}}})
TWO_SERVICES = json.dumps({"services": [
    {"name": "db", "id": "db-1", "port": 5432, "weights": {"passing": 3, "warning": 1}},
    {"name": "db", "id": "db-2", "port": 5433, "checks": [
        {"id": "db-2-http", "name": "asks", "http": "http://127.0.0.1:1/", "interval": "10000h"},
        {"id": "db-2-ttl", "name": "says", "ttl": "1h", "status": "passing"}]}]})


def run(world):
    keys(world)
    conditional_keys(world)
    trees(world)
    locked_keys(world)
    export_and_import(world)
    services(world)
    maintenance(world)
    watch_keys(world)
    watch_services(world)
    locks(world)
    the_rest(world)


def keys(world):
    world.run("consul kv put cli/plain hello")
    world.run("consul kv get cli/plain")
    world.run("consul kv put cli/empty")
    world.run("consul kv get cli/empty")
    world.run("consul kv put -flags=18446744073709551615 cli/flags x")
    world.run("consul kv get -detailed cli/flags")
    world.run("consul kv put cli/stdin -", stdin="from standard input\n")
    world.run("consul kv get cli/stdin")
    world.write("value", "first line\nsecond line \u00e4\n")
    world.run("consul kv put cli/file @value")
    world.run("consul kv get cli/file")
    world.run("consul kv put -base64 cli/base64 AAEC/w==")
    world.run("consul kv get -base64 cli/base64")
    world.run("consul kv put cli/base64-bad -base64 not-base64", status=1)
    world.run("consul kv put 'cli/\u00fcn\u00ef c\u00f6de?#%&+' 'odd key'")
    world.run("consul kv get 'cli/\u00fcn\u00ef c\u00f6de?#%&+'")
    world.run("consul kv put /cli/slash x", status=1)
    world.run("consul kv get cli/missing", status=1)
    world.run("consul kv get", status=1)
    world.run("consul kv get -detailed cli/missing", status=1)
    world.run("consul kv get -recurse cli/missing/")
    world.run("consul kv get -keys cli/missing/")
    world.run("consul kv get -stale cli/plain")
    world.run("consul kv get -datacenter=dc1 cli/plain")
    world.run("consul kv get -datacenter=nowhere cli/plain", status=1)
    world.run("consul kv delete cli/plain")
    world.run("consul kv get cli/plain", status=1)
    world.run("consul kv delete cli/missing")


def index_of(world, key):
    for line in world.run(f"consul kv get -detailed {key}").splitlines():
        if line.startswith("ModifyIndex"):
            return line.split()[1]
    return "0"


def conditional_keys(world):
    world.run("consul kv put cli/cas one")
    world.run("consul kv put -cas -modify-index=1 cli/cas two", status=1)
    world.variables["index"] = index_of(world, "cli/cas")
    world.run("consul kv put -cas -modify-index={index} cli/cas three")
    world.run("consul kv put -cas -modify-index={index} cli/cas four", status=1)
    world.run("consul kv get cli/cas")
    world.run("consul kv delete -cas -modify-index={index} cli/cas", status=1)
    world.variables["index"] = index_of(world, "cli/cas")
    world.run("consul kv delete -cas -modify-index={index} cli/cas")
    world.run("consul kv get cli/cas", status=1)


def trees(world):
    for key in ("a", "b/1", "b/2", "b/2/x", "c:1"):
        world.run(f"consul kv put tree/{key} {key}")
    world.run("consul kv get -recurse tree/")
    world.run("consul kv get -recurse -detailed tree/b")
    world.run("consul kv get -recurse -base64 tree/b")
    world.run("consul kv get -keys tree/")
    world.run("consul kv get -keys -separator= tree/")
    world.run("consul kv get -keys -separator=: tree/")
    world.run("consul kv get -keys -separator=/ tree/b")
    world.run("consul kv delete -recurse tree/b/")
    world.run("consul kv get -recurse tree/")
    world.run("consul kv delete -recurse tree/")
    world.run("consul kv get -recurse tree/")


def locked_keys(world):
    world.variables["session"] = json.loads(
        world.http("PUT", "/v1/session/create", "-d@-", stdin='{"Name": "cli", "LockDelay": "0s"}'))["ID"]
    world.run("consul kv put -acquire -session={session} cli/lock mine")
    world.run("consul kv get -detailed cli/lock")
    world.variables["other"] = json.loads(world.http("PUT", "/v1/session/create"))["ID"]
    world.run("consul kv put -acquire -session={other} cli/lock theirs", status=1)
    world.run("consul kv put -release -session={other} cli/lock theirs", status=1)
    world.run("consul kv put -release -session={session} cli/lock done")
    world.run("consul kv get -detailed cli/lock")
    world.run("consul kv put -acquire -session={session} cli/lock again")
    world.http("PUT", "/v1/session/destroy/{session}")
    world.http("PUT", "/v1/session/destroy/{other}")
    world.run("consul kv get -detailed cli/lock")
    world.run("consul kv put -acquire -session={session} cli/lock dead", status=1)


def export_and_import(world):
    world.run("consul kv put -flags=7 port/a 1")
    world.run("consul kv put port/b")
    exported = world.run("consul kv export port/")
    world.run("consul kv delete -recurse port/")
    world.run("consul kv import -", stdin=exported)
    world.run("consul kv get -recurse -detailed port/")
    world.write("exported", exported)
    world.run("consul kv import @exported")
    world.run("consul kv import -", stdin="[", status=1)
    world.run("consul kv export missing/")


def services(world):
    world.write("web.json", SERVICE)
    world.write("db.json", TWO_SERVICES)
    world.run("consul services register web.json")
    world.run("consul services register db.json")
    world.run("consul services register -name=cache -id=cache-1 -port=11211 -address=127.0.0.1 -tag=x -tag=y -meta=k=v")
    world.run("consul services register -name=plain")
    world.run("consul services register missing.json", status=1)
    world.settle("/v1/catalog/services", "(?s)(?=.*web)(?=.*db)(?=.*cache)(?=.*plain)")
    world.settle("/v1/health/service/db", "db-2-ttl")
    world.settle("/v1/health/service/web", "web-1-ttl")
    world.run("consul catalog datacenters")
    world.run("consul catalog nodes")
    world.run("consul catalog nodes -detailed")
    world.run("consul catalog nodes -service=web")
    world.run("consul catalog nodes -service=missing", status=0)
    world.run("consul catalog nodes -near=_agent")
    world.run("consul catalog services")
    world.run("consul catalog services -tags")
    world.run("consul catalog services -node=dropin")
    world.run("consul catalog services -node=missing", status=0)
    world.run("consul services deregister -id=plain")
    world.run("consul services deregister -id=missing")
    world.run("consul services deregister db.json")
    world.settle("/v1/catalog/services", "(?s)^(?!.*(plain|db))")
    world.run("consul catalog services")


def maintenance(world):
    world.run("consul maint")
    world.run("consul maint -enable -service=web-1 -reason='an upgrade: 50% & more'")
    world.run("consul maint")
    world.settle("/v1/health/service/web", "_service_maintenance")
    world.http("GET", "/v1/health/service/web")
    world.run("consul maint -disable -service=web-1")
    world.settle("/v1/health/service/web", "(?s)^(?!.*_service_maintenance)")
    world.run("consul maint")
    world.run("consul maint -enable -service=missing", status=1)
    world.run("consul maint -enable")
    world.run("consul maint")
    world.run("consul maint -disable")


def watch(world, arguments, changes):
    """`consul watch` without a handler, which prints the state and ends, and with one, called for the state and changes."""
    world.run(f"consul watch {arguments}")
    told = f"told-{len(world.outcomes)}"
    watcher = world.start(f"consul watch {arguments} 'cat >>{told}'")
    world.await_lines(told, 1)
    for count, change in enumerate(changes, 2):
        change()
        world.await_lines(told, count)
    watcher.kill()
    world.tell(f"consul watch {arguments}: what its handler is told",
               world.plain("\n".join(normal_form.of(json.loads(line)) for line in world.read(told).splitlines())))


def watch_keys(world):
    def put(key, value):
        return lambda: world.run(f"consul kv put {key} {value}")

    def delete(key):
        return lambda: world.run(f"consul kv delete {key}")

    world.run("consul kv put watched/key one")
    watch(world, "-type=key -key=watched/key", [put("watched/key", "two"), delete("watched/key"), put("watched/key", "3")])
    watch(world, "-type=key -key=watched/new", [put("watched/new", "one")])
    watch(world, "-type=keyprefix -prefix=watched/", [put("watched/more", "x"), delete("watched/key")])
    watch(world, "-type=keyprefix -prefix=nothing/", [put("nothing/here", "x")])


def watch_services(world):
    def at_catalog(name):
        return lambda: world.http("PUT", "/v1/catalog/register", "-d@-", stdin=json.dumps({
            "Node": f"node-{name}", "Address": "127.0.0.2", "Service": {"Service": name, "Port": 80, "Tags": ["x"]},
            "Check": {"Name": "up", "CheckID": f"{name}-up", "Status": "passing", "ServiceID": name}}))

    def not_at_catalog(name):
        return lambda: world.http("PUT", "/v1/catalog/deregister", "-d@-", stdin=json.dumps({"Node": f"node-{name}"}))

    def check(status):
        return lambda: world.http("PUT", f"/v1/agent/check/{status}/web-1-ttl?note=said")

    watch(world, "-type=services", [at_catalog("far"), not_at_catalog("far")])
    watch(world, "-type=nodes", [at_catalog("near"), not_at_catalog("near")])
    watch(world, "-type=service -service=web", [check("pass"), check("warn")])
    watch(world, "-type=service -service=web -passingonly=true -tag=v1", [check("pass"), check("fail")])
    watch(world, "-type=service -service=later", [at_catalog("later"), not_at_catalog("later")])
    watch(world, "-type=checks -service=web", [check("pass")])
    watch(world, "-type=checks -state=passing", [check("fail")])
    watch(world, "-type=checks", [check("pass")])


def locks(world):
    world.run("consul lock locked/one 'echo held'")
    world.run("consul lock -child-exit-code locked/one 'exit 7'", status=2)
    world.run("consul lock -verbose -name=named locked/one 'true'")
    # The second waits for the first one.
    world.run("mkfifo go")
    first = world.start("consul lock locked/two 'echo first >>order; read line <go; echo end of first >>order'")
    world.await_lines("order", 1)
    world.http("GET", "/v1/kv/locked/two?keys")
    world.run("consul lock -timeout=300ms locked/two 'echo not me >>order'", status=1)
    second = world.start("consul lock locked/two 'echo second >>order'")
    world.settle("/v1/session/list", r"(?s)locked/two.*locked/two")
    world.run("sh -c 'echo go >go'")
    first.end()
    second.end()
    world.tell("consul lock locked/two: who held it, in order", world.read("order"))
    # Two at a time, and no third.
    world.run("mkfifo go1 go2")
    holders = [world.start(f"consul lock -n=2 locked/three 'echo held >>holders; read line <go{i}'") for i in (1, 2)]
    world.await_lines("holders", 2)
    world.run("consul lock -n=2 -timeout=300ms locked/three 'echo third >>holders'", status=1)
    world.run("sh -c 'echo go >go1; echo go >go2'")
    for holder in holders:
        holder.end()
    world.run("consul lock -n=2 locked/three 'echo fourth >>holders'")
    world.tell("consul lock -n=2 locked/three: who held it", world.read("holders"))


def the_rest(world):
    world.run("consul operator raft list-peers")
    world.run("consul members")
    world.run("consul event -name=deploy payload")
    world.run("consul snapshot save saved")
    world.run("consul kv put cli/after-snapshot x")
    world.run("consul snapshot restore saved")
    world.run("consul kv get cli/after-snapshot", status=1)
    world.run("consul kv get cli/flags")
    world.run("consul reload")
