//! The whole path of an alert with real parts: the simulated provider's figures change, real exporters read
//! them, a real Prometheus with the deployed rules judges them, a real Alertmanager with the deployed
//! routes tells a receiver, and tells it again when all is well.
//!
//! Needs Debian's `prometheus` and `prometheus-alertmanager` packages. With `JDCLOUD_REQUIRE_REAL_PARTS=1`
//! a missing part is a failure; `JDCLOUD_EXPORTER_BINARY` names another binary than that of this build.
#![cfg(test)]

mod compress;
mod path;
mod receiver;
mod site;

#[path = "../support/http.rs"]
#[allow(dead_code, reason = "other tests look at the headers of a reply")]
mod http;
#[path = "../support/parts.rs"]
#[allow(dead_code, reason = "other tests feed programs, these do not")]
mod parts;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "other tests read more of what a program says")]
mod process;
#[path = "../support/server.rs"]
#[allow(dead_code, reason = "other tests start other servers, and stop them")]
mod server;
