//! Which of several exporters owns which domain: rendezvous hashing, so that one more moves few.

use std::fmt;
use std::str::FromStr;

use crate::model::{Domain, mix};

/// The most shards: 1,000 of 100,000 domains each are a hundred million domains. An owner is found by
/// asking every shard, so the bound keeps the cost of a list of domains in sight.
pub const MAX_SHARDS: u32 = 1_000;

/// The increment of `SplitMix64` (Steele, Lea and Flood, 2014): 2^64 divided by the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// One of `count` exporters that share the domains; the whole where there is only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    ordinal: u32,
    count: u32,
}

impl Shard {
    /// The only one: it owns every domain.
    pub const WHOLE: Self = Self { ordinal: 0, count: 1 };

    /// Shard number `ordinal` (from 0) of `count`, 1 to [`MAX_SHARDS`].
    ///
    /// # Errors
    /// The numbers are out of their range; the message says which.
    pub fn new(ordinal: u32, count: u32) -> Result<Self, ShardError> {
        if !(1..=MAX_SHARDS).contains(&count) {
            return Err(ShardError::Count(count.to_string()));
        }
        if ordinal >= count {
            return Err(ShardError::Ordinal {
                ordinal: ordinal.to_string(),
                count,
            });
        }
        Ok(Self { ordinal, count })
    }

    /// Its number, from 0.
    #[must_use]
    pub const fn ordinal(self) -> u32 {
        self.ordinal
    }

    /// How many there are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Whether it is the only one.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Whether a domain is polled and served by this one; exactly one of all owns it.
    #[must_use]
    pub fn owns(self, domain: &Domain) -> bool {
        self.owner_of(domain) == self
    }

    /// The one of all that owns a domain.
    #[must_use]
    pub fn owner_of(self, domain: &Domain) -> Self {
        Self {
            ordinal: owner(domain, self.count),
            ..self
        }
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// The ordinal of the shard that owns a domain among `count`: the one of the highest weight. A shard's
/// weight does not depend on how many there are, so another one takes over the domains at which it
/// weighs most, and moves no others.
#[must_use]
pub fn owner(domain: &Domain, count: u32) -> u32 {
    let mut ownership = Ownership::new(domain);
    for _ in 0..count {
        ownership.another_shard();
    }
    ownership.ordinal
}

/// Who owns a domain while the number of shards grows from 0, one by one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ownership {
    seed: u64,
    shards: u32,
    ordinal: u32,
    weight: u64,
}

impl Ownership {
    pub(super) fn new(domain: &Domain) -> Self {
        Self {
            seed: domain.stable_hash(),
            shards: 0,
            ordinal: 0,
            weight: 0,
        }
    }

    /// One more shard, which takes the domain over if it weighs more there; at a tie it stays.
    pub(super) fn another_shard(&mut self) {
        let weight = weight(self.seed, self.shards);
        if weight > self.weight {
            self.ordinal = self.shards;
            self.weight = weight;
        }
        self.shards += 1;
    }

    /// The owner among the shards so far; 0 where there are none.
    pub(super) const fn ordinal(&self) -> u32 {
        self.ordinal
    }
}

/// Output number `ordinal` of `SplitMix64` from a seed: a published generator, so that weights can be
/// computed by anybody, in which neighbouring ordinals are as unlike as strangers.
fn weight(seed: u64, ordinal: u32) -> u64 {
    mix(seed.wrapping_add(GAMMA.wrapping_mul(u64::from(ordinal) + 1)))
}

/// Why a text is no shard; each message ends with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// No slash, or a side of it is empty.
    #[error("wanted is ordinal/count: write for example 0/4, or a pod name as in jdcloud-cdn-exporter-0/4")]
    Shape,
    /// Blanks anywhere.
    #[error("contains white space: write for example 0/4 without blanks")]
    WhiteSpace,
    /// What stands behind the slash is no number of shards.
    #[error("{0} is no number of shards: write a whole number from 1 to {MAX_SHARDS} behind the slash")]
    Count(String),
    /// What stands before the slash has no number at its end.
    #[error(
        "{0} has no ordinal: write a whole number from 0 before the slash, or a pod name that ends with a \
         hyphen and its number, as in jdcloud-cdn-exporter-0"
    )]
    NoOrdinal(String),
    /// Counted from 1, or of another number of shards.
    #[error(
        "there is no shard {ordinal} of {count}: shards are counted from 0, so write 0/{count} to {}/{count}, \
         or a larger count",
        count.saturating_sub(1)
    )]
    Ordinal {
        /// As given.
        ordinal: String,
        /// Behind the slash.
        count: u32,
    },
}

/// `i/n`, where `i` may be the name of a pod of a Kubernetes `StatefulSet`, whose ordinal is the number
/// behind its last hyphen.
impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        if text.contains(char::is_whitespace) {
            return Err(ShardError::WhiteSpace);
        }
        let (member, count) = text
            .split_once('/')
            .filter(|(member, count)| !member.is_empty() && !count.is_empty())
            .ok_or(ShardError::Shape)?;
        let count = number(count)
            .filter(|count| (1..=MAX_SHARDS).contains(count))
            .ok_or_else(|| ShardError::Count(count.to_owned()))?;
        let digits = match member.rsplit_once('-') {
            Some((name, digits)) if !name.is_empty() => digits,
            _ => member,
        };
        if !is_number(digits) {
            return Err(ShardError::NoOrdinal(member.to_owned()));
        }
        // One that is too large for a number is too large for any count.
        number(digits)
            .and_then(|ordinal| Self::new(ordinal, count).ok())
            .ok_or_else(|| ShardError::Ordinal {
                ordinal: digits.to_owned(),
                count,
            })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ordinal, self.count)
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Digits only: a sign is no part of an ordinal.
fn number(text: &str) -> Option<u32> {
    is_number(text).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn ten_thousand() -> Vec<Domain> {
        (0..10_000)
            .map(|i| domain(&format!("d{i}.example.com")))
            .collect()
    }

    /// A release that moves domains would make two shards serve them, or none, while it is rolled out.
    /// The owners were computed by another program (FNV-1a and `SplitMix64` in a few lines of Python).
    #[test]
    fn owners_are_the_same_in_every_release() {
        let counts = [1, 2, 3, 4, 5, 16, 1000];
        for (name, owners) in [
            ("www.example.com", [0, 1, 1, 1, 1, 5, 128]),
            ("img.example.com", [0, 0, 0, 0, 4, 7, 144]),
            ("play.live.com", [0, 0, 0, 0, 0, 0, 47]),
            ("www.a.com", [0, 0, 0, 0, 4, 4, 714]),
            ("xn--fiq228c.com", [0, 0, 2, 2, 2, 2, 83]),
            ("a_b.c-d.e1", [0, 0, 0, 0, 0, 15, 804]),
            ("intranet", [0, 0, 2, 2, 2, 2, 533]),
            ("d0.example.com", [0, 0, 0, 0, 0, 0, 134]),
            ("d1.example.com", [0, 1, 1, 3, 3, 9, 218]),
            ("d9999.example.com", [0, 1, 2, 2, 2, 7, 542]),
        ] {
            assert_eq!(counts.map(|count| owner(&domain(name), count)), owners, "{name}");
        }
    }

    #[test]
    fn one_more_shard_takes_its_part_and_moves_nothing_else() {
        let domains = ten_thousand();
        for count in [1, 2, 3, 4, 9, 15] {
            let mut moved = 0_u32;
            for domain in &domains {
                let (before, after) = (owner(domain, count), owner(domain, count + 1));
                if before != after {
                    assert_eq!(after, count, "{domain} moved between old shards");
                    moved += 1;
                }
            }
            // The part of the new one; four standard deviations of a fair draw are less than a fifth.
            let fair = 10_000 / (count + 1);
            assert!(
                moved.abs_diff(fair) < fair / 5,
                "{count} to {}: {moved}",
                count + 1
            );
        }
    }

    #[test]
    fn shards_are_of_about_the_same_size() {
        let domains = ten_thousand();
        for count in [2, 3, 4, 7, 16] {
            let mut sizes = vec![0_u32; usize::try_from(count).unwrap()];
            for domain in &domains {
                sizes[usize::try_from(owner(domain, count)).unwrap()] += 1;
            }
            let fair = 10_000 / count;
            assert!(
                sizes.iter().all(|size| size.abs_diff(fair) < fair / 5),
                "{count}: {sizes:?}"
            );
        }
    }

    #[test]
    fn an_ordinal_is_a_number_or_at_the_end_of_a_pod_name() {
        for (text, ordinal, count) in [
            ("0/1", 0, 1),
            ("3/4", 3, 4),
            ("jdcloud-cdn-exporter-2/4", 2, 4),
            ("x-11/1000", 11, 1000),
        ] {
            let shard: Shard = text.parse().unwrap();
            assert_eq!((shard.ordinal(), shard.count()), (ordinal, count), "{text}");
        }
        assert_eq!("0/1".parse(), Ok(Shard::WHOLE));
        assert_eq!("pod-1/2".parse::<Shard>().unwrap().to_string(), "1/2");
    }

    #[test]
    fn what_is_no_shard_is_refused_with_what_is_wanted() {
        for (text, part) in [
            (
                "4/4",
                "there is no shard 4 of 4: shards are counted from 0, so write 0/4 to 3/4",
            ),
            ("pod-4/4", "there is no shard 4 of 4"),
            ("99999999999/4", "there is no shard 99999999999 of 4"),
            (
                "0/0",
                "0 is no number of shards: write a whole number from 1 to 1000",
            ),
            ("0/1001", "1001 is no number of shards"),
            ("0/x", "x is no number of shards"),
            ("0/+4", "+4 is no number of shards"),
            ("0/4/4", "4/4 is no number of shards"),
            ("x/4", "x has no ordinal: write a whole number from 0"),
            ("pod-/4", "pod- has no ordinal"),
            ("pod-x/4", "pod-x has no ordinal"),
            ("pod2/4", "pod2 has no ordinal"),
            ("-1/4", "-1 has no ordinal"),
            ("+1/4", "+1 has no ordinal"),
            ("1.0/4", "1.0 has no ordinal"),
            ("1/", "wanted is ordinal/count"),
            ("/4", "wanted is ordinal/count"),
            ("1", "wanted is ordinal/count"),
            ("", "wanted is ordinal/count"),
            ("1 / 4", "white space"),
            (" ", "white space"),
        ] {
            let message = text.parse::<Shard>().unwrap_err().to_string();
            assert!(
                message.starts_with(part) || message.contains(part),
                "{text:?}: {message}"
            );
        }
    }

    proptest! {
        /// Whatever the names: exactly one owner, and it is the only one that says so.
        #[test]
        fn every_domain_has_exactly_one_owner(label in "[a-z0-9]{1,20}", count in 1_u32..40) {
            let domain = domain(&format!("{label}.example.com"));
            let owners: Vec<u32> = (0..count)
                .filter(|ordinal| Shard::new(*ordinal, count).unwrap().owns(&domain))
                .collect();
            prop_assert_eq!(owners, [owner(&domain, count)]);
        }

        /// From any count to any larger one, a domain stays or goes to one of the new shards.
        #[test]
        fn growth_moves_domains_to_new_shards_only(label in "[a-z0-9]{1,20}", a in 1_u32..40, b in 1_u32..40) {
            let domain = domain(&format!("{label}.example.com"));
            let (few, many) = (a.min(b), a.max(b));
            let after = owner(&domain, many);
            prop_assert!(after == owner(&domain, few) || after >= few);
        }

        #[test]
        fn any_text_is_a_shard_or_explained(text: String) {
            if let Ok(shard) = text.parse::<Shard>() {
                prop_assert!(shard.ordinal() < shard.count() && shard.count() <= MAX_SHARDS);
            }
        }
    }
}
