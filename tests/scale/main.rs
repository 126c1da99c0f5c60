//! Past one machine, at small scale: several exporters that share the domains out, two agents that read
//! all of them, one store; parts of it are killed and replaced, and one exporter is added. `docs/scale.md`
//! says what is proven here.
//!
//! Needs Debian's `victoria-metrics` and `faketime` packages. With `JDCLOUD_REQUIRE_REAL_PARTS=1` a
//! missing part is a failure.
#![cfg(test)]

mod fleet;
mod runs;
mod store;

#[path = "../support/database.rs"]
#[allow(dead_code, reason = "other tests ask for more")]
mod database;
#[path = "../support/figures.rs"]
mod figures;
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
#[allow(dead_code, reason = "other tests start other servers")]
mod server;
