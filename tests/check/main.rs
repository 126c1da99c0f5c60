//! `check`, `--config.example`, `completions` and `man` of the real binary, against the simulated
//! provider in every kind of trouble.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy's own exception does not reach helpers in tests/"
)]

mod offline;
mod support;
mod tls;
mod trouble;
