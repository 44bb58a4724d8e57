"""What two runs of one script may differ in, and nothing else.

Each rule has a pattern and what stands for it, so that what is there at all, and where, is still compared.
"""
import json
import re
from collections import namedtuple

Rule = namedtuple("Rule", "reason pattern replacement")

RULES = [
    Rule("Sessions, nodes and servers are named at random.",
         r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
    Rule("The command line shows the first eight digits of a node's.", r"(?m)(?<=^dropin  )[0-9a-f]{8}\b", "<node>"),
    Rule("Milliseconds since the leader was heard of.", r"(?m)^x-consul-lastcontact: \d+", "x-consul-lastcontact: <ms>"),
    Rule("A digest over all that is compared here, indexes included.",
         r'(?m)(^x-consul-contenthash: |"ContentHash": ?")[0-9a-f]{16}', r"\1<hash>"),
    Rule("Where a run keeps its files.", r"/[^\s:'\"]*/world-[^/\s]*", "<folder>"),
    Rule("The time of day, as logs and HTTP have it.",
         r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d[.\d]*(?:Z|[-+]\d\d:?\d\d)?", "<time>"),
]

# Each store counts its own writes, and those of the agent itself depend on the time. What the script alone writes, keys,
# is compared in which indexes of an outcome are the same, and which are greater: they are numbered from 1.
_INDEX = re.compile(r'((?:(?:Create|Modify)Index"?:? *|"Index": ?|(?:to|at) index |(?:^|(?<=\n))x-consul-index: ))(\d+)')

# Headers about one connection or one message on its way. What they mean is compared: the body.
HEADERS_OF_A_HOP = ("connection", "content-encoding", "content-length", "date", "keep-alive", "transfer-encoding", "vary")

# Headers that say which of several ways an answer was found; an agent's cache is not the gateway's.
HEADERS_OF_A_WAY = ("age", "x-cache", "x-consul-effective-consistency")

# What the gateway adds to every answer of its own.
HEADERS_OF_THE_GATEWAY = ("server", "x-content-type-options", "x-request-id")

# In place of a body in the words of whoever refuses a request: the status is compared.
REFUSED = "<refused>"


def text(value):
    """Text with the rules applied."""
    order = sorted({int(index) for _, index in _INDEX.findall(value)})
    of_keys = "LockIndex" in value
    value = _INDEX.sub(lambda found: f"{found[1]}<index {order.index(int(found[2])) + 1 if of_keys else ''}>", value)
    for rule in RULES:
        value = re.sub(rule.pattern, rule.replacement, value)
    return value


def of(value):
    """Any value that JSON can hold, as text: one line for each field, in the order of their names."""
    if isinstance(value, str):
        return text(value)
    return text(_readable(value))


def output(value):
    """What a command prints, which may be JSON."""
    try:
        return of(json.loads(value))
    except ValueError:
        return text(value)


def _readable(value):
    return json.dumps(_tags_in_order(value), indent=1, sort_keys=True, ensure_ascii=False)


def _tags_in_order(value):
    """The tags of a service's instances, taken together, come in any order: {"web": ["b", "a"]}, at any depth."""
    if isinstance(value, list):
        return [_tags_in_order(element) for element in value]
    if not isinstance(value, dict):
        return value
    if all(isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) for tags in value.values()):
        return {name: sorted(tags) for name, tags in value.items()}
    return {name: _tags_in_order(field) for name, field in value.items()}


def response(head_and_body):
    """One response of HTTP as curl -i prints it: the status, the headers in the order of their names, the body."""
    head, _, body = head_and_body.partition("\r\n\r\n")
    if head.startswith("HTTP/1.1 100"):
        # Leave to send the body; whoever asked for it may have it or not.
        head, _, body = body.partition("\r\n\r\n")
    status, *headers = head.split("\r\n")
    status = " ".join(status.split()[:2])
    kept = []
    own_words = False
    for header in headers:
        name, _, value = header.partition(":")
        own_words |= name.lower() == "x-meshgate-reason"
        if name.lower() not in HEADERS_OF_A_HOP + HEADERS_OF_A_WAY + HEADERS_OF_THE_GATEWAY:
            kept.append(f"{name.lower()}:{value}")
    if own_words:
        return f"{status}\n{REFUSED}"
    try:
        # Not how it is laid out: an agent with -dev writes every answer as with ?pretty.
        body = f"JSON:\n{_readable(json.loads(body))}"
    except ValueError:
        pass
    return text("\n".join([status, *sorted(kept), "", body]))


def same(agents, gateways):
    """Whether two outcomes are the same. Where the gateway refuses by itself, in its own words, the agent must refuse
    with the same status."""
    status, _, rest = gateways.partition("\n")
    if rest == REFUSED:
        return agents.partition("\n")[0] == status
    return agents == gateways
