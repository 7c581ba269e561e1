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

# What the supervisor costs, beside the same without it and beside a byte copy: the table of the README
bench:
    cargo bench

# The engine against random hosts, servers and failures: a million seeds
sim:
    SIM_SEEDS=1000000 cargo test --release --lib engine::sim

# Write the man page anew from the command line's definitions
man:
    SNAPSHOTS=overwrite cargo test --test it man

# Write the fixture conversations anew from what the engine does; read the difference before committing it
fixtures:
    SNAPSHOTS=overwrite cargo test --test it conversation
