//! One hour of data through each outage, as the plain gauges and as `/windows` bring it: the table of
//! `docs/comparison.md` is what is measured here.

use std::collections::BTreeMap;

use jdcloud_cdn_exporter::simulator::Traffic;

use crate::figures::{BANDWIDTH, FLOW, WINDOW};
use crate::http;
use crate::server::until;
use crate::site::{SETTLE, Site};

const DOCUMENT: &str = include_str!("../../docs/comparison.md");

/// 19:00 in Beijing on 10 March 2025, when traffic rises.
const HOUR: i64 = 1_740_758_400 + 9 * 86_400 + 19 * 3_600;
/// When the outage begins and ends, in minutes after the hour began.
const OUTAGE: std::ops::Range<i64> = 20..50;
/// By then every window of the hour has settled and both pages have been scraped.
const LAST: i64 = 60 + SETTLE / 60 + 5;

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Nothing,
    Exporter,
    Provider,
    Prometheus,
}

/// What a database has after all of it.
#[derive(Default)]
struct Kept {
    /// The windows of the hour that the plain gauges showed at some scrape.
    plain: BTreeMap<i64, f64>,
    /// What the plain bandwidth was at each scrape within the hour.
    scraped: Vec<f64>,
    /// The same of `/windows`: bytes by window.
    windows: BTreeMap<i64, f64>,
}

/// Samples of one family on a page: values and the rest of their lines.
fn lines<'a>(page: &'a str, family: &str) -> Vec<(f64, &'a str)> {
    page.lines()
        .filter(|line| line.starts_with(&format!("{family}{{")))
        .map(|line| {
            let after = line.split_once("} ").unwrap().1;
            let (value, rest) = after.split_once(' ').unwrap_or((after, ""));
            (value.parse().unwrap(), rest)
        })
        .collect()
}

async fn page(site: &Site, path: &str) -> String {
    let reply = http::request(site.address, "GET", path, &[]).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.text().to_owned()
}

/// The end of the window that the plain gauges show; 0 for none.
fn shown(page: &str) -> i64 {
    let times = lines(page, "jdcloud_cdn_sample_timestamp_seconds");
    times.first().map_or(0, |(time, _)| {
        // A whole number of seconds, printed as such.
        format!("{time}").parse().unwrap()
    })
}

async fn measure(part: Part) -> (Kept, Site) {
    let mut site = Site::start(HOUR, &["www.a.com"], Traffic::prompt(7)).await;
    let mut kept = Kept::default();
    for minute in 0..=LAST {
        let out = OUTAGE.contains(&minute);
        if minute == OUTAGE.start {
            match part {
                Part::Exporter => site.stop_exporter().await,
                Part::Provider => {
                    site.polled().await;
                    site.provider.go_down().await;
                }
                Part::Nothing | Part::Prometheus => {}
            }
        }
        if minute == OUTAGE.end {
            match part {
                Part::Exporter => site.start_exporter(),
                Part::Provider => site.provider.come_back().await.unwrap(),
                Part::Nothing | Part::Prometheus => {}
            }
        }
        if !out || part == Part::Nothing || part == Part::Prometheus {
            until("the newest window is shown", async || {
                let shown = shown(&page(&site, "/metrics").await);
                (shown == site.settled())
                    .then_some(())
                    .ok_or_else(|| format!("{shown} at minute {minute}"))
            })
            .await;
        }
        if !out || part == Part::Nothing || part == Part::Provider {
            scrape(&site, minute, &mut kept).await;
        }
        site.advance(60);
    }
    (kept, site)
}

/// Prometheus comes by: each minute for the gauges, every five for the windows.
async fn scrape(site: &Site, minute: i64, kept: &mut Kept) {
    let of_the_hour = |end: i64| end > HOUR && end <= HOUR + 3_600;
    let plain = page(site, "/metrics").await;
    if let Some((bandwidth, _)) = lines(&plain, "jdcloud_cdn_bandwidth_bytes_per_second").first() {
        if of_the_hour(shown(&plain)) {
            kept.plain.insert(shown(&plain), *bandwidth);
        }
        if minute < 60 {
            kept.scraped.push(*bandwidth);
        }
    }
    if minute % 5 == 0 {
        for (bytes, time) in lines(&page(site, "/windows").await, FLOW.0) {
            let end = time.parse::<i64>().unwrap() / 1_000;
            if of_the_hour(end) {
                kept.windows.insert(end, bytes);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_the_document_is_what_happens() {
    let mut rows = Vec::new();
    for (part, name) in [
        (Part::Nothing, "nothing"),
        (Part::Exporter, "exporter"),
        (Part::Provider, "provider"),
        (Part::Prometheus, "Prometheus"),
    ] {
        let (kept, site) = measure(part).await;
        let truth = |figure| site.truth(figure, &site.domains[0], HOUR, HOUR + 3_600);
        let flow = truth(FLOW);
        // With one domain, which is a live one, that is all there is.
        assert_eq!(kept.windows.into_iter().collect::<Vec<_>>(), flow, "{name}");
        let bandwidth: BTreeMap<i64, f64> = truth(BANDWIDTH).into_iter().collect();
        assert!(
            kept.plain
                .iter()
                .all(|(end, value)| bandwidth[end].to_bits() == value.to_bits()),
            "{name}"
        );
        let bytes: f64 = flow.iter().map(|(_, bytes)| bytes).sum();
        let scrapes: f64 = kept.scraped.iter().map(|_| 1.0).sum();
        let estimate = kept.scraped.iter().sum::<f64>() / scrapes * 3_600.0;
        rows.push(format!(
            "| {name} | {} of {} | {:+.1} % | {} of {} | exact |",
            kept.plain.len(),
            3_600 / WINDOW,
            (estimate / bytes - 1.0) * 100.0,
            flow.len(),
            3_600 / WINDOW,
        ));
    }
    let missing: Vec<_> = rows.iter().filter(|row| !DOCUMENT.contains(*row)).collect();
    assert!(missing.is_empty(), "docs/comparison.md lacks:\n{rows:#?}");
}
