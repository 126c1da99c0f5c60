//! An accelerated host name, checked once and then trusted.

use std::fmt;
use std::sync::Arc;

/// A lower-case host name (RFC 1123 labels, underscores allowed as DNS does): safe as a label
/// value and inside the provider's comma-separated `domain` parameter without escaping.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Arc<str>);

/// Why a text is no host name; each message ends with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// Nothing, or blanks only.
    #[error("is empty: write a host name such as www.example.com")]
    Empty,
    /// Blanks inside or around the name.
    #[error("contains white space: write the bare host name")]
    WhiteSpace,
    /// `https://www.example.com`.
    #[error("has a scheme: write {0} instead")]
    Scheme(String),
    /// `www.example.com/path`.
    #[error("has a path: write {0} instead")]
    Path(String),
    /// `www.example.com:443`.
    #[error("has a port: write {0} instead")]
    Port(String),
    /// Several names in one text.
    #[error("holds several names: list each as an item of its own")]
    Several,
    /// `*.example.com`.
    #[error("is a wildcard: list each host name as an item of its own")]
    Wildcard,
    /// `www.example.com.`
    #[error("ends with a dot: remove it")]
    TrailingDot,
    /// Letters outside ASCII.
    #[error("has letters outside ASCII: write its punycode form (xn--…)")]
    NotAscii,
    /// An address rather than a name.
    #[error("is an address: write the host name that is accelerated")]
    Address,
    /// Any other violation of the grammar.
    #[error(
        "is no host name: labels of 1 to 63 letters, digits, hyphens or underscores, joined by dots, \
         253 characters at most, no label starting or ending with a hyphen"
    )]
    Grammar,
}

impl Domain {
    /// Checks a configured name and lower-cases it.
    ///
    /// # Errors
    /// Says what is wrong with the name and how to write it.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        if text.trim().is_empty() {
            return Err(DomainError::Empty);
        }
        if text.contains(char::is_whitespace) {
            return Err(DomainError::WhiteSpace);
        }
        if let Some((_, rest)) = text.split_once("://") {
            return Err(DomainError::Scheme(host_part(rest)));
        }
        // The full-width comma and its kin are what a Chinese keyboard gives.
        if text.contains([',', ';', '，', '、', '；']) {
            return Err(DomainError::Several);
        }
        if text.contains('/') {
            return Err(DomainError::Path(host_part(text)));
        }
        if text.contains(':') {
            return Err(match text.parse::<std::net::Ipv6Addr>() {
                Ok(_) => DomainError::Address,
                Err(_) => DomainError::Port(host_part(text)),
            });
        }
        if text.contains('*') {
            return Err(DomainError::Wildcard);
        }
        if !text.is_ascii() {
            return Err(DomainError::NotAscii);
        }
        if text.ends_with('.') {
            return Err(DomainError::TrailingDot);
        }
        if text.parse::<std::net::Ipv4Addr>().is_ok() {
            return Err(DomainError::Address);
        }
        let well_formed = text.len() <= 253 && text.split('.').all(is_label);
        let numeric_end = text
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if !well_formed || numeric_end {
            return Err(DomainError::Grammar);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The host name, lower-case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name in a provider's reply means this domain. The documented example carries
    /// blanks around names (`bandwidth_flow`, section 4); letter case and DNS's dot at the end are not
    /// meaningful.
    #[must_use]
    pub fn matches(&self, reported: &str) -> bool {
        let reported = reported.trim();
        let reported = reported.strip_suffix('.').unwrap_or(reported);
        self.0.eq_ignore_ascii_case(reported)
    }

    /// A hash of the name that is the same in every process and release (FNV-1a, then a
    /// finaliser, since FNV's high bits mix poorly): the place of the domain in a round.
    #[must_use]
    pub fn stable_hash(&self) -> u64 {
        stable_hash(self.0.as_bytes())
    }
}

/// See [`Domain::stable_hash`].
#[must_use]
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv)
}

/// The finaliser of `SplitMix64`: a bijection after which every bit depends on every other.
#[must_use]
pub const fn mix(bits: u64) -> u64 {
    let mixed = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn host_part(text: &str) -> String {
    text.split(['/', ':', '?', '#'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_taken_in_lower_case() {
        for (given, kept) in [
            ("www.a.com", "www.a.com"),
            ("WWW.A.com", "www.a.com"),
            ("xn--fiq228c.com", "xn--fiq228c.com"),
            ("a_b.c-d.e1", "a_b.c-d.e1"),
            ("intranet", "intranet"),
        ] {
            assert_eq!(Domain::parse(given).unwrap().as_str(), kept);
        }
    }

    #[test]
    fn what_is_no_host_name_is_refused_with_a_remedy() {
        let long = format!("{}.com", "a".repeat(64));
        for (given, error) in [
            ("", DomainError::Empty),
            ("  ", DomainError::Empty),
            (" www.a.com", DomainError::WhiteSpace),
            ("https://WWW.a.com/x", DomainError::Scheme("www.a.com".into())),
            ("www.a.com/x", DomainError::Path("www.a.com".into())),
            ("www.a.com:443", DomainError::Port("www.a.com".into())),
            ("a.com,b.com", DomainError::Several),
            ("a.com，b.com", DomainError::Several),
            ("a.com;b.com", DomainError::Several),
            ("*.a.com", DomainError::Wildcard),
            ("www.a.com.", DomainError::TrailingDot),
            ("中文.com", DomainError::NotAscii),
            ("10.0.0.1", DomainError::Address),
            ("::1", DomainError::Address),
            ("-a.com", DomainError::Grammar),
            ("a..com", DomainError::Grammar),
            ("a\"b.com", DomainError::Grammar),
            ("1.2.3", DomainError::Grammar),
            (long.as_str(), DomainError::Grammar),
        ] {
            assert_eq!(Domain::parse(given).unwrap_err(), error, "{given:?}");
        }
    }

    #[test]
    fn names_in_replies_match_whatever_their_blanks_and_case() {
        let domain = Domain::parse("play.live.com").unwrap();
        assert!(domain.matches(" Play.Live.com "));
        assert!(domain.matches("play.live.com."));
        assert!(!domain.matches("play.live.co"));
        assert!(!domain.matches("play.live.com.."));
    }

    #[test]
    fn the_hash_spreads_similar_names() {
        let mut tenths = [0_u32; 10];
        for i in 0..10_000 {
            let hash = Domain::parse(&format!("d{i}.example.com")).unwrap().stable_hash();
            tenths[usize::try_from(hash / (u64::MAX / 10 + 1)).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|n| (850..1150).contains(n)), "{tenths:?}");
    }
}
