//! The exposition as scrapers, `promtool` and the OpenMetrics reference parser see it.
#![cfg(test)]

mod docs;
mod golden;
mod pages;
mod parse;
mod property;
mod support;

#[path = "../support/parts.rs"]
mod parts;
