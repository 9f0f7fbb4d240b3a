#!/usr/bin/env bash
# What a tier costs beside one gateway: CPU of all gateways for each sample, bytes between them.
#
#   benches/tier.sh [GATEWAYS [weir-loadgen's options]]     (3 gateways; --mixed cuts every request,
#                                     --spread owners --series-per-target 2000 has them go to their owners)
#   ETCD=/path/of/etcd benches/tier.sh 3                    the same with a follower for each gateway
#   SERIES=1000000 INTERVAL=1s benches/tier.sh 3            a million samples a second
#
# 100,000 samples a second of 200,000 series, whatever the number of gateways; SERIES and INTERVAL change that.
# Release builds of the gateway and the load generator must be there. All is on loopback, in a temporary
# folder; counted is what lies between two looks, so that starting and meeting new series is left out.
set -euo pipefail
cd "$(dirname "$0")/.."

count=${1:-3}
shift || true
programs=${CARGO_TARGET_DIR:-$PWD/target}/release
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait || true; rm -rf "$folder"' EXIT
base=$((20000 + RANDOM % 8000))
backend=127.0.0.1:$((base + 900))

printf '%s\n' "- {match: '{__name__!=\"\"}', interval: 10s, without: [pod, instance, container, shard], outputs: [total]}" \
    >"$folder/rules.yml"
targets=()
{
    echo "members:"
    for i in $(seq 0 $((count - 1))); do
        echo "- {name: gw-$i, address: 127.0.0.1:$((base + 100 + i)), push: 127.0.0.1:$((base + i))}"
    done
} >"$folder/peers.yml"
if [ -n "${ETCD:-}" ]; then
    "$ETCD" --data-dir "$folder/etcd" --listen-client-urls "http://127.0.0.1:$((base + 901))" \
        --advertise-client-urls "http://127.0.0.1:$((base + 901))" \
        --listen-peer-urls "http://127.0.0.1:$((base + 902))" >"$folder/etcd.log" 2>&1 &
    members="replication_factor: 2, etcd: {endpoints: ['http://127.0.0.1:$((base + 901))']}"
else
    members="peers_file: peers.yml"
fi
for i in $(seq 0 $((count - 1))); do
    {
        echo "listen: 127.0.0.1:$((base + i))"
        echo "data_dir: $folder/data-$i"
        echo "rule_files: [rules.yml]"
        echo "windows: {grace: 5s}"
        echo "remote_write: [{url: 'http://$backend/api/v1/write'}]"
        if [ "$count" -gt 1 ]; then
            echo "cluster: {name: gw-$i, listen: 127.0.0.1:$((base + 100 + i)), $members}"
        fi
    } >"$folder/gw-$i.yml"
    targets+=(--target "http://127.0.0.1:$((base + i))/api/v1/push")
    "$programs/weir-gateway" --config.file "$folder/gw-$i.yml" >"$folder/gw-$i.log" 2>&1 &
done
"$programs/weir-loadgen" receive --listen "$backend" >/dev/null 2>&1 &
for i in $(seq 0 $((count - 1))); do
    for try in $(seq 300); do
        curl -sf "127.0.0.1:$((base + i))/-/ready" >/dev/null && break
        [ "$try" -lt 300 ] || { tail -5 "$folder"/gw-*.log >&2; exit 1; }
        sleep 0.2
    done
done

# CPU seconds, samples, bytes sent on, bytes of windows told, bytes shipped to followers, of all gateways.
look() {
    for i in $(seq 0 $((count - 1))); do curl -s "127.0.0.1:$((base + i))/metrics"; done | awk '
        /^process_cpu_seconds_total/ { cpu += $NF }
        /^weir_received_samples_total/ { samples += $NF }
        /^weir_forwarded_bytes_total/ { forwarded += $NF }
        /^weir_partials_sent_bytes_total/ { told += $NF }
        /^weir_follower_shipped_bytes_total/ { shipped += $NF }
        END { print cpu, samples, forwarded + 0, told + 0, shipped + 0 }'
}

"$programs/weir-loadgen" run "${targets[@]}" --preset kubernetes --series "${SERIES:-200000}" --interval "${INTERVAL:-2s}" \
    --duration 60s "$@" >"$folder/run.log" 2>&1 &
run=$!
sleep 25
before=$(look)
sleep 30
after=$(look)
wait "$run" || { cat "$folder/run.log"; exit 1; }
grep -E '^(rate|requests|latency)' "$folder/run.log"
echo "$before $after" | awk -v n="$count" '{
    samples = $7 - $2
    printf "%d gateways: %.2f us of CPU a sample; between them %.2f B of requests, %.3f B of windows and %.2f B of twins a sample\n",
        n, ($6 - $1) / samples * 1e6, ($8 - $3) / samples, ($9 - $4) / samples, ($10 - $5) / samples
}'
