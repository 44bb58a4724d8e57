#!/bin/bash
# Builds the client with Debian's go and its packages alone, as GOPATH has them, since modules would be downloaded.
#
#   build.sh OUTPUT SOURCE...
set -euo pipefail
output=$PWD/$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/src/client"
for source in "$@"; do
  case $source in
    *.go) cp "$source" "$work/src/client/" ;;
    # One package of both; what one imports of the other is in it.
    *.proto) protos+=("$source") ;;
  esac
done
/usr/bin/protoc -I. --go_out=plugins=grpc:"$work/src" "${protos[@]}"
export GO111MODULE=off GOPATH=$work:/usr/share/gocode GOCACHE=$work/cache GOFLAGS='' HOME=$work CGO_ENABLED=0
cd "$work/src/client"
/usr/bin/go build -o "$output" client
