//! x
pub mod clock;
pub mod config;
pub mod exposition;
pub mod model;
pub mod observer;
pub mod simulator;
pub mod store;
