# The only list of checks: people and CI run these recipes, and nothing else. `just` alone lists them.
# What the recipes need besides the toolchains is installed by e2e/install, which `./test` runs first.

set shell := ["bash", "-euo", "pipefail", "-c"]

export PATH := justfile_directory() / ".tools/bin:" + justfile_directory() / ".tools/python/bin:" + env("PATH")

# Warnings are errors here, and only here: while working they are but warnings.
export RUSTDOCFLAGS := "-D warnings"

[private]
default:
    @just --list --unsorted

# Everything but the tests
check: fmt clippy deny doc

# Is the code formatted as rustfmt would?
fmt:
    cargo fmt --all --check

# Lints, over libraries, programs, tests, benches and examples
clippy:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Licences, duplicate crates, and which room may know which crate
deny:
    cargo deny --log-level error check --hide-inclusion-graph bans licenses sources

# Known vulnerabilities; fetches the advisory database, so it needs the network
advisories:
    cargo deny --log-level error check advisories

# Documentation, without warnings
doc:
    cargo doc --workspace --no-deps --document-private-items --locked

# All tests, the S3 server included
test *arguments:
    cargo test --workspace --locked --no-fail-fast {{ arguments }}

# Benchmarks; results with the machine's description go to docs/performance.md
bench *arguments:
    cargo bench --workspace --benches --locked {{ arguments }}

# Peak memory of the worker on small and large objects, against its budget; smaller: PF_BENCH_LARGE_MB=500 just bench-memory
bench-memory:
    cargo bench --locked --bench pipeline -- memory

# Sample access logs in every format, in data/access-logs; more: just data --records 5000000
data *arguments:
    cargo run --release --locked -p pf-worker --example generate -- --out data/access-logs --format all --objects 12 --records 500000 {{ arguments }}

# Property tests and fuzzers with many more cases than `just test` takes; more: just fuzz 1000000
fuzz cases="100000":
    PROPTEST_CASES={{ cases }} cargo test --workspace --locked --release --lib --bins --tests -- proptest property fuzz never

# Fuzzers of the NDJSON reader, a minute each, with sanitizers: not for CI, as it needs cargo-fuzz and a nightly toolchain
fuzz-targets seconds="60":
    for target in ndjson_lines ndjson_columns; do \
        (cd worker && cargo +nightly fuzz run "$target" -- -max_total_time={{ seconds }}); \
    done

# Writes the custom resource definitions anew
crd:
    cargo run --locked -p pf-operator -- crd > crds/ingestjobs.paraflow.dev.yaml
