//! The bytes that go out: one gzip member, shared by all scrapers, never older than it may be.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use flate2::bufread::GzDecoder;
use futures_util::FutureExt;
use jdcloud_cdn_exporter::clock::{Clock, ManualClock};
use jdcloud_cdn_exporter::exposition::{Exposition, Format, Page, SelfMetrics, WindowsPage};
use jdcloud_cdn_exporter::model::{AccountName, Domain, Endpoint, Field};
use jdcloud_cdn_exporter::store::{Report, RosterEntry, Store};

use crate::parse::parse;
use crate::parts::feed;
use crate::support::{RULE, at, fresh_self_metrics, reading, render, windows_text};

struct Site {
    clock: ManualClock,
    store: Arc<Store>,
    metrics: Arc<SelfMetrics>,
    exposition: Arc<Exposition>,
    domains: Vec<Domain>,
}

/// Where the clock stands at first.
const NOW: &str = "09:40:01";

/// Domains with a window that ended at 09:30.
fn site(count: usize) -> Site {
    let domains: Vec<_> = (0..count)
        .map(|n| Domain::parse(&format!("d{n}.example.com")).unwrap())
        .collect();
    let roster: Vec<_> = domains
        .iter()
        .map(|domain| RosterEntry {
            source: 0,
            domain: domain.clone(),
            account: AccountName::new("jcloud_00"),
            endpoints: vec![Endpoint::BandwidthFlow],
        })
        .collect();
    let clock = ManualClock::new(at(NOW));
    let store = Arc::new(Store::new(RULE, &roster));
    let metrics = fresh_self_metrics();
    let exposition = Arc::new(Exposition::new(
        Arc::clone(&store),
        Arc::clone(&metrics),
        Clock::Manual(clock.clone()),
    ));
    let site = Site {
        clock,
        store,
        metrics,
        exposition,
        domains,
    };
    for n in 0..count {
        site.report(n, 0.5 + f64::from(u32::try_from(n).unwrap()));
    }
    site
}

impl Site {
    fn report(&self, n: usize, bandwidth: f64) {
        let readings = [reading("09:30:00", &[(Field::Bandwidth, bandwidth)])];
        let report = Report {
            source: 0,
            domain: &self.domains[n],
            endpoint: Endpoint::BandwidthFlow,
            outcome: Ok(&readings),
        };
        self.store
            .report(self.clock.now(), [report], self.metrics.as_ref());
    }

    async fn page(&self, format: Format, gzip: bool) -> Page {
        self.exposition.page(format, gzip).await.unwrap()
    }
}

fn body(page: &Page) -> Vec<u8> {
    let body = page.parts.concat();
    assert_eq!(body.len(), page.length());
    body
}

/// Exactly one member and nothing behind it.
fn expand(body: &[u8]) -> String {
    let mut decoder = GzDecoder::new(body);
    let mut text = String::new();
    decoder.read_to_string(&mut text).unwrap();
    assert!(decoder.into_inner().is_empty());
    text
}

/// The process's own numbers differ from one scrape to the next.
fn without_process(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| !line.starts_with("process_"))
        .collect()
}

#[tokio::test]
async fn every_encoding_carries_the_same_text() {
    // 3,000 domains are several chunks of the compressor.
    for count in [0, 1, 3_000] {
        let site = site(count);
        for format in Format::ALL {
            let plain = String::from_utf8(body(&site.page(format, false).await)).unwrap();
            let page = site.page(format, true).await;
            let expanded = expand(&body(&page));
            assert_eq!(without_process(&plain), without_process(&expanded), "{count}");
            assert_eq!(page.content_encoding, Some("gzip"));
            assert_eq!(page.content_type, format.content_type());
            assert!(count < 1_000 || page.length() * 5 < plain.len());

            let domains = render(&site.store.snapshot(), at(NOW), format);
            assert!(plain.starts_with(domains.strip_suffix(format.end()).unwrap()));
            assert!(parse(&plain, format).contains_key("jdcloud_cdn_exporter_build_info"));
            if let Some(output) = feed("gzip", &["-dc"], &body(&page)) {
                assert!(output.status.success() && output.stderr.is_empty());
                assert_eq!(String::from_utf8(output.stdout).unwrap(), expanded);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_scrapers_share_one_rendering() {
    let site = site(200);
    let mut scrapes = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let exposition = Arc::clone(&site.exposition);
        scrapes.spawn(async move { exposition.page(Format::Text, true).await.unwrap() });
    }
    let pages = scrapes.join_all().await;
    assert_eq!(site.exposition.renderings(), 1);
    for page in &pages {
        assert_eq!(page.parts[0].as_ptr(), pages[0].parts[0].as_ptr());
    }
    site.page(Format::OpenMetrics, true).await;
    assert_eq!(site.exposition.renderings(), 2);
}

#[tokio::test]
async fn a_rendering_is_used_while_it_is_true() {
    let site = site(3);
    // The clock, a poll's new bandwidth, the renderings since the start, and what is shown.
    for (clock, polled, renderings, shown) in [
        ("09:40:01", None, 1, "} 0.5\n"),
        ("09:40:01", None, 1, "} 0.5\n"),
        ("09:40:01", Some(7.25), 2, "} 7.25\n"),
        ("09:44:59.999", None, 2, "} 7.25\n"),
        // Every 5 minutes one more window should have settled: one more is missing.
        ("09:45:00", None, 3, "} 7.25\n"),
        // The clock steps back.
        ("09:40:01", None, 4, "} 7.25\n"),
        // Stale.
        ("10:10:00.000000001", None, 5, "jdcloud_cdn_up{"),
    ] {
        site.clock.set(at(clock));
        if let Some(bandwidth) = polled {
            site.report(0, bandwidth);
        }
        let text = String::from_utf8(body(&site.page(Format::Text, false).await)).unwrap();
        assert!(text.contains(shown), "{clock}: {text}");
        assert_eq!(site.exposition.renderings(), renderings, "{clock}");
    }
    let text = String::from_utf8(body(&site.page(Format::Text, false).await)).unwrap();
    assert!(!text.contains("bandwidth_bytes_per_second"), "{text}");
}

#[tokio::test]
async fn a_cancelled_scrape_leaves_its_rendering_to_the_next() {
    let site = site(50);
    assert!(site.exposition.page(Format::Text, true).now_or_never().is_none());
    let page = site.page(Format::Text, true).await;
    assert_eq!(site.exposition.renderings(), 1);
    assert!(expand(&body(&page)).contains("d49.example.com"));
}

#[tokio::test]
async fn own_metrics_are_those_of_the_moment() {
    let site = site(1);
    for reloaded in ["09:41:00", "09:42:00"] {
        site.metrics.reload_succeeded(at(reloaded));
        let text = expand(&body(&site.page(Format::OpenMetrics, true).await));
        let line = format!(
            "config_last_reload_success_timestamp_seconds {}\n",
            at(reloaded).timestamp()
        );
        assert!(text.contains(&line), "{text}");
    }
    assert_eq!(site.exposition.renderings(), 1);
}

/// The part before the trailer is the exporter's own.
fn own_part(page: &Page) -> *const u8 {
    page.parts[page.parts.len() - 2].as_ptr()
}

#[tokio::test(start_paused = true)]
async fn the_own_part_is_shared_until_something_happens_or_a_moment_has_passed() {
    let site = site(1);
    let first = site.page(Format::Text, true).await;
    let again = site.page(Format::Text, true).await;
    assert_eq!(own_part(&first), own_part(&again));

    site.metrics.reload_failed();
    let after = site.page(Format::Text, true).await;
    assert_ne!(own_part(&after), own_part(&again));
    assert!(expand(&body(&after)).contains("config_last_reload_successful 0\n"));

    tokio::time::advance(Duration::from_millis(99)).await;
    assert_eq!(own_part(&after), own_part(&site.page(Format::Text, true).await));
    // By then the process's own metrics are no longer told from memory.
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_ne!(own_part(&after), own_part(&site.page(Format::Text, true).await));
}

#[test]
fn accounts_that_left_have_no_series() {
    use jdcloud_cdn_exporter::observer::Observer;
    let metrics = fresh_self_metrics();
    let (stays, leaves) = (AccountName::new("stays"), AccountName::new("leaves"));
    let accounts = |metrics: &SelfMetrics| {
        let text = crate::support::own_text(metrics, Format::Text);
        let mut accounts: Vec<_> = parse(&text, Format::Text)
            .into_values()
            .flat_map(|family| family.samples)
            .filter_map(|sample| sample.labels.into_iter().find(|(label, _)| label == "account"))
            .map(|(_, account)| account)
            .collect();
        accounts.sort();
        accounts
    };
    let tell_all = |at_clock| {
        for account in [&stays, &leaves] {
            metrics.succeeded(account, Endpoint::BandwidthFlow, at(at_clock));
            metrics.succeeded(
                account,
                Endpoint::OriginRatio,
                at(at_clock) + TimeDelta::seconds(1),
            );
            metrics.request_rate(account, 10.0);
        }
    };
    assert!(accounts(&metrics).is_empty());
    tell_all("09:00:00");
    assert_eq!(accounts(&metrics).len(), 6);
    let everywhere = |account: &AccountName| (account.clone(), Endpoint::ALL.to_vec());
    metrics.retain(vec![everywhere(&stays)]);
    assert_eq!(accounts(&metrics), ["stays"; 3]);
    // A poll that was under way when its account left ends late.
    tell_all("09:01:00");
    assert_eq!(accounts(&metrics), ["stays"; 3]);
    metrics.retain(vec![everywhere(&stays), everywhere(&leaves)]);
    tell_all("09:02:00");
    assert_eq!(accounts(&metrics).len(), 6);
    // Nor is an endpoint that is read no more remembered as one that fails.
    metrics.retain(vec![
        (stays.clone(), vec![Endpoint::BandwidthFlow]),
        (leaves.clone(), vec![Endpoint::OriginRatio]),
    ]);
    assert_eq!(accounts(&metrics).len(), 4);
    tell_all("09:03:00");
    assert_eq!(accounts(&metrics).len(), 4);
    metrics.retain(vec![everywhere(&stays), (leaves.clone(), Vec::new())]);
    tell_all("09:04:00");
    // Both endpoints of the one, and the rate of each.
    assert_eq!(accounts(&metrics), ["leaves", "stays", "stays", "stays"]);
}

fn windows_body(page: WindowsPage) -> (Vec<u8>, bool) {
    match page {
        WindowsPage::Whole(page) => (body(&page), page.content_encoding == Some("gzip")),
        WindowsPage::Pieces { text, .. } => (text.collect::<Vec<_>>().concat(), false),
    }
}

#[tokio::test]
async fn windows_are_the_same_text_in_every_encoding() {
    // 3,000 domains are several pieces.
    for count in [0, 1, 3_000] {
        let site = site(count);
        for format in Format::ALL {
            let page = site.exposition.windows(format, false).await.unwrap();
            let (plain, compressed) = windows_body(page);
            assert!(!compressed);
            let plain = String::from_utf8(plain).unwrap();
            let (member, compressed) = windows_body(site.exposition.windows(format, true).await.unwrap());
            assert!(compressed);
            assert_eq!(expand(&member), plain, "{count}");
            let samples = plain.lines().filter(|line| !line.starts_with('#')).count();
            assert_eq!(samples, count);
            assert_eq!(
                windows_text((*site.store.snapshot()).clone(), at(NOW), format),
                plain
            );
        }
    }
}

#[tokio::test]
async fn compressed_windows_are_rendered_once_until_one_settles_or_leaves() {
    let site = site(3);
    for (clock, renderings, samples) in [
        ("09:40:01", 1, 3),
        ("09:40:01", 1, 3),
        ("09:44:59.999", 1, 3),
        ("09:45:00", 2, 3),
        ("10:29:59", 3, 3),
        ("10:30:00", 4, 0),
    ] {
        site.clock.set(at(clock));
        let page = site.exposition.windows(Format::Text, true).await.unwrap();
        let text = expand(&windows_body(page).0);
        let count = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(
            (site.exposition.renderings(), count),
            (renderings, samples),
            "{clock}"
        );
    }
    // The plain page is made for each scrape and counts as none of these.
    site.exposition.windows(Format::Text, false).await.unwrap();
    assert_eq!(site.exposition.renderings(), 4);
}
