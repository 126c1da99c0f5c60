//! The whole exporter against the simulated provider: real sockets, free ports, no fixed sleeps.
#![cfg(test)]

mod accounts;
mod binary;
mod discovery;
mod fixture;
mod gauges;
mod outage;
mod pages;
mod reload;
mod requests;
mod secrets;
mod shards;
mod streams;
mod stuck;

#[path = "../support/http.rs"]
mod http;
#[path = "../support/page.rs"]
mod page;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/truth.rs"]
mod truth;
