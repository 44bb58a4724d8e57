#!/usr/bin/env bash
# Builds and runs the gateway on its embedded store: from a bare Debian 12 with git, in one command.
#
#   ./deploy/run.sh [FLAGS OF THE GATEWAY]        e.g. ./deploy/run.sh --backend=consul --log_format=json
#
# Installs the Debian packages that are missing (as root, or with sudo), builds what has changed, and becomes the
# gateway: Ctrl-C stops it cleanly. The binaries are bin/meshgate and bin/meshgatectl.
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

# The value of a flag among the arguments, else of its environment variable, else its default.
setting() {
  local name=$1 fallback=$2 value
  shift 2
  local variable=MESHGATE_${name^^}
  value=${!variable:-$fallback}
  while (($#)); do
    case $1 in
      "--$name="*) value=${1#*=} ;;
      "--$name") value=${2:-$value} ;;
    esac
    shift
  done
  printf '%s\n' "$value"
}

install_packages "${build_packages[@]}"

stamp=bin/.stamp
current=$(fingerprint)
if [[ ! -x bin/meshgate || ! -x bin/meshgatectl || $(cat "$stamp" 2>/dev/null) != "$current" ]]; then
  build
  printf '%s\n' "$current" >"$stamp"
fi

for argument in "$@"; do
  case $argument in
    --help | --help_markdown | --version) exec bin/meshgate "$@" ;;
  esac
done

grpc=$(setting grpc_listen 127.0.0.1:50051 "$@")
http=$(setting http_listen 127.0.0.1:8080 "$@")
grpc=${grpc%%,*}
endpoint=
if [[ $grpc != 127.0.0.1:50051 ]]; then endpoint=" --endpoint ${grpc/#0.0.0.0:/127.0.0.1:}"; fi
cat >&2 <<TEXT

meshgate: gRPC on $grpc, HTTP (probes and metrics) on http://$http
Once it says "listening", try in another terminal, in $PWD:

  bin/meshgatectl put demo/greeting hello$endpoint
  bin/meshgatectl get demo/greeting$endpoint
  bin/meshgatectl watch --prefix demo/$endpoint

Ctrl-C stops it.

TEXT
exec bin/meshgate "$@"
