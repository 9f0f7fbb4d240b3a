# `make demo` shows Weir at work, `make test` proves it. Both set up what they need.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.PHONY: demo test lint fuzz bench packages

# A test that hangs ends here.
TEST_SECONDS ?= 3000

# Real traffic of this host, reduced; Ctrl-C ends it.
demo: packages
	cargo build --release --package weir-gateway --package weir-agent-lite
	tests/demo.sh

# Everything that must hold before a commit.
# Fuzzing keeps one core busy, and building the tests the other; a target has some seconds only, `make fuzz`
# gives it minutes.
test: packages lint
	FUZZ_SECONDS=$${FUZZ_SECONDS:-10} tests/fuzz.sh & fuzz=$$!
	trap 'kill $$fuzz 2>/dev/null || true' EXIT
	cargo test --workspace --no-run
	wait $$fuzz
	timeout $(TEST_SECONDS) tests/run.sh

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	if command -v cargo-deny >/dev/null; then
	    cargo deny check
	else
	    echo "cargo-deny is not installed: licences and duplicates are not checked"
	fi

# Every fuzz target, FUZZ_RUNS executions each.
fuzz:
	tests/fuzz.sh

# Every figure of docs/PERFORMANCE.md and docs/SCALING.md, for an hour: parts, the agent, the whole under load, a
# tier. What it says stands in benches/runs/ too.
bench: packages
	cargo build --release --workspace --bin weir-gateway --bin weir-loadgen
	cargo build --profile small --workspace --bin weir-agent-lite
	export WEIR_AGENT_BIN=$$PWD/target/small/weir-agent-lite
	{
	    cargo bench --package weir-benches
	    benches/instructions.sh
	    benches/whole.sh
	    for tier in 1 3 "3 --mixed" "3 --spread owners --series-per-target 2000" 5; do
	        echo "tier.sh $$tier"
	        benches/tier.sh $$tier
	    done
	    echo "tier.sh 3, with followers"
	    ETCD=$$(command -v etcd) benches/tier.sh 3
	} 2>&1 | tee "benches/runs/$$(date +%F)-$$(git rev-parse --short HEAD).txt"

packages:
	tests/install.sh
