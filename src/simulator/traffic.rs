//! The simulated traffic: what the provider would report, as a pure function of seed, domain and window.

use std::f64::consts::TAU;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::{Domain, Window, stable_hash};

/// What both endpoints finally report for one domain and window, in the provider's units with two
/// decimals as its documents print them.
///
/// Ratio and flow are computed before rounding: the documents print 1.53 of 6.46 as 23.62 %
/// (`origin_ratio`, section 4) and 6.1 Mbps as 228.88 MB (`bandwidth_flow`, section 4).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// `bandwidth` of `bandwidth_flow`, Mbps.
    pub bandwidth_mbps: f64,
    /// `flow` of `bandwidth_flow`, MB in the window.
    pub flow_mb: f64,
    /// `bandwidth` of `origin_ratio`, Mbps. Counted apart, so it differs a little from
    /// `bandwidth_mbps`: a gauge that is fed from the other endpoint's field shows.
    pub edge_mbps: f64,
    /// `originBandwidth`, Mbps.
    pub origin_mbps: f64,
    /// `originRatio`, percent; absent where nothing was delivered.
    pub origin_ratio_percent: Option<f64>,
}

/// MB in a window per Mbps: 300 s / 8 bit.
const MB_PER_MBPS: f64 = 37.5;

impl Truth {
    /// From exact figures in Mbps: what `bandwidth_flow` counts, what `origin_ratio` counts, and
    /// what of the latter came from the origin.
    #[must_use]
    pub fn from_exact(bandwidth: f64, edge: f64, origin: f64) -> Self {
        let edge_mbps = hundredths(edge);
        Self {
            bandwidth_mbps: hundredths(bandwidth),
            flow_mb: hundredths(bandwidth * MB_PER_MBPS),
            edge_mbps,
            origin_mbps: hundredths(origin),
            origin_ratio_percent: (edge_mbps > 0.0).then(|| hundredths(origin / edge * 100.0)),
        }
    }

    /// Whether nothing was delivered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.bandwidth_mbps <= 0.0 && self.edge_mbps <= 0.0
    }

    /// The same with every quantity multiplied; the ratio moves too, so that each field differs.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self {
            bandwidth_mbps: hundredths(self.bandwidth_mbps * factor),
            flow_mb: hundredths(self.flow_mb * factor),
            edge_mbps: hundredths(self.edge_mbps * factor),
            origin_mbps: hundredths(self.origin_mbps * factor),
            origin_ratio_percent: self.origin_ratio_percent.map(|ratio| hundredths(ratio * factor)),
        }
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// When windows appear and how many are revised. Times in seconds after the window's end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lateness {
    /// Most windows appear between this ...
    pub earliest: u32,
    /// ... and this.
    pub latest: u32,
    /// The share of windows that come later than `latest`, 0 to 1.
    pub late_share: f64,
    /// The latest that one of those appears.
    pub very_latest: u32,
    /// The share of windows that first carry a preliminary value, 0 to 1.
    pub revised_share: f64,
    /// How long a preliminary value stands at most, after it appeared.
    pub preliminary_for: u32,
}

impl Lateness {
    /// Every window is there, final, at the moment it ends.
    pub const PROMPT: Self = Self {
        earliest: 0,
        latest: 0,
        late_share: 0.0,
        very_latest: 0,
        revised_share: 0.0,
        preliminary_for: 0,
    };

    /// Most windows after 2 to 8 minutes, one in 30 up to 25 minutes late, one in 10 revised within
    /// 15 minutes. Invented: the provider states no figures.
    pub const TYPICAL: Self = Self {
        earliest: 120,
        latest: 480,
        late_share: 1.0 / 30.0,
        very_latest: 1_500,
        revised_share: 0.1,
        preliminary_for: 900,
    };
}

/// Something that a test wants to happen to a domain, instead of what chance gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// This origin ratio in percent, before rounding.
    OriginRatio(f64),
    /// These figures in Mbps, exactly; all 0 is an idle window.
    Fixed {
        /// What both endpoints count as bandwidth.
        bandwidth_mbps: f64,
        /// What of it came from the origin.
        origin_mbps: f64,
    },
    /// The window appears this many seconds after its end.
    AppearsAfter(u32),
    /// Until this age in seconds the window shows its figures times `factor`.
    Preliminary {
        /// What the final figures are multiplied with.
        factor: f64,
        /// Seconds after the window's end from which the final figures stand.
        until_age: u32,
    },
}

/// An [`Effect`] on one domain for a run of windows, both ends included.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// The domain.
    pub domain: Domain,
    /// The first window.
    pub first: Window,
    /// The last window.
    pub last: Window,
    /// What happens. Of several of one kind the first in the list counts.
    pub effect: Effect,
}

/// The traffic of every domain there could be.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// Another seed gives other figures.
    pub seed: u64,
    /// When windows appear.
    pub lateness: Lateness,
    /// What is to happen.
    pub scripts: Vec<Script>,
}

impl Traffic {
    /// With typical lateness and nothing scripted.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            lateness: Lateness::TYPICAL,
            scripts: Vec::new(),
        }
    }

    /// With every window final at its end and nothing scripted.
    #[must_use]
    pub const fn prompt(seed: u64) -> Self {
        Self {
            seed,
            lateness: Lateness::PROMPT,
            scripts: Vec::new(),
        }
    }

    /// What is finally reported for a window.
    #[must_use]
    pub fn truth(&self, domain: &Domain, window: Window) -> Truth {
        self.of(domain).truth(window)
    }

    /// What is reported at `now`: nothing, a preliminary value, or the truth.
    #[must_use]
    pub fn visible(&self, domain: &Domain, window: Window, now: DateTime<Utc>) -> Option<Truth> {
        self.of(domain).visible(window, now)
    }

    /// From when on [`Traffic::visible`] equals [`Traffic::truth`].
    #[must_use]
    pub fn final_from(&self, domain: &Domain, window: Window) -> DateTime<Utc> {
        let stages = self.of(domain).stages(window);
        window.end() + TimeDelta::seconds(i64::from(stages.final_age))
    }

    /// The traffic of one domain; what does not depend on the window is worked out once.
    pub(super) fn of<'a>(&'a self, domain: &'a Domain) -> DomainTraffic<'a> {
        let hash = mix(domain.stable_hash(), self.seed);
        DomainTraffic {
            traffic: self,
            hash,
            // 10 Mbps to 1 Gbps, evenly over the orders of magnitude.
            peak_mbps: 10.0 * 10_f64.powf(2.0 * unit(hash, Salt::Peak)),
            origin_share: 0.02 + 0.10 * unit(hash, Salt::Origin),
            scripts: self.scripts.iter().filter(|s| s.domain == *domain).collect(),
        }
    }
}

/// When a window appears and when its value is final, in seconds after its end.
struct Stages {
    appears: u32,
    final_age: u32,
    preliminary_factor: f64,
}

/// See [`Traffic::of`].
pub(super) struct DomainTraffic<'a> {
    traffic: &'a Traffic,
    hash: u64,
    peak_mbps: f64,
    origin_share: f64,
    scripts: Vec<&'a Script>,
}

impl DomainTraffic<'_> {
    /// See [`Traffic::truth`].
    pub(super) fn truth(&self, window: Window) -> Truth {
        let mut ratio = None;
        for effect in self.effects(window) {
            match effect {
                Effect::Fixed {
                    bandwidth_mbps,
                    origin_mbps,
                } => return Truth::from_exact(bandwidth_mbps, bandwidth_mbps, origin_mbps),
                Effect::OriginRatio(percent) => ratio = ratio.or(Some(percent / 100.0)),
                Effect::AppearsAfter(_) | Effect::Preliminary { .. } => {}
            }
        }
        let chance = self.chance(window);
        let bandwidth = self.peak_mbps * day_curve(window) * around_one(chance, Salt::Noise, 0.03);
        // Half a percent to two percent less: enough to show in hundredths of the smallest domain.
        let edge = bandwidth * (0.98 + 0.015 * unit(chance, Salt::Edge));
        let share = ratio.unwrap_or_else(|| self.origin_share(window, chance));
        Truth::from_exact(bandwidth, edge, edge * share)
    }

    /// See [`Traffic::visible`].
    pub(super) fn visible(&self, window: Window, now: DateTime<Utc>) -> Option<Truth> {
        let age = now.timestamp() - window.end_seconds();
        if age < 0 {
            return None;
        }
        let stages = self.stages(window);
        if age < i64::from(stages.appears) {
            return None;
        }
        let truth = self.truth(window);
        if age < i64::from(stages.final_age) {
            return Some(truth.scaled(stages.preliminary_factor));
        }
        Some(truth)
    }

    fn stages(&self, window: Window) -> Stages {
        let lateness = &self.traffic.lateness;
        let chance = self.chance(window);
        let (mut scripted, mut preliminary) = (None, None);
        for effect in self.effects(window) {
            match effect {
                Effect::AppearsAfter(seconds) => scripted = scripted.or(Some(seconds)),
                Effect::Preliminary { factor, until_age } => {
                    preliminary = preliminary.or(Some((factor, until_age)));
                }
                Effect::Fixed { .. } | Effect::OriginRatio(_) => {}
            }
        }
        let appears = scripted.unwrap_or_else(|| {
            if unit(chance, Salt::IsLate) < lateness.late_share {
                between(lateness.latest, lateness.very_latest, chance, Salt::Late)
            } else {
                between(lateness.earliest, lateness.latest, chance, Salt::Late)
            }
        });
        let (preliminary_factor, final_age) = preliminary.unwrap_or_else(|| {
            if unit(chance, Salt::IsRevised) < lateness.revised_share {
                let stands = between(0, lateness.preliminary_for, chance, Salt::Revision);
                (0.70 + 0.25 * unit(chance, Salt::Factor), appears + stands)
            } else {
                (1.0, appears)
            }
        });
        Stages {
            appears,
            final_age: final_age.max(appears),
            preliminary_factor,
        }
    }

    /// A few percent, more in quiet hours; in one half hour of 50 a spike, as when a cache is purged.
    fn origin_share(&self, window: Window, chance: u64) -> f64 {
        const SPIKE_SECONDS: i64 = 1_800;
        let block = window.end_seconds() / SPIKE_SECONDS;
        let block_chance = mix(self.hash, block.unsigned_abs());
        if unit(block_chance, Salt::IsSpike) < 0.02 {
            return 0.35 + 0.35 * unit(block_chance, Salt::Spike);
        }
        self.origin_share * (1.3 - 0.4 * day_curve(window)) * around_one(chance, Salt::Share, 0.1)
    }

    fn effects(&self, window: Window) -> impl Iterator<Item = Effect> + '_ {
        self.scripts
            .iter()
            .filter(move |script| (script.first..=script.last).contains(&window))
            .map(|script| script.effect)
    }

    fn chance(&self, window: Window) -> u64 {
        mix(self.hash, window.end_seconds().unsigned_abs())
    }
}

/// The share of the peak at a window's middle: low before dawn, a working day, an evening peak at
/// 21:00 in Beijing.
fn day_curve(window: Window) -> f64 {
    const DAY: i64 = 86_400;
    const BEIJING: i64 = 8 * 3_600;
    let second = (window.end_seconds() - Window::SECONDS / 2 + BEIJING).rem_euclid(DAY);
    let hour = u32::try_from(second).map_or(0.0, f64::from) / 3_600.0;
    // 1 at the centre, falling off on both sides; periodic, so midnight has no step.
    let bump = |centre: f64, sharpness: f64| {
        let turn = (hour - centre) / 24.0 * TAU;
        ((turn.cos() - 1.0) * sharpness).exp()
    };
    0.22 + 0.25 * bump(14.0, 2.5) + 0.65 * bump(21.0, 5.0)
}

/// What a hash is asked for; each gives an independent number.
#[derive(Clone, Copy)]
enum Salt {
    Peak = 1,
    Origin,
    Noise,
    Edge,
    Share,
    IsSpike,
    Spike,
    IsLate,
    Late,
    IsRevised,
    Revision,
    Factor,
}

/// Evenly in `[0, 1)`, the same in every process.
fn unit(hash: u64, salt: Salt) -> f64 {
    hash_unit(salted(hash, salt))
}

fn salted(hash: u64, salt: Salt) -> u64 {
    #[allow(
        clippy::as_conversions,
        reason = "a field-less enum has no other way to its number"
    )]
    mix(hash, salt as u64)
}

/// A hash as a number in `[0, 1)`.
pub(super) fn hash_unit(hash: u64) -> f64 {
    u32::try_from(hash >> 32).map_or(0.0, f64::from) / (f64::from(u32::MAX) + 1.0)
}

/// One hash of two numbers.
pub(super) fn mix(a: u64, b: u64) -> u64 {
    stable_hash(&(a ^ b.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
}

fn around_one(hash: u64, salt: Salt, spread: f64) -> f64 {
    1.0 + spread * (2.0 * unit(hash, salt) - 1.0)
}

/// Evenly in `[low, high)`.
fn between(low: u32, high: u32, hash: u64, salt: Salt) -> u32 {
    let width = u64::from(high.saturating_sub(low));
    low + u32::try_from((width * (salted(hash, salt) >> 32)) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    /// 2018-06-02 17:15 in Beijing, the first bin of the documents' example.
    fn window() -> Window {
        Window::ending_at(1_527_930_900).unwrap()
    }

    fn at_age(window: Window, seconds: i64) -> DateTime<Utc> {
        window.end() + TimeDelta::seconds(seconds)
    }

    #[test]
    fn the_documents_figures_come_from_exact_ones_rounded_last() {
        // 128,000,000 bit/s and 2^20, as in `bandwidth_flow`, section 4.
        let truth = Truth::from_exact(128_000_000.0 / 1_048_576.0, 6.4645, 1.527);
        let expected = Truth {
            bandwidth_mbps: 122.07,
            flow_mb: 4577.64,
            // `origin_ratio`, section 4: 1.53 / 6.46 is 23.68 %, and 23.62 is printed.
            edge_mbps: 6.46,
            origin_mbps: 1.53,
            origin_ratio_percent: Some(23.62),
        };
        assert_eq!(truth, expected);
    }

    #[test]
    fn an_idle_window_has_no_ratio() {
        let truth = Truth::from_exact(0.0, 0.0, 0.0);
        assert!(truth.is_idle());
        assert_eq!(truth.origin_ratio_percent, None);
    }

    #[test]
    fn a_day_is_low_before_dawn_and_peaks_in_beijings_evening() {
        // Ends in UTC; Beijing is 8 h ahead.
        let at = |hour: i64| Window::ending_at(1_527_897_600 + hour * 3_600).unwrap();
        let (dawn, noon, evening) = (day_curve(at(21)), day_curve(at(6)), day_curve(at(13)));
        assert!(dawn < noon && noon < evening, "{dawn} {noon} {evening}");
        assert!((2.5..6.0).contains(&(evening / dawn)), "{evening} / {dawn}");
        let steps = (0..288).map(|i| (day_curve(at(0).plus(i)) - day_curve(at(0).plus(i + 1))).abs());
        assert!(steps.fold(0.0, f64::max) < 0.03);
    }

    #[test]
    fn domains_differ_in_size_and_seeds_in_figures() {
        let traffic = Traffic::new(1);
        let sizes: Vec<f64> = (0..50)
            .map(|i| {
                traffic
                    .truth(&domain(&format!("d{i}.example.com")), window())
                    .bandwidth_mbps
            })
            .collect();
        let (low, high) = sizes
            .iter()
            .fold((f64::MAX, 0.0_f64), |(l, h), s| (l.min(*s), h.max(*s)));
        assert!(high / low > 30.0, "{low} to {high}");
        let name = domain("www.example.com");
        assert_ne!(
            traffic.truth(&name, window()),
            Traffic::new(2).truth(&name, window())
        );
        assert_eq!(
            traffic.truth(&name, window()),
            Traffic::prompt(1).truth(&name, window())
        );
    }

    #[test]
    fn the_two_endpoints_never_report_the_same_bandwidth() {
        let traffic = Traffic::new(1);
        for i in 0..2_000_u32 {
            let truth = traffic.truth(&domain(&format!("d{}.example.com", i % 50)), window().plus(i));
            let share = truth.edge_mbps / truth.bandwidth_mbps;
            assert!((0.97..1.0).contains(&share), "{truth:?}");
        }
    }

    #[test]
    fn origin_ratio_spikes_now_and_then() {
        let traffic = Traffic::new(3);
        let name = domain("www.example.com");
        let ratios: Vec<f64> = (0..10_000)
            .filter_map(|i| traffic.truth(&name, window().plus(i)).origin_ratio_percent)
            .collect();
        let spikes = ratios.iter().filter(|r| **r > 30.0).count();
        assert_eq!(ratios.len(), 10_000);
        assert!((50..500).contains(&spikes), "{spikes}");
        assert!(ratios.iter().all(|r| (0.5..75.0).contains(r)));
    }

    #[test]
    fn most_windows_appear_within_two_to_eight_minutes_and_all_become_final() {
        let traffic = Traffic::new(5);
        let name = domain("www.example.com");
        let (mut in_time, mut revised) = (0, 0);
        for i in 0..1_000 {
            let w = window().plus(i);
            assert_eq!(traffic.visible(&name, w, at_age(w, 119)), None);
            in_time += i32::from(traffic.visible(&name, w, at_age(w, 480)).is_some());
            let last = traffic.final_from(&name, w);
            assert_eq!(traffic.visible(&name, w, last), Some(traffic.truth(&name, w)));
            let before = traffic.visible(&name, w, last - TimeDelta::seconds(1));
            assert_ne!(before, Some(traffic.truth(&name, w)));
            revised += i32::from(before.is_some());
            assert!(last <= at_age(w, 1_500 + 900));
        }
        assert!((940..990).contains(&in_time), "{in_time}");
        assert!((60..140).contains(&revised), "{revised}");
    }

    #[test]
    fn scripts_hold_for_their_domain_and_windows() {
        let name = domain("www.example.com");
        let script = |effect| Script {
            domain: name.clone(),
            first: window(),
            last: window().plus(1),
            effect,
        };
        let mut traffic = Traffic::prompt(1);
        let plain = traffic.clone();
        traffic.scripts = vec![
            script(Effect::OriginRatio(81.5)),
            script(Effect::AppearsAfter(700)),
            script(Effect::Preliminary {
                factor: 0.5,
                until_age: 900,
            }),
        ];
        let truth = traffic.truth(&name, window().plus(1));
        assert_eq!(truth.origin_ratio_percent, Some(81.5));
        let unscripted = plain.truth(&name, window().plus(1));
        assert_eq!(
            (Some(truth.bandwidth_mbps), Some(truth.edge_mbps)),
            (Some(unscripted.bandwidth_mbps), Some(unscripted.edge_mbps))
        );
        assert_eq!(traffic.visible(&name, window(), at_age(window(), 699)), None);
        let preliminary = traffic.visible(&name, window(), at_age(window(), 899)).unwrap();
        assert_eq!(preliminary.origin_ratio_percent, Some(40.75));
        assert_eq!(traffic.final_from(&name, window()), at_age(window(), 900));
        for untouched in [window().minus(1), window().plus(2)] {
            assert_eq!(traffic.truth(&name, untouched), plain.truth(&name, untouched));
        }
        let other = domain("img.example.com");
        assert_eq!(traffic.truth(&other, window()), plain.truth(&other, window()));
        traffic.scripts = vec![script(Effect::Fixed {
            bandwidth_mbps: 8.0,
            origin_mbps: 2.0,
        })];
        assert_eq!(traffic.truth(&name, window()), Truth::from_exact(8.0, 8.0, 2.0));
    }
}
