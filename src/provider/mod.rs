//! The provider's dialect: how its Open API is asked and what its replies mean. Nothing outside
//! this folder knows it.
//!
//! Source of every fact: the two documents of the provider, "Query Domain Name Bandwidth Flow"
//! (`bandwidth_flow`) and "Back-to-origin Bandwidth Statistics" (`origin_ratio`); for the list of domains, the
//! public page of `queryDomains`.

mod bandwidth_flow;
mod client;
mod decode;
mod items;
mod mend;
mod origin_ratio;
mod query_domains;
mod request;
mod rows;
mod signature;
mod status;
mod trust;
mod wire;

pub use client::{Client, ClientError, Connections};
pub use decode::{DecodeError, decode};
pub use query_domains::decode_list;
pub use request::most_windows;
pub use rows::Asked;
pub use trust::{Trust, TrustError};
