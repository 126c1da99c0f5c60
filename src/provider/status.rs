//! What the `status` of a reply means, and what an operator can do about it.

use crate::model::{Disposition, Reason};

/// A status as a decision and a sentence. The numbers are those of the provider's common error
/// table; a number that is not in it is a failure of its own kind, reported with the number.
pub(super) struct Meaning {
    pub(super) reason: Reason,
    pub(super) disposition: Disposition,
    pub(super) remedy: &'static str,
}

/// Whether a status is in the provider's table. One that is not may be a gateway's own, which repeats
/// its HTTP status in a JSON body.
pub(super) const fn is_documented(status: i64) -> bool {
    matches!(status, -1 | 1..=4 | 7 | 8 | 12..=15 | 18..=22 | 42..=45)
}

pub(super) fn meaning(status: i64) -> Meaning {
    let (reason, disposition, remedy) = match status {
        -1 | 1 | 8 => (
            Reason::ApiError,
            Disposition::Retry { after: None },
            "a fault at the provider; it is asked again",
        ),
        7 => (
            Reason::Signature,
            Disposition::Stop,
            "wrong signature: check secret_key, api.time_zone and this machine's clock",
        ),
        20 => (
            Reason::UnknownUser,
            Disposition::Stop,
            "unknown user: check username",
        ),
        15 | 18 => (
            Reason::ForeignDomain,
            Disposition::Isolate,
            "a domain is not the account's, or is unknown to this endpoint: check domains",
        ),
        22 => (
            Reason::ForeignDomain,
            Disposition::Halve,
            "more domains in one call than the provider allows",
        ),
        2 | 3 | 4 | 12 | 13 | 14 | 19 => (
            Reason::BadRequest,
            Disposition::Stop,
            "the provider refused the request's parameters: please report this as a defect",
        ),
        21 | 42..=45 => (
            Reason::BadRequest,
            Disposition::Stop,
            "the time range is too long or too old for the provider: shorten poll.window",
        ),
        _ => (
            Reason::ApiError,
            Disposition::Stop,
            "a status that the provider does not document",
        ),
    };
    Meaning {
        reason,
        disposition,
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_documented_has_a_meaning_of_its_own() {
        for status in -300..1_000 {
            let unknown = meaning(status).remedy.contains("does not document");
            assert_ne!(is_documented(status), unknown, "{status}");
        }
    }
}
