//! Tells the code which revision and compiler it is built from.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a build script is told through the environment and answers on standard output"
)]

use std::path::Path;
use std::process::Command;

const REVISION: &str = "JDCLOUD_CDN_EXPORTER_REVISION";

fn main() {
    let given = std::env::var(REVISION)
        .ok()
        .filter(|revision| !revision.trim().is_empty());
    let revision = given
        .or_else(|| line_of("git", &["rev-parse", "--short", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned());
    let rustc = std::env::var("RUSTC")
        .ok()
        .and_then(|rustc| line_of(&rustc, &["--version"]))
        .unwrap_or_else(|| "rustc unknown".to_owned());
    println!("cargo::rustc-env=BUILD_REVISION={}", revision.trim());
    println!("cargo::rustc-env=BUILD_RUSTC={rustc}");
    println!("cargo::rerun-if-env-changed={REVISION}");
    println!("cargo::rerun-if-changed=build.rs");
    // Grows with every commit and checkout. A path that does not exist would run this at every build.
    if let Some(log) = line_of("git", &["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// The first line of a command's output; `None` if it fails or cannot be run.
fn line_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).ok())??;
    text.lines().next().map(|line| line.trim().to_owned())
}
