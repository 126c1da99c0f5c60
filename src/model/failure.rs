//! How a read can fail: a closed reason for labels, and one decision what to do next.

use std::fmt;
use std::time::Duration;

/// The closed set of reasons, the only text of a failure that becomes a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No complete reply within `api.timeout`.
    Timeout,
    /// The host could not be resolved, connected to, or hung up before a whole reply.
    Connect,
    /// An HTTP status other than 200, 429 included only if it is not a throttle.
    HttpStatus,
    /// HTTP 429.
    Throttled,
    /// The reply is larger than `api.max_reply_bytes` once expanded.
    TooLarge,
    /// The reply is not what the documents describe.
    Decode,
    /// Status 7: key wrong, or clock or time zone off.
    Signature,
    /// Status 20: `username` is not known.
    UnknownUser,
    /// Status 15, 18 or 22: a domain is not the account's, or the list is too long.
    ForeignDomain,
    /// Status 2, 3, 4, 12, 13, 14, 19, 21, 42 to 45: our request was wrong.
    BadRequest,
    /// Any other non-zero status.
    ApiError,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Timeout,
        Self::Connect,
        Self::HttpStatus,
        Self::Throttled,
        Self::TooLarge,
        Self::Decode,
        Self::Signature,
        Self::UnknownUser,
        Self::ForeignDomain,
        Self::BadRequest,
        Self::ApiError,
    ];

    /// The value of the `reason` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::HttpStatus => "http_status",
            Self::Throttled => "throttled",
            Self::TooLarge => "too_large",
            Self::Decode => "decode",
            Self::Signature => "signature",
            Self::UnknownUser => "unknown_user",
            Self::ForeignDomain => "foreign_domain",
            Self::BadRequest => "bad_request",
            Self::ApiError => "api_error",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the poller does after a failure: the only retry decision there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Transient: ask again within the poll, no sooner than the provider asked for.
    Retry {
        /// From `Retry-After`.
        after: Option<Duration>,
    },
    /// Asking again now cannot help.
    Stop,
    /// One of the domains sinks the call: find it and ask for the others without it.
    Isolate,
    /// Too many domains at once: ask for fewer, now and later.
    Halve,
    /// The signature was refused close to the date line: sign once more with the other date.
    SignAgain(DateShift),
}

/// Which day's signature to use, counted from the day in the provider's zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateShift {
    /// The day before.
    Yesterday,
    /// The day itself.
    #[default]
    Today,
    /// The day after.
    Tomorrow,
}

/// One failed call. `Display` is one line for the log, without its source, and free of secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// For the `reason` label.
    pub reason: Reason,
    /// For the poller.
    pub disposition: Disposition,
    /// For the log and the status page: what happened and what to do about it.
    pub message: String,
}
