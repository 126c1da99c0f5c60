//! A real Prometheus scrapes the real binary, which polls the simulated provider; the answers of
//! Prometheus' query API must be the provider's numbers.
//!
//! Needs Debian's `prometheus` package. `make test` installs it and sets
//! `JDCLOUD_REQUIRE_REAL_PARTS=1`, with which a missing part is a failure;
//! `JDCLOUD_EXPORTER_BINARY` names another binary than that of this build.
#![cfg(test)]

mod discovery;
mod forwarder;
mod prometheus;
mod stack;

#[path = "../support/http.rs"]
mod http;
#[path = "../support/page.rs"]
mod page;
#[path = "../support/parts.rs"]
mod parts;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/truth.rs"]
mod truth;
