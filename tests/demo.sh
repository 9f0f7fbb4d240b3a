#!/usr/bin/env bash
# Weir on this host's own traffic: the agent scrapes node_exporter, the gateway and itself and sends
# to the gateway, whose rules reduce it. Needs no backend: outputs stand at /federate.
#
# Everything lives in target/demo and listens on loopback; Ctrl-C ends it.
set -euo pipefail
cd "$(dirname "$0")/.."

gateway=127.0.0.1:${WEIR_DEMO_PORT:-9201}
agent=127.0.0.1:${WEIR_DEMO_AGENT_PORT:-9202}
node=127.0.0.1:${WEIR_DEMO_NODE_PORT:-9203}
binaries=${CARGO_TARGET_DIR:-target}/release
folder=${CARGO_TARGET_DIR:-target}/demo
mkdir -p "$folder"

cat >"$folder/rules.yml" <<'YAML'
# Ten seconds of every CPU's counters as one counter for each mode, under the same name.
- name: cpu
  match: node_cpu_seconds_total
  interval: 10s
  without: [cpu]
  outputs: [total]
- name: disks
  match: '{__name__=~"node_disk_.*_total"}'
  interval: 10s
  without: [device]
  outputs: [total]
- name: processes
  match: '{__name__=~"process_(open_fds|resident_memory_bytes)"}'
  interval: 10s
  without: [instance, job]
  outputs: [sum_last, count_series]
YAML
cat >"$folder/weir.yml" <<YAML
rule_files: [$(realpath "$folder")/rules.yml]
windows: {grace: 10s}
YAML
cat >"$folder/agent.yml" <<YAML
global: {scrape_interval: 5s}
scrape_configs:
  - {job_name: node, static_configs: [{targets: ['$node']}]}
  - {job_name: agent, static_configs: [{targets: ['$agent']}]}
  - {job_name: weir, static_configs: [{targets: ['$gateway']}]}
remote_write: [{url: 'http://$gateway/api/v1/write'}]
YAML

pids=()
end() {
    # The sender goes first: it delivers what it has.
    [ ${#pids[@]} -lt 3 ] || { kill "${pids[2]}" 2>/dev/null && wait "${pids[2]}"; } || true
    kill "${pids[@]}" 2>/dev/null || true
    wait
}
trap end EXIT
trap 'exit 0' INT TERM
start() {
    local name=$1
    shift
    "$@" >"$folder/$name.log" 2>&1 &
    pids+=($!)
}

start gateway "$binaries/weir-gateway" \
    --config.file "$folder/weir.yml" --listen "$gateway" --data-dir "$folder/data"
start node_exporter prometheus-node-exporter --web.listen-address="$node"
start agent "$binaries/weir-agent-lite" --config.file="$folder/agent.yml" \
    --storage.agent.path="$folder/agent" --web.listen-address="$agent"

page() { (exec 3<>"/dev/tcp/${gateway%:*}/${gateway#*:}" && printf 'GET %s HTTP/1.0\r\nHost: x\r\n\r\n' "$1" >&3 && cat <&3) 2>/dev/null; }
for _ in $(seq 300); do
    kill -0 "${pids[0]}" 2>/dev/null || { tail -20 "$folder/gateway.log"; exit 1; }
    page /-/ready | head -1 | grep -q ' 200 ' && break
    sleep 0.2
done

cat <<TEXT

Weir is at work on this host's metrics. Look at

  http://$gateway/           what comes in, what goes out, what each rule saves
  http://$gateway/federate   the outputs (the first ones in about 30 seconds)
  http://$gateway/metrics    its own metrics
  http://$agent/targets    what the agent scrapes

Rules and logs are in $folder; change rules.yml and reload it:
  curl -X POST http://$gateway/-/reload

Ctrl-C ends it.
TEXT
wait "${pids[0]}"
