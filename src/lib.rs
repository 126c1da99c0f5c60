//! x
pub mod clock;
pub mod config;
pub mod exposition;
pub mod model;
pub mod observer;
pub mod plan;
pub mod poller;
pub mod provider;
pub mod store;
pub mod systemd;
pub mod web;
