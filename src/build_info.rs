//! Which build this is, as `build.rs` found it.

/// The release: `0.1.0`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, abbreviated, or `unknown` outside a repository.
pub const REVISION: &str = env!("BUILD_REVISION");

/// The compiler: `rustc 1.95.0 (59807616e 2026-04-14)`.
pub const RUSTC: &str = env!("BUILD_RUSTC");

/// What `--version` prints after the name.
pub const SUMMARY: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (revision ",
    env!("BUILD_REVISION"),
    ", ",
    env!("BUILD_RUSTC"),
    ")"
);
