//! x
pub mod build_info;
pub mod cli;
pub mod clock;
pub mod config;
pub mod exposition;
pub mod model;
pub mod observer;
pub mod store;
pub mod telemetry;
