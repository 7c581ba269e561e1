# Everything that lands has passed these: .ci/run calls the same commands.

# Format, lints, documentation and dependencies
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
    cargo deny --log-level error check --hide-inclusion-graph licenses bans sources

# All tests
test:
    cargo test

# Published servers and clients, from npm and PyPI, with the release build in between
real:
    cargo build --release
    cargo build --examples
    tests/real/run "${CARGO_TARGET_DIR:-target}/release/mcp-supervise" "${CARGO_TARGET_DIR:-target}/debug/examples"

# The monitor's page in a real browser: Debian's Chromium, or the one that CHROMIUM names
page:
    cargo build --release
    cargo build --examples
    tests/page/run "${CARGO_TARGET_DIR:-target}/release/mcp-supervise" "${CARGO_TARGET_DIR:-target}/debug/examples/fixture-server"

# What the supervisor costs, beside the same without it and beside a byte copy: the table of the README
bench:
    cargo bench

# The engine against random hosts, servers and failures: a million seeds
sim:
    SIM_SEEDS=1000000 cargo test --release --lib engine::sim

# Ten minutes of several hosts at once, with troubles of all kinds: nothing lost, doubled or left, memory flat
soak:
    cargo build --release --examples
    SOAK_SECONDS="${SOAK_SECONDS:-600}" cargo test --release --test it -- --nocapture soak::nothing

# The Debian package, built, installed in a clean tree, used and removed; needs `cargo install cargo-deb`. It is
# target/release/mcp-supervise.deb then
deb:
    cargo build --release
    cargo build --example fixture-server
    tests/deb.sh "${CARGO_TARGET_DIR:-target}/release" "${CARGO_TARGET_DIR:-target}/debug/examples/fixture-server"

# The completions, in bash, zsh and fish themselves
completions:
    cargo build
    tests/completions.sh "${CARGO_TARGET_DIR:-target}/debug/mcp-supervise"

# Every line of the unsafe code under valgrind; Debian and Ubuntu have it
valgrind:
    cargo build --bin mcp-supervise --example fixture-server
    tests/memory.sh valgrind "${CARGO_TARGET_DIR:-target}/debug/mcp-supervise" "${CARGO_TARGET_DIR:-target}/debug/examples/fixture-server"

# The same with the address sanitizer, where pidfds are in use, which valgrind does not know
asan:
    cargo build --example fixture-server
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo build --bin mcp-supervise --target "$(rustc -vV | sed -n 's/^host: //p')" --target-dir "${CARGO_TARGET_DIR:-target}/asan"
    tests/memory.sh asan "${CARGO_TARGET_DIR:-target}/asan/$(rustc -vV | sed -n 's/^host: //p')/debug/mcp-supervise" "${CARGO_TARGET_DIR:-target}/debug/examples/fixture-server"

# Write the man page anew from the command line's definitions
man:
    SNAPSHOTS=overwrite cargo test --test it man

# Write the fixture conversations anew from what the engine does; read the difference before committing it
fixtures:
    SNAPSHOTS=overwrite cargo test --test it conversation

# What must never break, with random inputs, a minute for each target; needs `cargo install cargo-fuzz` and a C++ compiler.
# What it finds is kept in fuzz/artifacts
fuzz:
    #!/usr/bin/env bash
    set -euo pipefail
    for target in codec peek engine configs token control; do
        found="${CARGO_TARGET_DIR:-target}/fuzz-corpus/$target"
        mkdir -p "$found"
        # The compiler's hooks for it are not for everybody yet.
        RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none "$target" "$found" "fuzz/corpus/$target" -- \
            -max_total_time="${FUZZ_SECONDS:-60}" -max_len=8192
    done
