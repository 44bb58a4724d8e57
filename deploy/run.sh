#!/usr/bin/env bash
# Builds and runs the gateway on its embedded store: from a bare Debian 12 with git, in one command.
#
#   ./deploy/run.sh [FLAGS OF THE GATEWAY]        e.g. ./deploy/run.sh --backend=consul --log_format=json
#
# Installs the Debian packages that are missing (as root, or with sudo), builds what has changed, and becomes the
# gateway: Ctrl-C stops it cleanly. The binaries are bin/meshgate and bin/meshgatectl. --help and --version install and
# build nothing.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/packages.sh
. tools/packages.sh
# shellcheck source=tools/system.sh
. tools/system.sh

# Changes whenever the binaries would: the sources (by name, size and time) and the libraries they are linked with.
fingerprint() {
  {
    find WORKSPACE BUILD.bazel .bazelrc client consul metrics proto server third_party tools \
      -type f -printf '%p %s %T@\n' | sort
    dpkg-query -W -f '${Package} ${Version}\n' "${build_packages[@]}"
  } | sha256sum
}

build() {
  with_progress "building meshgate (a first build takes some minutes)" "$(log_file build)" \
    "$BAZEL" build --config=opt --progress_report_interval=2 //server:meshgate //client:meshgatectl ||
    die "the build failed"
  local out
  out=$("$BAZEL" info --config=opt bazel-bin 2>/dev/null)
  mkdir -p bin
  # Beside and then over: a gateway that is running keeps its file.
  install -m 755 "$out/server/meshgate" bin/.meshgate.new && mv -f bin/.meshgate.new bin/meshgate
  install -m 755 "$out/client/meshgatectl" bin/.meshgatectl.new && mv -f bin/.meshgatectl.new bin/meshgatectl
}

for argument; do
  case $argument in
    --help | --help_markdown | --version)
      if [[ -x bin/meshgate ]]; then exec bin/meshgate "$argument"; fi
      if [[ $argument == --version ]]; then
        sed -n 's/^MESHGATE_VERSION = "\(.*\)"$/meshgate \1/p' tools/version.bzl
      else
        sed -n '2,/^\[/{/^\[/d;s/^# \{0,1\}//;p}' deploy/run.sh
        printf 'The flags are in README.md, and in bin/meshgate --help once it is built.\n'
      fi
      exit 0
      ;;
  esac
done

install_packages "${build_packages[@]}"

stamp=bin/.stamp
current=$(fingerprint)
if [[ ! -x bin/meshgate || ! -x bin/meshgatectl || $(cat "$stamp" 2>/dev/null) != "$current" ]]; then
  build
  printf '%s\n' "$current" >"$stamp"
fi

# It knows where it listens, and says on standard error what to try there.
MESHGATE_FIRST_STEPS=$PWD exec bin/meshgate "$@"
