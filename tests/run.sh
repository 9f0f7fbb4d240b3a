#!/usr/bin/env bash
# Runs every test of the workspace, four programs at a time: most of them wait for others, and one after
# the other they would leave most of two cores idle. Each program's output comes whole when it has ended.
#
# Fails if one has failed, and names those. LANES is how many run at a time; one that takes longer than
# PROGRAM_SECONDS hangs, is ended and has failed.
set -euo pipefail
cd "$(dirname "$0")/.."

lanes=${LANES:-4}
export PROGRAM_SECONDS=${PROGRAM_SECONDS:-1200}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# Those that take minutes go first, the longest before all, so that none of them is left alone at the end.
first=(simulation instructions crash_recovery tier moves mutations disk_faults torture promql_equivalence
    follow checked_runs agent_faults agent_direct agent_released agent_clock shard deploy)

# A line for each test program: the folder of its package, where cargo runs it, and its file.
programs() {
    cargo test --workspace --no-run --message-format=json 2>/dev/null |
        grep '"reason":"compiler-artifact"' | grep '"test":true' |
        sed -n 's/.*"manifest_path":"\([^"]*\)\/Cargo.toml".*"executable":"\([^"]*\)".*/\1 \2/p' |
        sort -u
}

one() {
    local folder=$1 program=$2 name status=0 began=$SECONDS
    name=$(basename "$program")
    # What it has started ends with it: they are one group.
    (cd "$folder" && timeout --kill-after=10 "$PROGRAM_SECONDS" "$program") >"$logs/$name" 2>&1 || status=$?
    {
        flock 9
        echo "     Running $name in ${folder#"$PWD"/}: $((SECONDS - began)) s"
        cat "$logs/$name"
        if [ "$status" -ne 0 ]; then
            [ "$status" -ne 124 ] || echo "error: $name hung"
            echo "error: $name failed (status $status)"
            echo "$name" >>"$logs/failed"
        fi
    } 9>"$logs/lock"
}
export -f one
export logs

programs >"$logs/programs"
[ -s "$logs/programs" ] || { echo "run.sh: there are no tests" >&2; exit 1; }
# In this order, then the others.
in_order() {
    local name others
    others=$(<"$logs/programs")
    for name in "${first[@]}"; do
        grep -E "/$name-[0-9a-f]+$" "$logs/programs" || true
        others=$(grep -vE "/$name-[0-9a-f]+$" <<<"$others" || true)
    done
    echo "$others"
}
in_order | xargs -P "$lanes" -L 1 bash -c 'one "$@"' one
cargo test --workspace --doc
if [ -s "$logs/failed" ]; then
    echo "run.sh: failed:" >&2
    cat "$logs/failed" >&2
    exit 1
fi
echo "run.sh: all $(wc -l <"$logs/programs") test programs passed"
