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
  libsimdjson-dev libspdlog-dev libsqlite3-dev libssl-dev libyaml-cpp-dev prometheus-cpp-dev zlib1g-dev
)

# What the tests need on top. `consul` is not among them: Debian 12 has none, see install_consul in tools/system.sh.
# shellcheck disable=SC2034
test_packages=(
  clang libclang-rt-14-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  python3-grpcio python3-h2 python3-protobuf python3-yaml
  golang-go golang-google-grpc-dev golang-goprotobuf-dev nodejs
  chromium curl docker-compose etcd-server faketime openssl prometheus shellcheck systemd
)

# The shared libraries that the two binaries are linked with, for images and hosts that only run them.
# tests/deploy holds it against the binaries.
# shellcheck disable=SC2034
runtime_packages=(
  ca-certificates
  libabsl20220623 libboost-program-options1.81.0 libcurl4 libgrpc++1.51 libnghttp2-14 libprometheus-cpp-core1.0
  libsimdjson14 libspdlog1.10 libsqlite3-0 libssl3 libyaml-cpp0.7 zlib1g
)
