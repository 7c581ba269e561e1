//! The program that is measured: as it is installed, and not as it is built for tests and benches.
//!
//! What only tests need of the libraries is compiled into everything that `cargo bench` builds, the program included, and
//! makes it slower. So it is built once more, by the same cargo, in a folder of its own below the usual one.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where the program is. Built on first use.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let as_for_tests = Path::new(env!("CARGO_BIN_EXE_mcp-supervise"));
        let target =
            as_for_tests.ancestors().nth(2).expect("it is below the target folder").join("stopwatch");
        #[expect(clippy::disallowed_methods, reason = "a tool of the measurement")]
        let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--release", "--bin", "mcp-supervise", "--manifest-path"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .status();
        assert!(built.is_ok_and(|built| built.success()), "the program cannot be built");
        target.join("release").join(as_for_tests.file_name().expect("it is a file"))
    })
}
