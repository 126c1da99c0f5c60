//! Every bound of the server in one place.

use std::time::Duration;

/// What one client may take from the server. Each bound has a default that is right for an exporter
/// scraped by a few hundred servers; tests make them short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once. Below the usual limit of 1,024 open files, so that polls and file
    /// reads always find a descriptor; above it the connection that has waited longest is closed.
    pub connections: usize,
    /// From the connection's start, and again from the first byte of a request, to the end of its
    /// head; includes the TLS handshake. Scrapers need milliseconds.
    pub head: Duration,
    /// Bytes of a request's head, and of what is read ahead of it.
    pub head_bytes: usize,
    /// Header lines of a request.
    pub header_lines: usize,
    /// A declared request body above this is refused unread (413). No route reads a body.
    pub body_bytes: u64,
    /// How long a connection may wait for its next request. Longer than the five minutes after
    /// which Prometheus itself closes one, so that the two never cross.
    pub idle: Duration,
    /// From the start of a response until its last byte is in the system's hands. A reader that
    /// takes a byte a second is cut off here; Prometheus' own scrape timeout is 10 s by default.
    pub response: Duration,
    /// A response younger than this is not closed in favour of a new connection.
    pub response_grace: Duration,
    /// From the order to stop until running responses are cut off. SIGTERM must end within 5 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 900,
            head: Duration::from_secs(10),
            head_bytes: 64 * 1_024,
            header_lines: 100,
            body_bytes: 64 * 1_024,
            idle: Duration::from_secs(330),
            response: Duration::from_secs(60),
            response_grace: Duration::from_secs(1),
            drain: Duration::from_secs(3),
        }
    }
}
