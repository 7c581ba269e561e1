//! The workflow in the README does what it says.

use std::path::Path;
use std::process::{Command, Stdio};

use super::path_of;
use crate::support::plan::fixture;

#[test]
fn the_workflow_in_the_readme_passes() {
    let readme = include_str!("../../../README.md");
    let (_, workflow) = readme.split_once("```yaml\n").expect("there is one");
    let (workflow, _) = workflow.split_once("```").expect("it has an end");
    let steps = workflow.lines().filter_map(|line| line.trim_start().strip_prefix("- run: "));
    let checks: Vec<&str> = steps.filter(|step| step.starts_with("mcp-supervise check ")).collect();
    assert_eq!(checks.len(), 1, "{workflow}");
    // The reports are there to be looked at when the check has failed.
    for step in ["upload-sarif", "upload-artifact"] {
        let (_, rest) = workflow.split_once(step).expect("it is uploaded");
        assert_eq!(rest.lines().nth(1).map(str::trim), Some("if: always()"), "{step}");
    }
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    for step in checks {
        // Cargo may build elsewhere, and what is written is not for the tree.
        let step = step.replace("target/debug/examples/fixture-server", &path_of(&fixture()));
        let step = step.replace("junit.xml", &path_of(&folder.path().join("junit.xml")));
        let step = step.replace("check.sarif", &path_of(&folder.path().join("check.sarif")));
        let program = Path::new(env!("CARGO_BIN_EXE_mcp-supervise")).parent().expect("it is in a folder");
        let path = format!("{}:{}", path_of(program), std::env::var("PATH").expect("there is one"));
        let mut shell = Command::new("sh");
        shell
            .args(["-ec", &step])
            .env("PATH", path)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null());
        let output = shell.output().expect("there is a shell");
        assert!(output.status.success(), "{step}: {}", String::from_utf8_lossy(&output.stdout));
    }
    for file in ["junit.xml", "check.sarif"] {
        assert!(folder.path().join(file).metadata().is_ok_and(|it| it.len() > 1000), "{file}");
    }
}
