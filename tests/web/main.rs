//! The server over real sockets: what rude clients can and cannot do, TLS and passwords.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy's own exception does not reach helpers in tests/"
)]

mod access;
mod health;
mod limits;
mod support;
