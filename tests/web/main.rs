//! The server over real sockets: what rude clients can and cannot do, TLS and passwords.

mod access;
mod limits;
mod support;
