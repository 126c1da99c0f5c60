//! The runs: exporters and agents are killed and replaced, the fleet grows, and the store has everything
//! once; and what the same questions find when two exporters were given one ordinal.

use std::fmt::Write as _;

use jdcloud_cdn_exporter::model::Domain;
use tempfile::TempDir;

use crate::figures::{FLOW, newest_window};
use crate::fleet::{Fleet, HORIZON, faketime};
use crate::server::{Server, installed};
use crate::store::{BY_INSTANCE, GAUGES, WINDOWS, Watch};

/// How long a part is away, in seconds; with settle it is within the horizon.
const OUTAGE: i64 = 2_400;
/// Between two steps of a change, in seconds.
const STEP: i64 = 300;
/// How long ago the runs begin.
const AGO: i64 = 4 * 3_600;
/// From one scrape to the next, in seconds; the store keeps one sample of a series for each.
const SCRAPE: i32 = 1;

/// How often an agent asks where the exporters are. It finds each of them in two lists, and says so.
const LIST: [&str; 2] = [
    "-promscrape.httpSDCheckInterval=1s",
    "-promscrape.suppressDuplicateScrapeTargetErrors",
];

/// The jobs of each agent. Both agents read every exporter, so that one of them is enough, and learn from
/// two exporters where all of them are.
fn jobs(fleet: &Fleet) -> String {
    let mut from = "    http_sd_configs:\n".to_owned();
    for exporter in fleet.exporters.iter().take(2) {
        writeln!(from, "      - url: http://{}/sd", exporter.address).unwrap();
    }
    format!(
        "global:\n  scrape_interval: {SCRAPE}s\n  scrape_timeout: {SCRAPE}s\nscrape_configs:\n  - job_name: {GAUGES}\n{from}  - \
         job_name: {WINDOWS}\n    metrics_path: /windows\n    honor_timestamps: true\n    metric_relabel_configs:\n      - \
         {{action: labeldrop, regex: instance}}\n{from}  - job_name: {BY_INSTANCE}\n    metrics_path: /windows\n{from}"
    )
}

struct Stack {
    fleet: Fleet,
    agents: Vec<Server>,
    store: Server,
    start: i64,
    _folders: Vec<TempDir>,
}

impl Stack {
    async fn start(agents: usize, shards: &[(u32, u32)], places: usize) -> Option<Self> {
        if !installed(&["vmagent", "victoria-metrics"]) {
            return None;
        }
        let now = newest_window() - AGO;
        let mut fleet = Fleet::start(now, places, faketime()?).await;
        for (place, (ordinal, count)) in shards.iter().enumerate() {
            fleet.run(place, *ordinal, *count).await;
        }
        let mut folders = vec![tempfile::tempdir().unwrap()];
        let once = format!("-dedup.minScrapeInterval={SCRAPE}s");
        let store = Server::victoria_metrics(folders[0].path(), &[&once]).await;
        let write_to = format!("http://{}/api/v1/write", store.address);
        let mut running = Vec::new();
        for _ in 0..agents {
            let folder = tempfile::tempdir().unwrap();
            running.push(Server::vmagent(folder.path(), &jobs(&fleet), &write_to, &LIST).await);
            folders.push(folder);
        }
        Some(Self {
            fleet,
            agents: running,
            store,
            // At an instant that is a window's end, the horizon holds the windows that ended in the hour before.
            start: now - HORIZON,
            _folders: folders,
        })
    }

    fn watch(&self) -> Watch<'_> {
        Watch {
            fleet: &self.fleet,
            store: &self.store,
            start: self.start,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_counted_twice_when_parts_die_and_the_fleet_grows() {
    let four = [(0, 4), (1, 4), (2, 4), (3, 4)];
    let Some(mut stack) = Stack::start(2, &four, 5).await else {
        return;
    };
    stack.watch().complete("at the start").await;

    a_shard_is_killed_and_replaced(&mut stack).await;
    agents_are_killed_and_replaced(&mut stack).await;
    stack.watch().owned(|domain| vec![Fleet::owner(domain, 4)]).await;
    a_shard_is_added(&mut stack).await;
    stack.watch().gauges_are_kept_once(f64::from(SCRAPE)).await;
}

async fn a_shard_is_killed_and_replaced(stack: &mut Stack) {
    const KILLED: usize = 2;
    let before = stack.fleet.settled();
    stack.fleet.kill(KILLED).await;
    stack.fleet.advance(OUTAGE);
    let domains = stack.fleet.domains.iter();
    let (lost, others): (Vec<&Domain>, Vec<&Domain>) =
        domains.partition(|domain| Fleet::owner(domain, 4) == KILLED);
    assert!(!lost.is_empty(), "the shard had domains");
    let watch = stack.watch();
    watch
        .has("the others go on", &others, stack.fleet.settled())
        .await;
    watch.has("its domains stand still", &lost, before).await;
    // What an agent writes about an exporter that does not answer must not touch the windows before.
    watch.is_down(KILLED).await;
    watch.has("its windows stay", &lost, before).await;

    stack.fleet.run(KILLED, 2, 4).await;
    stack.watch().complete("after its replacement").await;
}

async fn agents_are_killed_and_replaced(stack: &mut Stack) {
    stack.agents[0].kill().await;
    stack.fleet.advance(OUTAGE / 2);
    stack.watch().complete("with the second agent alone").await;

    stack.agents[1].stop().await;
    stack.fleet.advance(OUTAGE / 2);
    for agent in &mut stack.agents {
        agent.start().await;
    }
    stack.watch().complete("after both were away").await;

    stack.agents[1].stop().await;
    stack.fleet.advance(OUTAGE / 2);
    stack.watch().complete("with the first agent alone").await;
    stack.agents[1].start().await;
}

/// The new one first, then the others one after the other: every domain is read all the time.
async fn a_shard_is_added(stack: &mut Stack) {
    stack.fleet.run(4, 4, 5).await;
    stack.fleet.advance(STEP);
    stack.watch().complete("while the new one starts").await;
    for place in 0..4 {
        stack.fleet.stop(place).await;
        stack.fleet.advance(STEP);
        let ordinal = u32::try_from(place).unwrap();
        stack.fleet.run(place, ordinal, 5).await;
    }
    let watch = stack.watch();
    watch.complete("with five").await;
    watch
        .owned(|domain| vec![Fleet::owner(domain, 4), Fleet::owner(domain, 5)])
        .await;

    // Where the exporter's name is kept, a domain that has moved has the hour before in two series.
    let counted = watch.counted_by_instance(FLOW).await;
    let mut moved = 0;
    for domain in &stack.fleet.domains {
        let windows = stack
            .fleet
            .truth(FLOW, domain, stack.start, stack.fleet.settled());
        let windows: f64 = windows.iter().map(|_| 1.0).sum();
        let twice = counted[domain.as_str()] > windows;
        let has_moved = Fleet::owner(domain, 4) != Fleet::owner(domain, 5);
        assert_eq!(twice, has_moved, "{domain}: {counted:?} for {windows}");
        moved += usize::from(has_moved);
    }
    assert!(moved > 0, "no domain moved");
}

/// What a slip looks like: the windows of the domains that two exporters read are there once all the
/// same, and those that nobody reads are not.
#[tokio::test(flavor = "multi_thread")]
async fn an_ordinal_that_was_given_twice_is_found() {
    let slip = [(0, 4), (1, 4), (1, 4), (3, 4)];
    let Some(stack) = Stack::start(1, &slip, 4).await else {
        return;
    };
    let watch = stack.watch();
    watch
        .owned(|domain| match Fleet::owner(domain, 4) {
            1 => vec![1, 2],
            2 => vec![],
            place => vec![place],
        })
        .await;
    let domains = stack.fleet.domains.iter();
    let (nobodys, read): (Vec<&Domain>, Vec<&Domain>) =
        domains.partition(|domain| Fleet::owner(domain, 4) == 2);
    watch.has("once", &read, stack.fleet.settled()).await;
    watch.has("never", &nobodys, stack.start).await;
}
