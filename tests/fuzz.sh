#!/usr/bin/env bash
# Runs every fuzz target of the tree for FUZZ_RUNS executions, at most FUZZ_SECONDS each.
#
# Needs a C++ compiler (libFuzzer is built from source), but neither a nightly toolchain nor
# cargo-fuzz: the flags below are cargo-fuzz's own, without the address sanitizer, which alone asks
# for nightly, and there is no unsafe code to watch. An input that breaks a target stays in its
# artifacts/.
set -euo pipefail
cd "$(dirname "$0")/.."

# Built in half the time, and a third slower.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=${CARGO_PROFILE_RELEASE_OPT_LEVEL:-1}

runs=${FUZZ_RUNS:-1000000}
seconds=${FUZZ_SECONDS:-300}
triple=$(rustc -vV | sed -n 's/^host: //p')
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz

export RUSTFLAGS="--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"

while read -r manifest; do
    folder=$(dirname "$manifest")
    # The target triple keeps these flags away from build scripts and macros.
    cargo build --quiet --release --manifest-path "$manifest" \
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
