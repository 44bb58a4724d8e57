"""Metadata between the script, gRPC and what an outcome says of it."""

# Not the server's doing, or different each time.
_LEFT_OUT = ("date", "grpc-status-details-bin")


def to_grpc(entries):
    pairs = []
    for entry in entries:
        value = entry.value * max(entry.times, 1)
        pairs.append((entry.key, value if entry.key.endswith("-bin") else value.decode()))
    return pairs


def lines(pairs):
    """Ordered by key, values of one key as they came."""
    return [f"{key}: {_shown(key, value)}" for key, value in sorted(pairs, key=lambda pair: pair[0])]


def ours(pairs):
    return lines(pair for pair in pairs if pair[0].startswith("x-"))


def others(pairs):
    return lines(pair for pair in pairs if not pair[0].startswith("x-") and pair[0] not in _LEFT_OUT)


def _shown(key, value):
    if len(value) > 64:
        return f"({len(value)})"
    if key.endswith("-bin"):
        return value.hex()
    return value if isinstance(value, str) else value.decode()
