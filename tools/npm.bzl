"""npm_packages: what a package-lock.json names, as the directory @NAME//:node_modules."""

def _npm_packages_impl(ctx):
    ctx.symlink(ctx.attr.package_json, "package.json")
    ctx.symlink(ctx.attr.lock, "package-lock.json")
    ctx.file("BUILD.bazel", 'exports_files(["node_modules"])\n')
    if not ctx.which("npm"):
        fail("there is no npm: tests/run.sh installs it")
    result = ctx.execute(
        # What a package would run when it is installed is not run.
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"],
        timeout = 300,
    )
    if result.return_code != 0:
        fail("npm ci fails: " + result.stdout + result.stderr)

npm_packages = repository_rule(
    implementation = _npm_packages_impl,
    attrs = {
        "package_json": attr.label(allow_single_file = True),
        "lock": attr.label(allow_single_file = True),
    },
)
