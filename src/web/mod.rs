//! The exporter's HTTP side: listening sockets, a server that a client cannot tie up, its routes,
//! and the web configuration file with TLS and passwords.
//!
//! Reading order: `routes` (what is served), `status` (the page for people), `negotiate` (in which form), `server` and `connection`
//! (to how many, how long; `plain_http` where TLS is spoken), `web_config`, `web_file`, `tls`, `auth` and `guard` (to whom).

mod address;
mod auth;
mod body;
mod connection;
mod guard;
mod limits;
pub mod listener;
pub mod negotiate;
mod plain_http;
mod registry;
mod routes;
mod san;
mod server;
mod status;
mod targets;
mod tls;
mod web_config;
mod web_file;

pub use address::{AddressError, ListenAddress};
pub use body::{Body, BodyError};
pub use guard::Guard;
pub use limits::Limits;
pub use routes::{Routes, Site, TelemetryPath};
pub use server::{Handler, Server};
pub use status::{DiscoveryStatus, EndpointStatus, Status};
pub use web_config::{WebConfig, WebConfigError};
pub use web_file::{WebFile, WebVersion};
