//! How many calls an account takes, whether its rate limit allows them, and which settings would.

use std::time::Duration;

use super::shard::{MAX_SHARDS, Ownership};
use crate::model::{Domain, Endpoint};

const ENDPOINTS: usize = Endpoint::ALL.len();

/// One for each endpoint, at its [`Endpoint::index`].
pub type ByEndpoint<T> = [T; ENDPOINTS];

/// Rates are decimal fractions that binary numbers miss by a hair: 29 calls at 0.29 a second are 100
/// seconds, not 100.00000000000001. What differs by less than this part is equal.
const EQUAL: f64 = 1e-9;

/// Intervals from here on are proposed in whole seconds, shorter ones in milliseconds.
const WHOLE_SECONDS_FROM: Duration = Duration::from_secs(10);

/// The settings that decide how many calls an account takes and may make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// From one poll of a domain to the next; above 0 by validation.
    pub interval: Duration,
    /// Most requests per second; above 0 by validation.
    pub per_second: f64,
    /// Most domains in one call.
    pub batches: ByEndpoint<usize>,
}

/// The calls of one account. Retries, and how long the provider takes, are no part of it: they cannot
/// be known beforehand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    terms: Terms,
    domains: ByEndpoint<usize>,
}

/// Settings with each of which alone the calls would fit; `None` where no value would.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Remedies {
    /// The shortest interval, rounded up to a second, or to a millisecond below ten seconds.
    pub interval: Duration,
    /// The lowest rate, rounded up to three digits.
    pub per_second: f64,
    /// The smallest batches: one endpoint's larger than it is, or both where one is not enough.
    pub batches: Option<ByEndpoint<usize>>,
}

impl Budget {
    /// The budget of so many domains at each endpoint.
    #[must_use]
    pub const fn new(terms: Terms, domains: ByEndpoint<usize>) -> Self {
        Self { terms, domains }
    }

    /// How many domains are read at an endpoint.
    #[must_use]
    pub fn domains(&self, endpoint: Endpoint) -> usize {
        self.domains.get(endpoint.index()).copied().unwrap_or(0)
    }

    /// Most domains in one call of an endpoint.
    #[must_use]
    pub fn batch(&self, endpoint: Endpoint) -> usize {
        self.terms
            .batches
            .get(endpoint.index())
            .copied()
            .unwrap_or(1)
            .max(1)
    }

    /// The calls that one poll of all domains takes at an endpoint, which are its batches.
    #[must_use]
    pub fn calls(&self, endpoint: Endpoint) -> usize {
        self.domains(endpoint).div_ceil(self.batch(endpoint))
    }

    /// The calls that one poll of all domains takes.
    #[must_use]
    pub fn calls_per_poll(&self) -> usize {
        Endpoint::ALL
            .into_iter()
            .map(|endpoint| self.calls(endpoint))
            .sum()
    }

    /// So many calls in every interval, as a number for each `span`.
    #[must_use]
    pub fn per(&self, span: Duration, calls: usize) -> f64 {
        float(calls) * span.as_secs_f64() / self.terms.interval.as_secs_f64()
    }

    /// The calls that the rate limit allows in one interval; a fraction of a call counts.
    #[must_use]
    pub fn allowed(&self) -> f64 {
        let product = self.terms.per_second * self.terms.interval.as_secs_f64();
        let whole = product.round();
        if (product - whole).abs() <= whole * EQUAL {
            whole
        } else {
            product
        }
    }

    /// The part of the rate limit that is used: 1 where it is used up.
    #[must_use]
    pub fn share(&self) -> f64 {
        float(self.calls_per_poll()) / self.allowed()
    }

    /// Whether the rate limit allows the calls.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.allows(float(self.calls_per_poll()))
    }

    fn allows(&self, calls: f64) -> bool {
        calls <= self.allowed()
    }

    /// How many more domains that are read at these endpoints the rate limit has room for, of so many at
    /// most.
    #[must_use]
    pub fn room(&self, endpoints: ByEndpoint<bool>, most: usize) -> usize {
        let fits = |more: usize| {
            let mut domains = self.domains;
            for (count, read) in domains.iter_mut().zip(endpoints) {
                *count += if read { more } else { 0 };
            }
            Self { domains, ..*self }.fits()
        };
        // So many fit, and so many do not or are not asked about: calls only grow with domains.
        let (mut room, mut beyond) = (0, most.saturating_add(1));
        while beyond - room > 1 {
            let middle = room.midpoint(beyond);
            if fits(middle) {
                room = middle;
            } else {
                beyond = middle;
            }
        }
        room
    }

    /// What would do; batches of at most `most` domains are proposed.
    #[must_use]
    pub fn remedies(&self, most: usize) -> Remedies {
        let calls = float(self.calls_per_poll());
        Remedies {
            interval: interval_for(calls / self.terms.per_second),
            per_second: three_digits_up(calls / self.terms.interval.as_secs_f64()),
            batches: self.larger_batches(most),
        }
    }

    /// `origin_ratio` takes lists by its documents, so it is tried first.
    fn larger_batches(&self, most: usize) -> Option<ByEndpoint<usize>> {
        let [flow, ratio] = self.terms.batches;
        let fits = |batches: &ByEndpoint<usize>| {
            let terms = Terms {
                batches: *batches,
                ..self.terms
            };
            Self { terms, ..*self }.fits()
        };
        let of_ratio = (ratio..=most).map(|ratio| [flow, ratio]).find(fits);
        let of_flow = || (flow..=most).map(|flow| [flow, ratio]).find(fits);
        let of_both = || {
            (1..=most)
                .map(|both| [both.max(flow), both.max(ratio)])
                .find(fits)
        };
        of_ratio.or_else(of_flow).or_else(of_both)
    }
}

/// The fewest shards of which each fits its budget, if there are any: with each domain, the endpoints
/// that it is read at.
#[must_use]
pub fn fewest_shards<'a>(
    terms: Terms,
    domains: impl IntoIterator<Item = (&'a Domain, ByEndpoint<bool>)>,
) -> Option<u32> {
    let (mut owners, endpoints): (Vec<Ownership>, Vec<ByEndpoint<bool>>) = domains
        .into_iter()
        .map(|(domain, endpoints)| (Ownership::new(domain), endpoints))
        .unzip();
    let mut whole = [0_usize; ENDPOINTS];
    for endpoints in &endpoints {
        add(&mut whole, *endpoints);
    }
    let whole = Budget::new(terms, whole);
    let calls = float(whole.calls_per_poll());
    // The largest share takes at least this part of the calls.
    let can_fit = |count: u32| whole.allows(calls / f64::from(count));
    if !can_fit(MAX_SHARDS) {
        return None;
    }
    (1..=MAX_SHARDS).find(|count| {
        for owner in &mut owners {
            owner.another_shard();
        }
        can_fit(*count) && {
            let mut shares = vec![[0_usize; ENDPOINTS]; usize::try_from(*count).unwrap_or(1)];
            for (owner, endpoints) in owners.iter().zip(&endpoints) {
                let share = usize::try_from(owner.ordinal()).ok();
                if let Some(share) = share.and_then(|place| shares.get_mut(place)) {
                    add(share, *endpoints);
                }
            }
            shares.iter().all(|share| Budget::new(terms, *share).fits())
        }
    })
}

fn add(counts: &mut ByEndpoint<usize>, endpoints: ByEndpoint<bool>) {
    for (count, endpoint) in counts.iter_mut().zip(endpoints) {
        *count += usize::from(endpoint);
    }
}

/// No list of domains is long enough to lose digits here.
fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn interval_for(seconds: f64) -> Duration {
    let exact = Duration::try_from_secs_f64(seconds * (1.0 - EQUAL)).unwrap_or(Duration::MAX);
    let unit = if exact < WHOLE_SECONDS_FROM {
        Duration::from_millis(1)
    } else {
        Duration::from_secs(1)
    };
    let units = exact.as_nanos().div_ceil(unit.as_nanos());
    u32::try_from(units).map_or(Duration::MAX, |units| unit.saturating_mul(units.max(1)))
}

fn three_digits_up(rate: f64) -> f64 {
    let digits = (2.0 - rate.log10().floor()).max(0.0);
    let scale = 10_f64.powf(digits);
    (rate * scale * (1.0 - EQUAL)).ceil() / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn terms(seconds: u64, per_second: f64, batches: ByEndpoint<usize>) -> Terms {
        Terms {
            interval: Duration::from_secs(seconds),
            per_second,
            batches,
        }
    }

    /// With the default settings: 60 s, 10 a second, batches of 1 and 20.
    const fn with_defaults(flow: usize, ratio: usize) -> Budget {
        Budget::new(terms(60, 10.0, [1, 20]), [flow, ratio])
    }

    #[test]
    fn calls_are_batches_of_both_endpoints() {
        let budget = with_defaults(100, 81);
        assert_eq!(budget.calls(Endpoint::BandwidthFlow), 100);
        assert_eq!(budget.calls(Endpoint::OriginRatio), 5);
        assert_eq!(budget.calls_per_poll(), 105);
        assert!((budget.per(Duration::from_secs(3_600), 105) - 6_300.0).abs() < 1e-9);
        assert!((budget.allowed() - 600.0).abs() < 1e-9);
        assert!((budget.share() - 0.175).abs() < 1e-9);
        assert_eq!(with_defaults(0, 0).calls_per_poll(), 0);
        assert!(with_defaults(0, 0).fits());
    }

    #[test]
    fn room_is_what_fits_beside_what_is_there() {
        // 571 by 1 and 29 batches of 20 are the 600 calls of a minute at 10 a second.
        for (there, endpoints, most, room) in [
            ([0, 0], [true, true], 2_000, 571),
            ([1, 1], [true, true], 2_000, 570),
            ([0, 0], [true, true], 500, 500),
            ([0, 0], [true, false], 2_000, 600),
            ([590, 0], [false, true], 2_000, 200),
            ([600, 0], [true, true], 2_000, 0),
            ([700, 0], [true, true], 2_000, 0),
            ([0, 0], [true, true], 0, 0),
        ] {
            let budget = with_defaults(there[0], there[1]);
            assert_eq!(
                budget.room(endpoints, most),
                room,
                "{there:?} {endpoints:?} {most}"
            );
        }
    }

    /// Decimal rates of which the product with the interval is not what it should be in binary:
    /// 0.29 * 100 is 28.999999999999996, 1.1 * 10 is 11.000000000000002.
    #[test]
    fn exactly_as_many_calls_as_allowed_fit_and_one_more_does_not() {
        for (seconds, per_second, most) in [
            (60, 10.0, 600),
            (100, 0.29, 29),
            (10, 1.1, 11),
            (30, 0.1, 3),
            (86_400, 100_000.0, 8_640_000_000),
            (300, 3.33, 999),
            (1, 0.7, 0),
        ] {
            let fits = |calls| Budget::new(terms(seconds, per_second, [1, 1]), [calls, 0]).fits();
            if most < 1 << 32 {
                assert!(fits(most), "{most} at {per_second} in {seconds} s");
                assert!(!fits(most + 1), "{most} + 1 at {per_second} in {seconds} s");
            }
        }
        let short = Terms {
            interval: Duration::from_millis(100),
            ..terms(0, 1_000.0, [1, 1])
        };
        assert!(Budget::new(short, [60, 40]).fits());
        assert!(!Budget::new(short, [60, 41]).fits());
    }

    #[test]
    fn remedies_are_the_smallest_that_do() {
        // 1,000 + 40 calls where 600 are allowed.
        let remedies = with_defaults(1_000, 800).remedies(1_000);
        assert_eq!(remedies.interval, Duration::from_secs(104));
        // 17.333… a second.
        assert!((remedies.per_second - 17.4).abs() < 1e-9);
        // 500 calls of two domains and 40 of twenty; no batch of origin_ratio could save 400.
        assert_eq!(remedies.batches, Some([2, 20]));
        // 590 + 40: 1 call for each 80 domains leaves 600.
        assert_eq!(with_defaults(590, 800).remedies(1_000).batches, Some([1, 80]));
        // Each alone is more than the 2 that are allowed.
        let both = Budget::new(terms(1, 2.0, [1, 20]), [100, 100]).remedies(1_000);
        assert_eq!(both.batches, Some([100, 100]));
        assert_eq!(both.interval, Duration::from_secs(53));
        // Two calls are the least.
        let hopeless = Budget::new(terms(1, 1.0, [1, 20]), [1, 1]).remedies(1_000);
        assert_eq!(hopeless.batches, None);
        assert_eq!(
            (hopeless.interval, hopeless.per_second.to_bits()),
            (Duration::from_secs(2), 2.0_f64.to_bits())
        );
    }

    fn domains(count: usize) -> Vec<Domain> {
        (0..count)
            .map(|i| Domain::parse(&format!("d{i}.example.com")).unwrap())
            .collect()
    }

    #[test]
    fn shards_are_as_few_as_fit() {
        let domains = domains(1_000);
        let both = || domains.iter().map(|domain| (domain, [true, true]));
        let shares = |count: u32| -> Vec<usize> {
            let mut shares = vec![0; usize::try_from(count).unwrap()];
            for domain in &domains {
                shares[usize::try_from(super::super::owner(domain, count)).unwrap()] += 1;
            }
            shares
        };
        for per_second in [1.0, 2.0, 4.0, 9.0, 17.5, 20.0] {
            let terms = terms(60, per_second, [1, 20]);
            let fewest = fewest_shards(terms, both()).unwrap();
            let fits = |count| {
                shares(count)
                    .into_iter()
                    .all(|share| Budget::new(terms, [share, share]).fits())
            };
            assert!(fits(fewest), "{per_second}: {fewest}");
            assert!((1..fewest).all(|count| !fits(count)), "{per_second}: {fewest}");
        }
        assert_eq!(fewest_shards(terms(60, 20.0, [1, 20]), both()), Some(1));
        // A domain that is read at both endpoints takes two calls wherever it is.
        assert_eq!(fewest_shards(terms(1, 1.0, [1, 20]), both().take(1)), None);
        assert_eq!(fewest_shards(terms(1, 0.9, [1, 1]), both()), None);
        assert_eq!(fewest_shards(terms(1, 1.0, [1, 1]), both().take(0)), Some(1));
    }

    proptest! {
        /// Whatever the settings: what is proposed fits, and anything less does not.
        #[test]
        fn what_is_proposed_fits(
            flow in 0_usize..3_000,
            ratio in 0_usize..3_000,
            millis in 100_u64..100_000,
            rate in 1_u32..10_000,
            batches in [1_usize..30, 1_usize..30],
        ) {
            let per_second = f64::from(rate) / 100.0;
            let terms = Terms { interval: Duration::from_millis(millis), per_second, batches };
            let budget = Budget::new(terms, [flow, ratio]);
            prop_assume!(budget.calls_per_poll() > 0);
            let fits = |terms| Budget::new(terms, [flow, ratio]).fits();
            let Terms { interval, per_second, batches } = terms;
            let every = |interval| fits(Terms { interval, per_second, batches });
            let at = |per_second| fits(Terms { interval, per_second, batches });
            let by = |batches| fits(Terms { interval, per_second, batches });
            let remedies = budget.remedies(1_000);
            let shorter = if remedies.interval > WHOLE_SECONDS_FROM {
                Duration::from_secs(1)
            } else {
                Duration::from_millis(1)
            };
            prop_assert!(every(remedies.interval));
            prop_assert!(!every(remedies.interval.saturating_sub(shorter)));
            prop_assert!(at(remedies.per_second));
            prop_assert!(!at(remedies.per_second * 0.99));
            match remedies.batches {
                Some(batches) => prop_assert!(by(batches)),
                None => prop_assert!(!by([1_000, 1_000])),
            }
        }
    }
}
