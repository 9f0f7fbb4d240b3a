#!/usr/bin/env bash
# Counts instructions a sample by step, with callgrind, in a release build: figures that a busy
# machine does not change.
#
#   benches/instructions.sh                 prints "<step> <instructions a sample>", one a line
#   benches/instructions.sh --profile       prints the functions that cost most instead
#   benches/instructions.sh | tee benches/instructions.txt      records them
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || { echo "valgrind is missing: tests/install.sh installs it" >&2; exit 1; }
cargo build --quiet --release --package weir-benches --bin instructions >&2
binary="${CARGO_TARGET_DIR:-target}/release/instructions"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# Counts what happens inside of measured_rw1, measured_rw2 or measured_births; sets $samples.
count() { # part
    samples=$(valgrind --tool=callgrind --callgrind-out-file="$out/$1" --log-file="$out/log" \
        --toggle-collect="instructions::measured_$1" "$binary" "$1") || { cat "$out/log" >&2; exit 1; }
}

# Prints a step and its instructions a sample, those of what it calls included. Each line of the
# table: count (percent) file:function [object].
step() { # version, name, function
    awk -v samples="$samples" -v name="$2-$1" -v called="$3" '
        index($0, called) && !found { gsub(",", "", $1); found = $1 }
        END {
            if (!found) { print "no " called " among the counts" > "/dev/stderr"; exit 1 }
            printf "%s %.0f\n", name, found / samples
        }' "$out/table"
}

for version in rw1 rw2 births; do
    count "$version"
    if [ "${1:-}" = --profile ]; then
        echo "$version, instructions a sample by function:"
        callgrind_annotate --auto=no --threshold=100 "$out/$version" | sed 's/ \[[^]]*\]$//' \
            | awk -v samples="$samples" '
                $2 ~ /^\(/ && !/PROGRAM TOTALS/ {
                    count = $1; gsub(",", "", count); sub(/^[^:]*:/, "")
                    sum[$0] += count
                }
                END { for (name in sum) printf "%7.1f  %s\n", sum[name] / samples, name }' \
            | sort -rn | sed 20q
        continue
    fi
    callgrind_annotate --auto=no --inclusive=yes --threshold=100 "$out/$version" >"$out/table"
    if [ "$version" = births ]; then
        step "$version" take weir_benches::path::Worker::take
        continue
    fi
    step "$version" decompress weir_benches::path::Decoder::decompress
    step "$version" decode weir_benches::path::Decoder::decode
    if [ "$version" = rw1 ]; then
        step "$version" route weir_benches::path::Worker::route
        step "$version" take weir_benches::path::Worker::take
        step "$version" close weir_benches::path::Worker::close
    fi
done
