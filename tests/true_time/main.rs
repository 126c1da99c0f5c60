//! True time end to end: what `/windows` brings into real databases, through outages of every part, is
//! the provider's truth; the recipes of the documents, run against it; and the plain gauges beside it.
//!
//! Needs Debian's `prometheus` and `victoria-metrics` packages. With `JDCLOUD_REQUIRE_REAL_PARTS=1` a
//! missing part is a failure.
#![cfg(test)]

mod comparison;
mod outages;
mod recipes;
mod site;

#[path = "../support/database.rs"]
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
