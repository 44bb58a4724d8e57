"""Fuzz targets."""

def fuzz_target(name, deps, tags = []):
    """A test that runs NAME.cc over its corpus, corpus/NAME; with --config=fuzz, a fuzzer (tests/fuzz/run.sh)."""
    native.cc_test(
        name = name,
        size = "small",
        srcs = [name + ".cc"],
        args = ["tests/fuzz/corpus/" + name],
        data = native.glob(["corpus/" + name + "/*"]),
        linkopts = select({
            ":libfuzzer": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        tags = ["fuzz"] + tags,
        deps = deps + [":input"] + select({
            ":libfuzzer": [],
            "//conditions:default": [":replay"],
        }),
    )
