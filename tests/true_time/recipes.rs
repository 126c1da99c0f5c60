//! Every expression of `docs/recipes.md`, taken from the document itself, against brute force over the
//! truth of a month in a real Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use jdcloud_cdn_exporter::model::Domain;
use jdcloud_cdn_exporter::simulator::Traffic;
use serde_json::Value;

use crate::database::{ask, close, quantile};
use crate::figures::{BANDWIDTH, EDGE, FLOW, Figure, ORIGIN, WINDOW};
use crate::server::{Server, installed};
use crate::site::Site;

const DOCUMENT: &str = include_str!("../../docs/recipes.md");

const DAY: i64 = 86_400;
/// March 2025 in Beijing, as the document has it.
const MONTH_START: i64 = 1_740_758_400;
const MONTH_END: i64 = MONTH_START + 31 * DAY;
const MONTH_END_IN_WORDS: &str = "2025-04-01T00:00:00+08:00";

const DOMAINS: [&str; 4] = ["www.a.com", "img.a.com", "dl.a.com", "play.live.com"];
/// A window that the provider never gave for the second domain, in the busiest hours of the 15th.
const LOST: i64 = MONTH_START + 14 * DAY + 21 * 3_600;

/// The named expressions of the document: a fenced block each, whose first line is a comment with the name.
fn recipes() -> BTreeMap<&'static str, &'static str> {
    DOCUMENT
        .split("```promql\n# ")
        .skip(1)
        .map(|rest| {
            let block = rest.split("```").next().unwrap();
            block.split_once('\n').unwrap()
        })
        .collect()
}

/// What the answers must be: by the value of the label `domain`, or by "" for the fleet.
type Answers = BTreeMap<String, f64>;

/// The month and the days around it, as the database has them.
struct Month {
    site: Site,
}

impl Month {
    /// The windows of a domain in `(start, end]`.
    fn values(&self, figure: Figure, domain: &Domain, start: i64, end: i64) -> BTreeMap<i64, f64> {
        let truth = self.site.truth(figure, domain, start, end);
        let given = truth
            .into_iter()
            .filter(|(end, _)| domain.as_str() != DOMAINS[1] || *end != LOST);
        given.collect()
    }

    /// The sums over the domains, window by window.
    fn fleet(&self, figure: Figure, start: i64, end: i64) -> BTreeMap<i64, f64> {
        let mut sums = BTreeMap::new();
        for domain in &self.site.domains {
            for (end, value) in self.values(figure, domain, start, end) {
                *sums.entry(end).or_insert(0.0) += value;
            }
        }
        sums
    }

    fn by_domain(&self, answer: impl Fn(&Domain) -> f64) -> Answers {
        let domains = self.site.domains.iter();
        domains.map(|name| (name.to_string(), answer(name))).collect()
    }

    /// Every window of the month and of a day before and after it.
    fn openmetrics(&self) -> String {
        let mut text = String::new();
        for figure in [BANDWIDTH, FLOW, ORIGIN, EDGE] {
            writeln!(text, "# TYPE {} gauge", figure.0).unwrap();
            for domain in &self.site.domains {
                for (end, value) in self.values(figure, domain, MONTH_START - DAY, MONTH_END + DAY) {
                    writeln!(text, "{}{{domain=\"{domain}\"}} {value} {end}", figure.0).unwrap();
                }
            }
        }
        text + "# EOF\n"
    }
}

fn fleet(value: f64) -> Answers {
    Answers::from([(String::new(), value)])
}

fn total(values: &BTreeMap<i64, f64>) -> f64 {
    values.values().sum()
}

fn list(values: &BTreeMap<i64, f64>) -> Vec<f64> {
    values.values().copied().collect()
}

/// The highest that is left when a twentieth of `whole` windows has been struck off, the highest ones.
fn struck(values: &BTreeMap<i64, f64>, whole: usize) -> f64 {
    let mut sorted = list(values);
    sorted.sort_by(|one, other| other.total_cmp(one));
    sorted[whole / 20]
}

/// The highest window of each day of the month, on average.
fn daily_peaks(values: &BTreeMap<i64, f64>) -> f64 {
    let peaks = (0..31).map(|day| {
        let start = MONTH_START + day * DAY;
        let of_day = values.range(start + 1..=start + DAY);
        of_day.map(|(_, value)| *value).fold(0.0, f64::max)
    });
    peaks.sum::<f64>() / 31.0
}

fn expected(month: &Month) -> BTreeMap<&'static str, Answers> {
    let (start, end) = (MONTH_START, MONTH_END);
    let day = end - DAY;
    let count = |domain: &Domain| {
        let windows = month.values(FLOW, domain, start, end);
        windows.values().map(|_| 1.0).sum::<f64>()
    };
    let bandwidth = |domain: &Domain| month.values(BANDWIDTH, domain, start, end);
    let all = month.fleet(BANDWIDTH, start, end);
    // 31 days.
    let whole = 8_928;
    let mut lossy = month.by_domain(|name| 8_928.0 - count(name));
    lossy.retain(|_, missing| *missing > 0.0);
    BTreeMap::from([
        (
            "traffic_of_a_day",
            month.by_domain(|name| total(&month.values(FLOW, name, day, end))),
        ),
        (
            "traffic_of_a_month",
            month.by_domain(|name| total(&month.values(FLOW, name, start, end))),
        ),
        (
            "traffic_of_a_month_of_all_domains",
            fleet(total(&month.fleet(FLOW, start, end))),
        ),
        ("windows_missing_in_a_month", lossy),
        (
            "p95_of_a_month",
            month.by_domain(|name| quantile(0.95, &list(&bandwidth(name))) * 8.0),
        ),
        (
            "p95_of_a_month_of_all_domains",
            fleet(quantile(0.95, &list(&all)) * 8.0),
        ),
        (
            "billing_point_of_a_month",
            month.by_domain(|name| {
                let windows = bandwidth(name);
                let point = if windows.len() == whole {
                    struck(&windows, whole)
                } else {
                    // The ranks of a month that lacks a window are others, as the document says.
                    quantile(8_481.0 / 8_927.0, &list(&windows))
                };
                point * 8.0
            }),
        ),
        (
            "billing_point_of_a_month_of_all_domains",
            fleet(struck(&all, whole) * 8.0),
        ),
        (
            "average_of_daily_peaks",
            month.by_domain(|name| daily_peaks(&bandwidth(name)) * 8.0),
        ),
        (
            "average_of_daily_peaks_of_all_domains",
            fleet(daily_peaks(&all) * 8.0),
        ),
        (
            "origin_ratio_of_a_month_of_all_domains",
            fleet(total(&month.fleet(ORIGIN, start, end)) / total(&month.fleet(EDGE, start, end))),
        ),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recipe_of_the_document_gives_what_brute_force_gives() {
    if !installed(&["prometheus", "promtool"]) {
        return;
    }
    assert!(DOCUMENT.contains(MONTH_END_IN_WORDS));
    let month = Month {
        site: Site::start(MONTH_END + DAY, &DOMAINS, Traffic::new(7)).await,
    };
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("month.om");
    std::fs::write(&text, month.openmetrics()).unwrap();
    create_blocks(&text, &folder.path().join("data"));
    let prometheus = Server::prometheus(folder.path(), "global: {}\n").await;

    let (recipes, expected) = (recipes(), expected(&month));
    let names: Vec<_> = recipes.keys().collect();
    assert_eq!(names, expected.keys().collect::<Vec<_>>(), "docs/recipes.md");
    let mut wrong = Vec::new();
    for (name, expression) in recipes {
        let found: Answers = ask(&prometheus, expression, MONTH_END)
            .await
            .into_iter()
            .map(|(labels, samples)| (domain(&labels), samples[0].1))
            .collect();
        let expected = &expected[name];
        let right = found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|((series, value), (other, expected))| series == other && close(*value, *expected));
        if !right {
            wrong.push(format!("{name}: {found:?} for {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    the_pitfalls_are_real(&month, &prometheus).await;
}

/// What the document warns of happens: with a range of a whole day, and with the sum of domains as it is.
async fn the_pitfalls_are_real(month: &Month, prometheus: &Server) {
    let whole_day = format!("count_over_time({}{{domain=\"{}\"}}[1d])", FLOW.0, DOMAINS[0]);
    let counted = ask(prometheus, &whole_day, MONTH_END).await[0].1[0].1;
    // Prometheus 2 counts the windows at both ends of a range, Prometheus 3 only the one at its end.
    assert!(close(counted, 289.0) || close(counted, 288.0), "{counted}");

    let version: Value =
        serde_json::from_str(&prometheus.get("/api/v1/status/buildinfo").await.unwrap()).unwrap();
    let at_the_gap = ask(prometheus, &format!("sum({})", BANDWIDTH.0), LOST).await[0].1[0].1;
    let fleet = month.fleet(BANDWIDTH, LOST - WINDOW, LOST)[&LOST];
    if version["data"]["version"].as_str().unwrap().starts_with("2.") {
        // The lost window's place is taken by the window before.
        assert!(close(counted, 289.0), "{counted}");
        assert!(at_the_gap > fleet, "{at_the_gap} for {fleet}");
    }
}

fn domain(labels: &Value) -> String {
    labels["domain"].as_str().unwrap_or_default().to_owned()
}

fn create_blocks(text: &Path, blocks: &Path) {
    let imported = Command::new("promtool")
        .args([
            "tsdb",
            "create-blocks-from",
            "--max-block-duration=744h",
            "openmetrics",
        ])
        .args([text, blocks])
        .output()
        .unwrap();
    assert!(
        imported.status.success(),
        "{}",
        String::from_utf8_lossy(&imported.stderr)
    );
}
