#!/usr/bin/env bash
# Installs the programs that the tests need beside Rust, where they are missing: the real Prometheus,
# VictoriaMetrics and etcd, systemd's own checks of units, valgrind, a C++ compiler for the fuzzer, curl,
# and libfaketime.
#
# Idempotent. Needs Debian's registry and root or sudo only when something is missing. The
# services that come with the packages are kept from starting.
set -euo pipefail

declare -A package_of=(
    [prometheus]=prometheus
    [prometheus-node-exporter]=prometheus-node-exporter
    [victoria-metrics]=victoria-metrics
    [vmagent]=victoria-metrics
    [promtool]=prometheus
    [systemd-analyze]=systemd
    [valgrind]=valgrind
    [c++]=g++
    [etcd]=etcd-server
    [curl]=curl
    [faketime]=faketime
)

missing=()
for program in "${!package_of[@]}"; do
    command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "install.sh: needs root or sudo to install: ${missing[*]}" >&2; exit 1; }
    root=(sudo)
fi

# Debian asks this program whether a service may start when its package is installed; 101 is no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    "${root[@]}" chmod 755 "$policy"
    trap '"${root[@]}" rm -f "$policy"' EXIT
fi

echo "install.sh: installing ${missing[*]}"
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
