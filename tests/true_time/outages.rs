//! Exporter, provider and scraper stop for 40 minutes each, one after the other, and then the database
//! has every settled window of every domain once, at its time, with the provider's value.
//!
//! The databases live on this machine's clock, the provider and the exporter on one that starts some
//! hours ago and moves when the test moves it.

use jdcloud_cdn_exporter::model::Domain;
use jdcloud_cdn_exporter::simulator::{Effect, Script, Traffic};
use tempfile::TempDir;

use crate::database::{close, only, quantile, sum};
use crate::figures::{FIGURES, Figure, WINDOW, newest_window, window};
use crate::server::{Server, installed, until};
use crate::site::{HORIZON, Site};

/// How long each part is away, in seconds; with settle it is within the horizon.
const OUTAGE: i64 = 2_400;
/// How long ago the test begins. All of it is within the databases' out-of-order time.
const AGO: i64 = 4 * 3_600;
/// Makes `VictoriaMetrics` count a sample once that was sent twice.
const ONCE: &str = "-dedup.minScrapeInterval=1ms";
/// As far as queries look back; more than was ever written.
const LOOK_BACK: &str = "8h";

const DOMAINS: [&str; 3] = ["www.a.com", "img.a.com", "play.live.com"];

/// The job as the documents have it, but scraped often.
fn job(site: &Site) -> String {
    format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n  - job_name: jdcloud-cdn-windows\n    \
         metrics_path: /windows\n    honor_timestamps: true\n    static_configs:\n      - targets: ['{}']\n",
        site.address
    )
}

const OUT_OF_ORDER: &str = "storage:\n  tsdb:\n    out_of_order_time_window: 8h\n";

/// One domain has a window without traffic, one that comes after its successors, and one that is revised
/// before it is settled.
fn traffic(start: i64) -> Traffic {
    let script = |place: i64, effect| Script {
        domain: Domain::parse("img.a.com").unwrap(),
        first: window(start + place * WINDOW),
        last: window(start + place * WINDOW),
        effect,
    };
    let idle = Effect::Fixed {
        bandwidth_mbps: 0.0,
        origin_mbps: 0.0,
    };
    let revised = Effect::Preliminary {
        factor: 0.5,
        until_age: 590,
    };
    Traffic {
        scripts: vec![
            script(-4, idle),
            script(3, Effect::AppearsAfter(1_500)),
            script(11, Effect::AppearsAfter(1_500)),
            script(12, revised),
        ],
        ..Traffic::prompt(7)
    }
}

/// The scraper, and the store that it writes to unless it is one itself.
struct Chain {
    site: Site,
    scraper: Server,
    store: Option<Server>,
    /// The first window of the horizon at the start.
    start: i64,
    precision: Precision,
    _folders: Vec<TempDir>,
}

impl Chain {
    async fn outages(&mut self) {
        self.complete("at the start").await;

        self.site.stop_exporter().await;
        self.site.advance(OUTAGE);
        self.site.start_exporter();
        self.complete("after the exporter's outage").await;

        self.site.provider.go_down().await;
        self.site.noticed().await;
        for _ in 0..OUTAGE / WINDOW {
            self.site.advance(WINDOW);
        }
        self.site.provider.come_back().await.unwrap();
        self.complete("after the provider's outage").await;

        self.scraper.stop().await;
        self.site.advance(OUTAGE);
        self.scraper.start().await;
        self.complete("after the scraper's outage").await;

        if let Some(store) = &mut self.store {
            store.stop().await;
            self.site.advance(OUTAGE);
            store.start().await;
            self.complete("after the store's outage").await;
        }
    }

    fn database(&self) -> &Server {
        self.store.as_ref().unwrap_or(&self.scraper)
    }

    /// Waits for all of it, then looks at every window and at what the functions make of them.
    async fn complete(&self, when: &str) {
        let end = self.site.settled();
        for domain in &self.site.domains {
            for figure in FIGURES {
                let truth = self.site.truth(figure, domain, self.start, end);
                until(when, async || {
                    if self.store.is_some() {
                        // VictoriaMetrics shows what came within seconds, or at once when told to.
                        let _none_elsewhere = self.database().get("/internal/force_flush").await;
                    }
                    let selector = format!("{}{{domain=\"{domain}\"}}[{LOOK_BACK}]", figure.0);
                    let found = only(self.database(), &selector, newest_window() + WINDOW).await;
                    if self.same(&found, &truth) {
                        return Ok(());
                    }
                    Err(format!("{selector}: {found:?} for {truth:?}"))
                })
                .await;
                self.functions(figure, domain, &truth).await;
            }
        }
    }

    async fn functions(&self, figure: Figure, domain: &Domain, truth: &[(i64, f64)]) {
        let selector = format!("{}{{domain=\"{domain}\"}}[{LOOK_BACK}]", figure.0);
        let values: Vec<f64> = truth.iter().map(|(_, value)| *value).collect();
        for (expression, expected) in [
            (
                format!("count_over_time({selector})"),
                values.iter().map(|_| 1.0).sum(),
            ),
            (format!("sum_over_time({selector})"), sum(&values)),
            (
                format!("quantile_over_time(0.95, {selector})"),
                quantile(0.95, &values),
            ),
        ] {
            let found = only(self.database(), &expression, newest_window() + WINDOW).await;
            let right = match found[..] {
                [] => values.is_empty(),
                [(_, found)] => self.precision.holds(found, expected),
                _ => false,
            };
            assert!(right, "{expression}: {found:?} for {expected}");
        }
    }

    /// The same windows with the same values.
    fn same(&self, found: &[(f64, f64)], truth: &[(i64, f64)]) -> bool {
        found.len() == truth.len()
            && found.iter().zip(truth).all(|((time, value), (end, expected))| {
                time.to_bits() == f64::from(u32::try_from(*end).unwrap()).to_bits()
                    && self.precision.holds(*value, *expected)
            })
    }
}

/// What a database makes of a double.
#[derive(Clone, Copy)]
enum Precision {
    /// It keeps every bit and adds up with a running compensation.
    Bits,
    /// It keeps about 15 decimal digits.
    Digits,
}

impl Precision {
    fn holds(self, found: f64, expected: f64) -> bool {
        match self {
            Self::Bits => found.to_bits() == expected.to_bits(),
            Self::Digits => close(found, expected),
        }
    }
}

async fn site() -> (Site, i64) {
    let now = newest_window() - AGO;
    // At an instant that is a window's end, the horizon holds the windows that ended in the hour before.
    (Site::start(now, &DOMAINS, traffic(now)).await, now - HORIZON)
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_has_every_window_once_after_every_outage() {
    if !installed(&["prometheus"]) {
        return;
    }
    let (site, start) = site().await;
    let folder = tempfile::tempdir().unwrap();
    let scraper = Server::prometheus(folder.path(), &format!("{}{OUT_OF_ORDER}", job(&site))).await;
    let mut chain = Chain {
        site,
        scraper,
        store: None,
        start,
        precision: Precision::Bits,
        _folders: vec![folder],
    };
    chain.outages().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn victoria_metrics_has_every_window_once_after_every_outage() {
    if !installed(&["vmagent", "victoria-metrics"]) {
        return;
    }
    let (site, start) = site().await;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let store = Server::victoria_metrics(folders[0].path(), &[ONCE]).await;
    let write_to = format!("http://{}/api/v1/write", store.address);
    let scraper = Server::vmagent(folders[1].path(), &job(&site), &write_to, &[]).await;
    let mut chain = Chain {
        site,
        scraper,
        store: Some(store),
        start,
        precision: Precision::Digits,
        _folders: folders.into(),
    };
    chain.outages().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_prometheus_has_every_window_once_after_every_outage() {
    if !installed(&["vmagent", "prometheus"]) {
        return;
    }
    let (site, start) = site().await;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // It has samples of its own, as every store has: a head that began hours ago would be compacted at once.
    let own = format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n  - job_name: itself\n    \
         static_configs:\n      - targets: ['{}']\n{OUT_OF_ORDER}",
        crate::server::free_address()
    );
    let store = Server::prometheus(folders[0].path(), &own).await;
    until("the store has this machine's time", async || {
        let up = only(&store, "up{job=\"itself\"}", newest_window() + WINDOW).await;
        (!up.is_empty()).then_some(()).ok_or_else(|| store.said())
    })
    .await;
    let write_to = format!("http://{}/api/v1/write", store.address);
    let scraper = Server::vmagent(folders[1].path(), &job(&site), &write_to, &[]).await;
    let mut chain = Chain {
        site,
        scraper,
        store: Some(store),
        start,
        precision: Precision::Bits,
        _folders: folders.into(),
    };
    chain.outages().await;
}

/// Why the documents ask for the flag: without it, what was scraped twice is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn victoria_metrics_counts_windows_twice_without_the_flag() {
    if !installed(&["vmagent", "victoria-metrics"]) {
        return;
    }
    let (site, _) = site().await;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let store = Server::victoria_metrics(folders[0].path(), &[]).await;
    let write_to = format!("http://{}/api/v1/write", store.address);
    let _scraper = Server::vmagent(folders[1].path(), &job(&site), &write_to, &[]).await;
    let windows = site.truth(FIGURES[0], &site.domains[0], site.now() - HORIZON, site.settled());
    let expression = format!(
        "count_over_time({}{{domain=\"{}\"}}[{LOOK_BACK}]) > {}",
        FIGURES[0].0,
        site.domains[0],
        windows.len()
    );
    until("more samples than windows", async || {
        let _flushed = store.get("/internal/force_flush").await;
        let found = only(&store, &expression, newest_window() + WINDOW).await;
        (!found.is_empty())
            .then_some(())
            .ok_or_else(|| expression.clone())
    })
    .await;
}
