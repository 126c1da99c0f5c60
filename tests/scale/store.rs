//! What the store must have of a fleet, and the questions that find it out.

use std::collections::{BTreeMap, BTreeSet};

use jdcloud_cdn_exporter::model::Domain;

use crate::database::{ask, close, only, sum};
use crate::figures::{BANDWIDTH, EDGE, FIGURES, FLOW, Figure, ORIGIN, WINDOW, ends, newest_window};
use crate::fleet::Fleet;
use crate::server::{Server, until};

/// As far as queries look back; more than was ever written.
const LOOK_BACK: &str = "8h";

/// `/windows` as the documents have it: without the label that names the exporter.
pub(crate) const WINDOWS: &str = "jdcloud-cdn-windows";
/// `/windows` with that label.
pub(crate) const BY_INSTANCE: &str = "by-instance";
/// `/metrics`.
pub(crate) const GAUGES: &str = "jdcloud-cdn";

/// A name of a domain, or of an exporter.
type Names = BTreeSet<String>;

/// A fleet and the store that all of it ends in.
pub(crate) struct Watch<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) store: &'a Server,
    /// No window that ended until then was shown by any exporter.
    pub(crate) start: i64,
}

impl Watch<'_> {
    /// Waits until the store has every settled window of every domain once, with the provider's value,
    /// then adds up what it has.
    pub(crate) async fn complete(&self, when: &str) {
        let domains: Vec<&Domain> = self.fleet.domains.iter().collect();
        self.has(when, &domains, self.fleet.settled()).await;
        self.sums().await;
    }

    /// Waits until the store has of these domains every window that ended until then, once, in one series
    /// each, with the provider's value.
    pub(crate) async fn has(&self, when: &str, domains: &[&Domain], end: i64) {
        for figure in FIGURES {
            until(when, async || {
                let found = self.windows(figure).await?;
                let none = Vec::new();
                for domain in domains {
                    let truth = self.fleet.truth(figure, domain, self.start, end);
                    let found = found.get(domain.as_str()).unwrap_or(&none);
                    if !same(found, &truth) {
                        let exporters = self.fleet.said();
                        return Err(format!(
                            "{domain} {}: {found:?} for {truth:?}; {exporters}",
                            figure.0
                        ));
                    }
                }
                Ok(())
            })
            .await;
        }
    }

    /// All samples of a family, by domain; no domain may have two series.
    async fn windows(&self, figure: Figure) -> Result<BTreeMap<String, Vec<(f64, f64)>>, String> {
        let mut all = BTreeMap::new();
        let selector = format!("{}{{job=\"{WINDOWS}\"}}[{LOOK_BACK}]", figure.0);
        for (labels, mut samples) in self.answers(&selector).await {
            // When an exporter cannot be scraped, the agent marks its series as stale at that time; no
            // function of the store counts such a mark.
            samples.retain(|(_, value)| !value.is_nan());
            let domain = labels["domain"].as_str().unwrap_or_default().to_owned();
            if all.insert(domain, samples).is_some() {
                return Err(format!("two series, one of them {labels}"));
            }
        }
        Ok(all)
    }

    /// The fleet's sums over all time and in each window, against brute force.
    async fn sums(&self) {
        let end = self.fleet.settled();
        for figure in [BANDWIDTH, FLOW, ORIGIN, EDGE] {
            let mut in_window: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
            for domain in &self.fleet.domains {
                for (end, value) in self.fleet.truth(figure, domain, self.start, end) {
                    in_window.entry(end).or_default().push(value);
                }
            }
            let whole: Vec<f64> = in_window.values().flatten().copied().collect();
            let selector = format!("{}{{job=\"{WINDOWS}\"}}", figure.0);
            let expression = format!("sum(sum_over_time({selector}[{LOOK_BACK}]))");
            self.holds(&expression, newest_window() + WINDOW, sum(&whole))
                .await;
            for end in ends(self.start, end) {
                let expression = format!("sum(last_over_time({selector}[4m59s]))");
                self.holds(&expression, end, sum(&in_window[&end])).await;
            }
        }
    }

    async fn holds(&self, expression: &str, time: i64, expected: f64) {
        let found = only(self.store, expression, time).await;
        assert!(
            found.len() == 1 && close(found[0].1, expected),
            "{expression} at {time}: {found:?} for {expected}"
        );
    }

    /// How often the store has the windows of a family's domains where the exporter's name was kept.
    pub(crate) async fn counted_by_instance(&self, figure: Figure) -> BTreeMap<String, f64> {
        let expression = format!(
            "sum by (domain) (count_over_time({}{{job=\"{BY_INSTANCE}\"}}[{LOOK_BACK}]))",
            figure.0
        );
        let answers = self.answers(&expression).await.into_iter();
        answers
            .map(|(labels, samples)| (labels["domain"].as_str().unwrap().to_owned(), samples[0].1))
            .collect()
    }

    /// Waits until each domain was shown by exactly the exporters at these places, at any time.
    pub(crate) async fn owned(&self, places: impl Fn(&Domain) -> Vec<usize>) {
        let expected: BTreeMap<String, Names> = self
            .fleet
            .domains
            .iter()
            .map(|domain| {
                let names = places(domain).into_iter();
                let names = names.map(|place| self.fleet.exporters[place].address.to_string());
                (domain.to_string(), names.collect::<Names>())
            })
            .filter(|(_, names)| !names.is_empty())
            .collect();
        let expression = format!("count_over_time(jdcloud_cdn_domain_info{{job=\"{GAUGES}\"}}[1h])");
        until("the owners of the domains", async || {
            let mut found: BTreeMap<String, Names> = BTreeMap::new();
            for (labels, _) in self.answers(&expression).await {
                let name = |label: &str| labels[label].as_str().unwrap_or_default().to_owned();
                found.entry(name("domain")).or_default().insert(name("instance"));
            }
            (found == expected)
                .then_some(())
                .ok_or_else(|| format!("{found:#?} for {expected:#?}"))
        })
        .await;
    }

    /// Waits until the store has it that the exporter at this place does not answer.
    pub(crate) async fn is_down(&self, place: usize) {
        let address = self.fleet.exporters[place].address;
        let expression = format!("min_over_time(up{{job=\"{WINDOWS}\",instance=\"{address}\"}}[1h]) == 0");
        until("it is down", async || {
            let found = self.answers(&expression).await;
            (!found.is_empty())
                .then_some(())
                .ok_or_else(|| expression.clone())
        })
        .await;
    }

    /// Of what both agents scraped at their own times the store keeps one sample in each `interval`.
    pub(crate) async fn gauges_are_kept_once(&self, interval: f64) {
        let selector = format!("jdcloud_cdn_exporter_build_info{{job=\"{GAUGES}\"}}[1h]");
        for (labels, samples) in self.answers(&selector).await {
            let places: Vec<f64> = samples.iter().map(|(time, _)| (time / interval).ceil()).collect();
            let rising = places.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(rising, "{labels}: {samples:?}");
        }
    }

    async fn answers(&self, expression: &str) -> Vec<crate::database::Series> {
        // What came shows within seconds, or at once when told to.
        let _flushed = self.store.get("/internal/force_flush").await;
        ask(self.store, expression, newest_window() + WINDOW).await
    }
}

/// The same windows with the same values; the store keeps about 15 decimal digits.
fn same(found: &[(f64, f64)], truth: &[(i64, f64)]) -> bool {
    found.len() == truth.len()
        && found.iter().zip(truth).all(|((time, value), (end, expected))| {
            time.to_bits() == f64::from(u32::try_from(*end).unwrap()).to_bits() && close(*value, *expected)
        })
}
