"""The version of this release: the one place that says it."""

MESHGATE_VERSION = "0.1.0"
