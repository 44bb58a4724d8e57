#!/usr/bin/env bash
# Checks a kind of file below deploy/ with the tool made for it. Run by the tests of this folder, from the runfiles.
#   check.sh shell|prometheus|systemd|compose|runtime_packages [FILES...]
set -euo pipefail
kind=$1
shift

need() { command -v "$1" >/dev/null || { echo "$1 is missing: install package $2 (tests/run.sh does)" >&2; exit 1; }; }

case $kind in
  # A script that only works with one shell's luck breaks on the first machine that is not ours.
  shell)
    need shellcheck shellcheck
    shellcheck -x "$@"
    ;;

  # A rule with a typo never fires, and nobody notices until it should have.
  prometheus)
    need promtool prometheus
    promtool check config deploy/prometheus/prometheus.yml
    promtool check config deploy/prometheus/compose.yml
    # They differ in where the gateway is alone.
    diff <(grep -v '^ *#' deploy/prometheus/prometheus.yml | sed 's/127.0.0.1:8080/meshgate:8080/') \
      <(grep -v '^ *#' deploy/prometheus/compose.yml)
    cp deploy/prometheus/alerts.yml tests/deploy/alerts_test.yml "$TEST_TMPDIR"
    (cd "$TEST_TMPDIR" && promtool test rules alerts_test.yml)
    # Each alert has a test that makes it fire.
    while read -r alert; do
      grep -qE "alertname[:=] ?\"?$alert\b" tests/deploy/alerts_test.yml || { echo "$alert has no test" >&2; exit 1; }
    done < <(sed -n 's/^ *- alert: //p' deploy/prometheus/alerts.yml)
    ;;

  # systemd starts units with unknown keys, and ignores those: a hardening that is misspelt protects nothing.
  systemd)
    need systemd-analyze systemd
    unit=$TEST_TMPDIR/meshgate.service
    # The binary is not installed where the tests run.
    sed 's|^ExecStart=/usr/local/bin/meshgate |ExecStart=/bin/true |' deploy/meshgate.service >"$unit"
    grep -q '^ExecStart=/bin/true --config=' "$unit"
    said=$(systemd-analyze verify "$unit" 2>&1) || { echo "$said" >&2; exit 1; }
    [[ -z $said ]] || { echo "$said" >&2; exit 1; }
    ;;

  compose)
    need docker-compose docker-compose
    docker-compose -f deploy/compose.yaml config --quiet
    ;;

  # An image without one of the libraries builds, and then does not start.
  runtime_packages)
    . tools/packages.sh
    declare -A listed=()
    # What they bring with them, from what is installed here: the packages to build with depend on them.
    while read -r package; do listed[$package]=1; done < <(
      dpkg-query -W -f '${Package}\t${Depends}, ${Pre-Depends}\n' | sed -E 's/\([^)]*\)|:any|\|/ /g; s/,/ /g' |
        awk -F '\t' -v roots="${runtime_packages[*]}" '
          function visit(name, list, n, i) {
            if (name in seen) return
            seen[name] = 1
            n = split(needs[name], list, " ")
            for (i = 1; i <= n; i++) visit(list[i])
          }
          { needs[$1] = $2 }
          END { n = split(roots, list, " "); for (i = 1; i <= n; i++) visit(list[i]); for (name in seen) print name }')
    # The path that the loader took, and the one that the package lists: /lib is a link to /usr/lib.
    declare -A owner=()
    mapfile -t libraries < <(ldd "$@" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' |
      grep -vE 'lib(asan|ubsan|tsan|lsan)\.' | sort -u)
    while IFS=: read -r package _ path; do owner[${path# }]=$package; done < <(
      dpkg -S "${libraries[@]}" "${libraries[@]/#\/lib\//\/usr\/lib\/}" 2>/dev/null)
    status=0
    for library in "${libraries[@]}"; do
      package=${owner[$library]:-${owner[/usr$library]:-}}
      if [[ -z $package || -z ${listed[$package]:-} ]]; then
        echo "the binaries need $library (package ${package:-unknown}), which runtime_packages does not bring" >&2
        status=1
      fi
    done
    exit "$status"
    ;;

  *)
    echo "unknown check: $kind" >&2
    exit 2
    ;;
esac
