#!/usr/bin/env bash
# Runs every fuzz target of the tree for FUZZ_RUNS executions, at most FUZZ_SECONDS each.
#
# Needs a nightly toolchain and a C++ compiler (libFuzzer is built from source) but not cargo-fuzz:
# the flags below are cargo-fuzz's own, without the address sanitizer, for there is no unsafe code
# to watch. Where they are missing it says so and passes: property tests hold the same decoders
# against hostile bytes, and always run. An input that breaks a target stays in its artifacts/.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${FUZZ_RUNS:-1000000}
seconds=${FUZZ_SECONDS:-120}
triple=$(rustc -vV | sed -n 's/^host: //p')
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz

if ! cargo +nightly --version >/dev/null 2>&1 || ! command -v c++ >/dev/null; then
    echo "fuzz.sh: no nightly toolchain or no C++ compiler; fuzz targets are not run"
    exit 0
fi

export RUSTFLAGS="--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"

while read -r manifest; do
    folder=$(dirname "$manifest")
    # The target triple keeps these flags away from build scripts and macros.
    cargo +nightly build --quiet --release --manifest-path "$manifest" \
        --target "$triple" --target-dir "$target"
    for source in "$folder"/fuzz_targets/*.rs; do
        name=$(basename "$source" .rs)
        mkdir -p "$target/corpus/$name" "$folder/artifacts/$name"
        log="$target/$name.log"
        if ! "$target/$triple/release/$name" -runs="$runs" -max_total_time="$seconds" \
            -rss_limit_mb=2048 -artifact_prefix="$folder/artifacts/$name/" \
            "$target/corpus/$name" >"$log" 2>&1; then
            tail -50 "$log"
            echo "fuzz.sh: $folder: $name failed" >&2
            exit 1
        fi
        echo "fuzz.sh: $(basename "$(dirname "$folder")")/$name: $(grep '^Done ' "$log")"
    done
done < <(find . -path ./target -prune -o -path '*/fuzz/Cargo.toml' -print | sort)
