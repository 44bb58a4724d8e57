# shellcheck shell=bash
# The Debian 12 packages that meshgate needs, for deploy/run.sh, tests/run.sh and whoever installs them by hand:
#
#   bash -c '. tools/packages.sh; printf "%s\n" "${build_packages[@]}"'
#
# Sourced. Nothing here runs anything.

# To build and run the gateway and meshgatectl.
# shellcheck disable=SC2034
build_packages=(
  bazel-bootstrap bazel-platforms bazel-rules-java bazel-rules-proto bazel-skylib
  g++ pkg-config python3-minimal
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
  libabsl-dev libboost1.81-dev libboost-program-options1.81-dev libcurl4-openssl-dev libnghttp2-dev
  libsimdjson-dev libspdlog-dev libsqlite3-dev libssl-dev libyaml-cpp-dev prometheus-cpp-dev
)

# What the tests need on top. `consul` is not among them: Debian 12 has none, see install_consul in tools/system.sh.
# shellcheck disable=SC2034
test_packages=(
  libgtest-dev libgmock-dev libbenchmark-dev
  python3-grpcio python3-protobuf python3-yaml
  docker-compose openssl prometheus shellcheck systemd
)
