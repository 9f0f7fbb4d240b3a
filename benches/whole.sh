#!/usr/bin/env bash
# What the whole gateway costs: CPU of its process for each sample, latency, memory, the way back after a
# kill; and Debian's vmagent passing the same load through.
#
#   benches/whole.sh [rates|latency|rules|cores|memory|recovery|vmagent]...     (all of them)
#
# Release builds of the gateway and the load generator must be there; WHOLE_SECONDS (30) is how long each
# load lasts. All is on loopback, in a temporary folder. Each line is one run of weir-loadgen on series that
# are known from a first one, which is not counted: by then (WHOLE_WARM, 100 s) three checkpoints have been
# written and the log has files to use again. Asked is more than it can take where a line says so: then
# senders keep as many requests on their way as they have connections.
set -euo pipefail
cd "$(dirname "$0")/.."

programs=${CARGO_TARGET_DIR:-$PWD/target}/release
seconds=${WHOLE_SECONDS:-30}
series=1M
folder=$(mktemp -d)
pid=
trap 'kill -9 ${pid:-} $(jobs -p) 2>/dev/null || true; wait || true; rm -rf "$folder"' EXIT

rule() { # LABELS [SELECTOR]
    printf '%s\n' "- {match: '${2:-{__name__!=\"\"\}}', interval: 10s, without: [$1], outputs: [total]}"
}

# Waits until a page of the program in $pid is there.
await() { # PATH
    for _ in $(seq 1200); do
        curl -sf "127.0.0.1:$port$1" >/dev/null && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    echo "whole.sh: nobody answers at $port:" >&2
    tail -5 "$folder"/*.log >&2
    exit 1
}

# Starts a gateway on an empty directory, with further lines of configuration; or with "again" on the one
# that is there. PIN holds it to cores.
start() {
    if [ "${1:-}" != again ]; then
        port=$((20000 + RANDOM % 8000))
        rm -rf "$folder/data"
        printf '%s\n' "listen: 127.0.0.1:$port" "data_dir: $folder/data" "rule_files: [rules.yml]" "$@" \
            >"$folder/weir.yml"
    fi
    ${PIN:+taskset -c "$PIN"} "$programs/weir-gateway" --config.file "$folder/weir.yml" >"$folder/weir.log" 2>&1 &
    pid=$!
    await /-/ready
}

stop() {
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

send() { # weir-loadgen's options; the report is in $folder/report.json
    ${PIN_LOAD:+taskset -c "$PIN_LOAD"} "$programs/weir-loadgen" run --series "$series" --target-pid "$pid" \
        --target "http://127.0.0.1:$port/${path:-api/v1/push}" --report-json "$folder/report.json" "$@" \
        >"$folder/run.log" 2>&1 || { cat "$folder/run.log"; exit 1; }
}

meet() { send --rate "${1:-6M}" --duration "${2:-${WHOLE_WARM:-100}}s" --connections 16; }

heading() {
    printf '\n%s\n' "$1"
    printf '  %-44s %9s %9s %8s %8s %8s %8s\n' "" "M/s" "M/CPU-s" "ns" "p50 ms" "p99 ms" "MiB"
}

line() { # NAME options...
    local name=$1
    shift
    send --duration "${seconds}s" "$@"
    jq -r --arg name "$name" '
        def fixed(n): . * pow(10; n) | round / pow(10; n) | tostring;
        def pad(n): (" " * ([n - length, 0] | max) // "") + .;
        "  " + $name + (" " * ([44 - ($name | length), 0] | max) // "")
        + (.rate / 1e6 | fixed(3) | pad(10)) + (.target.samples_per_cpu_second / 1e6 | fixed(2) | pad(10))
        + (1e9 / .target.samples_per_cpu_second | fixed(0) | pad(9))
        + (.service.p50 * 1e3 | fixed(2) | pad(9)) + (.service.p99 * 1e3 | fixed(1) | pad(9))
        + (.target.resident / 1048576 | fixed(0) | pad(9))' "$folder/report.json"
}

rate() { jq -r '.rate * '"$1"' | round' "$folder/report.json"; }

rates() {
    rule "pod, instance, shard" >"$folder/rules.yml"
    start && meet
    heading "Samples for each second of CPU, 1 M series, one rule"
    line "1.0, 2,000 a request, more than it takes" --rate 6M --connections 16
    line "1.0, 2,000 a request, 1 M/s" --rate 1M --connections 16
    line "1.0, 2,000 a request, 100 k/s" --rate 100k --connections 16
    line "1.0, 500 a request, more than it takes" --rate 6M --samples-per-request 500 --connections 64
    stop
    start && send --rate 6M --duration "${WHOLE_WARM:-100}s" --connections 16 --protocol 2.0
    line "2.0, 2,000 a request, more than it takes" --rate 6M --protocol 2.0 --connections 16
    stop
}

latency() {
    rule "pod, instance, shard" >"$folder/rules.yml"
    start && meet
    heading "Answers at half of what it takes"
    line "all it takes" --rate 6M --connections 16
    local half
    half=$(rate 0.5)
    sleep 15
    line "half of it" --rate "$half" --connections 16
    stop
}

rules() {
    heading "Rules, of which one takes the samples"
    for round in 1 2; do
        for count in 10 100; do
            rule "pod, instance, shard" >"$folder/rules.yml"
            for n in $(seq 2 "$count"); do
                rule "pod, instance" "{__name__=~\"other_$n.*\"}" >>"$folder/rules.yml"
            done
            start && meet 1M 20
            line "$count rules, round $round" --rate 1M --connections 16
            stop
        done
    done
}

cores() {
    rule "pod, instance, shard" >"$folder/rules.yml"
    heading "Cores (the load has core 1, and shares it in the second line)"
    PIN=0 && PIN_LOAD=1
    start && meet
    line "one core" --rate 6M --connections 64
    stop
    PIN=0,1
    start && meet
    line "two cores" --rate 6M --connections 64
    jq -r '"  the load itself took \(.own_cpu / .seconds * 100 | round / 100) cores"' "$folder/report.json"
    stop
    PIN= && PIN_LOAD=
}

memory() {
    rule "pod, instance, shard" >"$folder/rules.yml"
    start
    heading "Memory, each series every 10 s"
    # From the 40th second on all series are known, and windows have closed.
    (sleep 40 && while ps -o rss= -p "$pid"; do sleep 1; done) >"$folder/resident" 2>/dev/null &
    local watch=$!
    seconds=$((seconds * 4)) line "100 k/s" --rate 100k --connections 16
    kill "$watch" && wait "$watch" 2>/dev/null || true
    awk '{ r = $1 * 1024 / 1e6; sum += r; if (r > most) most = r }
        END { printf "  %.0f B a series, all in: the mean of %d looks; %.0f at most\n", sum / NR, NR, most }' \
        "$folder/resident"
    curl -s "127.0.0.1:$port/metrics" | grep -E '^weir_(allocator_bytes|memory_bytes|worker_memory)' | sed 's/^/  /' || true
    stop
}

checkpoints() { curl -s "127.0.0.1:$port/metrics" | awk '/^weir_checkpoints_total/ { sum += $NF } END { print sum + 0 }'; }

recovery() {
    rule "pod, instance, shard" >"$folder/rules.yml"
    printf '\nRecovery: kill -9 with a minute of log behind the last checkpoint, then from the start to ready\n'
    for rate in 100k 6M; do
        start "wal: {checkpoint_interval: 65s}"
        meet 200k 15
        until [ "$(checkpoints)" -ge 1 ]; do sleep 0.2; done
        send --rate "$rate" --duration 60s --connections 32
        local sent
        sent=$(jq -r '.rate / 1e6 * 100 | round / 100' "$folder/report.json")
        kill -9 "$pid" && wait "$pid" 2>/dev/null || true
        local began=$EPOCHREALTIME
        start again
        printf '  %s M/s before the kill: ready after %.1f s; ' "$sent" "$(echo "$EPOCHREALTIME - $began" | bc)"
        grep -o 'records=.*' "$folder/weir.log" | grep took_ms | tail -1
        stop
    done
}

vmagent() {
    port=$((20000 + RANDOM % 8000))
    local backend=127.0.0.1:$((port + 1))
    "$programs/weir-loadgen" receive --listen "$backend" >/dev/null 2>&1 &
    local receiver=$!
    command vmagent -httpListenAddr="127.0.0.1:$port" -remoteWrite.url="http://$backend/api/v1/write" \
        -remoteWrite.tmpDataPath="$folder/vmagent" >"$folder/vmagent.log" 2>&1 &
    pid=$!
    await /health
    heading "$(command vmagent -version 2>&1 | grep -o 'v1[0-9.]*' | head -1) of vmagent, passing through: no rule, no log"
    path=api/v1/write line "1.0, 2,000 a request, more than it takes" --rate 1M --connections 16
    stop
    kill "$receiver" && wait "$receiver" 2>/dev/null || true
}

echo "$(git rev-parse --short HEAD), $(nproc) cores, $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2-), load$(uptime | grep -o 'average.*' | cut -d: -f2)"
for what in "${@:-rates latency rules cores memory recovery vmagent}"; do
    for part in $what; do "$part"; done
done
