//! Prometheus exporter for JD Cloud's CDN: polls two calls of the provider's Open API for the
//! configured domains and serves what it learned as gauges.
//!
//! Data flows one way: configuration, poller, store, exposition. A scrape never causes a poll.
//! In reading order:
//!
//! * [`model`] (pure): domains, windows, readings, and the rule of what may be shown
//! * [`plan`] (pure): what is due when, how fast, whether again
//! * [`provider`]: the provider's dialect; its decoding is pure
//! * [`poller`]: reads what is due and reports it to the [`store`]
//! * [`discovery`]: which domains the provider lists for an account
//! * [`exposition`]: from a snapshot of the store to the text that Prometheus scrapes
//! * [`web`]: serves it; [`app`] composes, reloads and stops all of it
//! * [`backfill`]: past ranges, for import into a time-series database
//! * [`config`], [`cli`], [`telemetry`], [`clock`], [`systemd`]: the edges towards the operator
//! * [`forecast`]: what a configuration costs, before it runs
//! * [`check`]: asks the provider once and says what is wrong; [`healthcheck`]: asks the
//!   exporter whether it serves; [`manual`]: man page and completions
//! * [`simulator`]: the provider's stand-in, behind `demo`, the tests and the benches

pub mod app;
pub mod backfill;
pub mod build_info;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod discovery;
pub mod exposition;
pub mod forecast;
pub mod healthcheck;
pub mod manual;
pub mod model;
pub mod observer;
pub mod plan;
pub mod poller;
pub mod provider;
pub mod simulator;
pub mod store;
pub mod systemd;
pub mod telemetry;
pub mod web;
