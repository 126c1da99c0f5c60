//! Everything between the provider and whoever is on call, as it is deployed but for the durations.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use jdcloud_cdn_exporter::clock::Clock;
use jdcloud_cdn_exporter::model::{Domain, Window};
use jdcloud_cdn_exporter::simulator::{
    Effect, OwnedDomain, Script, SimulatedAccount, Simulator, SimulatorOptions, Traffic,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::compress::compressed;
use crate::http;
use crate::parts;
use crate::process::Program;
use crate::receiver::{Receiver, Told};
use crate::server::{Server, free_address, until};

/// How much faster than deployed the rules and routes are: 6 minutes take 1.8 s. The baseline of a spike needs
/// 75 minutes of history, which are most of the time that this test takes; more speed would leave
/// a busy machine too little time between two scrapes.
pub(crate) const FACTOR: u64 = 200;
/// Of the gauges, which are deployed to be scraped every 30 s; that would be 150 ms.
const SCRAPE: &str = "500ms";
/// Deployed every 30 s, too.
const EVALUATION: &str = "250ms";

/// The domain that the spike is about.
pub(crate) const SPIKING: &str = "www.example.com";
/// Hardly any traffic; its ratio goes up to 1 with the spike.
pub(crate) const IDLE: &str = "idle.example.com";
/// Much traffic of which nothing is remarkable.
pub(crate) const STEADY: &str = "steady.example.com";

pub(crate) struct Site {
    simulator: Simulator,
    exporters: [Exporter; 2],
    alertmanager: Server,
    prometheus: Server,
    receiver: Receiver,
    folder: TempDir,
}

/// The real binary, at an address that it keeps.
struct Exporter {
    config: PathBuf,
    address: SocketAddr,
    running: Option<Program>,
}

impl Site {
    /// All of them run, and both exporters have read every domain.
    pub(crate) async fn start() -> Self {
        let simulator = Simulator::start(SimulatorOptions {
            accounts: vec![SimulatedAccount {
                username: "someone".to_owned(),
                secret_key: "a made-up key".into(),
                domains: [SPIKING, IDLE, STEADY]
                    .map(|name| OwnedDomain::new(Domain::parse(name).unwrap()))
                    .to_vec(),
            }],
            traffic: Traffic {
                scripts: calm(),
                ..Traffic::prompt(1)
            },
            ..SimulatorOptions::new(Clock::System)
        })
        .await
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("exporter.yaml");
        std::fs::write(
            &config,
            format!(
                "api:\n  base_url: {}\n  max_requests_per_second: 1000\npoll:\n  interval: 500ms\naccounts:\n  - \
                 username: someone\n    secret_key: a made-up key\n    domains: [{SPIKING}, {IDLE}, {STEADY}]\n",
                simulator.base_url()
            ),
        )
        .unwrap();
        let mut exporters = [(); 2].map(|()| Exporter {
            config: config.clone(),
            address: free_address(),
            running: None,
        });
        for exporter in &mut exporters {
            exporter.start().await;
        }
        let receiver = Receiver::start().await;
        let alertmanager = Server::alertmanager(folder.path(), &routes(receiver.address)).await;
        let addresses = exporters.each_ref().map(|exporter| exporter.address);
        let config = prometheus(folder.path(), addresses, alertmanager.address);
        let prometheus = Server::prometheus(folder.path(), &config).await;
        let site = Self {
            simulator,
            exporters,
            alertmanager,
            prometheus,
            receiver,
            folder,
        };
        // Prometheus takes some seconds to begin scraping, which are many minutes to these rules: it would
        // miss the exporters. So it gets them when it has scraped both jobs of both.
        site.until("scrapes", "up", 4, 1.0, 1.0).await;
        let rules = site.folder.path().join("rules.yml");
        std::fs::rename(site.folder.path().join("later.yml"), rules).unwrap();
        site.prometheus.reload();
        site
    }

    /// From now on nearly half of the traffic of one domain, and all of the idle one's, comes from the origin.
    pub(crate) fn spike(&self) {
        let mut scripts = vec![traffic_of(SPIKING, 100.0, 45.0), traffic_of(IDLE, 0.5, 0.5)];
        // Of several scripts for a domain the first counts.
        scripts.extend(calm());
        self.simulator.set_scripts(scripts);
    }

    /// All is as it was before.
    pub(crate) fn calm_down(&self) {
        self.simulator.set_scripts(calm());
    }

    /// Where the second exporter is.
    pub(crate) fn second(&self) -> SocketAddr {
        self.exporters[1].address
    }

    /// Kills the second exporter, as a machine that loses its power does.
    pub(crate) fn kill_second(&mut self) {
        self.exporters[1].running = None;
    }

    pub(crate) async fn start_second(&mut self) {
        self.exporters[1].start().await;
    }

    /// What an expression gives now, as labels and values.
    pub(crate) async fn ask(&self, expression: &str) -> Vec<(Value, f64)> {
        let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let path = format!("/api/v1/query?query={encoded}");
        let Some(body) = self.prometheus.get(&path).await else {
            panic!("no answer to {expression}; {}", self.prometheus.said())
        };
        let body: Value = serde_json::from_str(&body).unwrap();
        let results = body["data"]["result"].as_array().unwrap();
        let number = |result: &Value| result["value"][1].as_str().unwrap().parse().unwrap();
        results
            .iter()
            .map(|result| (result["metric"].clone(), number(result)))
            .collect()
    }

    /// Waits until an expression gives just this many series, each with a value in the range.
    pub(crate) async fn until(&self, what: &str, expression: &str, series: usize, low: f64, high: f64) {
        until(what, async || {
            let found = self.ask(expression).await;
            let right = found.len() == series && found.iter().all(|(_, value)| (low..=high).contains(value));
            right.then_some(()).ok_or_else(|| format!("{found:?}"))
        })
        .await;
    }

    /// Waits until the receiver has been told this, and gives everything that it has been told.
    pub(crate) async fn until_told(&self, short: &str) -> Vec<Told> {
        until(short, async || {
            let told = self.receiver.told();
            let there = told.iter().any(|told| told.short() == short);
            there.then_some(()).ok_or_else(|| {
                let alertmanager = self.alertmanager.said();
                format!("{told:#?}; {alertmanager}")
            })
        })
        .await;
        self.receiver.told()
    }

    /// The alerts that Alertmanager holds, by name.
    pub(crate) async fn held(&self) -> Vec<String> {
        let body = self.alertmanager.get("/api/v2/alerts?active=true").await.unwrap();
        let alerts: Vec<Value> = serde_json::from_str(&body).unwrap();
        alerts
            .iter()
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }

    /// How long a rule waits, in seconds, by Prometheus' own word.
    pub(crate) async fn waiting_time(&self, alert: &str) -> f64 {
        let body = self.prometheus.get("/api/v1/rules").await.unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        let groups = body["data"]["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let mut named = rules.filter(|rule| rule["name"] == alert);
        named.next().unwrap()["duration"].as_f64().unwrap()
    }
}

impl Exporter {
    /// Starts it and waits for its first round.
    async fn start(&mut self) {
        let binary = parts::switch("JDCLOUD_EXPORTER_BINARY")
            .unwrap_or_else(|| env!("CARGO_BIN_EXE_jdcloud-cdn-exporter").to_owned());
        let program = Program::start(Command::new(&binary).env_clear().args([
            format!("--config.file={}", self.config.display()),
            format!("--web.listen-address={}", self.address),
        ]))
        .unwrap_or_else(|error| panic!("{binary}: {error}"));
        until("a first round", async || {
            match http::request(self.address, "GET", "/-/ready", &[]).await {
                Ok(reply) if reply.status == 200 => Ok(()),
                other => Err(format!("{other:?}; {}", program.said())),
            }
        })
        .await;
        self.running = Some(program);
    }
}

/// 5 % of the traffic of each domain from its origin, and 2 % of the idle one's.
fn calm() -> Vec<Script> {
    vec![
        traffic_of(SPIKING, 100.0, 5.0),
        traffic_of(IDLE, 0.5, 0.01),
        traffic_of(STEADY, 200.0, 10.0),
    ]
}

/// These Mbps, whatever the window.
fn traffic_of(domain: &str, bandwidth_mbps: f64, origin_mbps: f64) -> Script {
    Script {
        domain: Domain::parse(domain).unwrap(),
        first: Window::ending_at(0).unwrap(),
        last: Window::ending_at(i64::from(u32::MAX) / 300 * 300).unwrap(),
        effect: Effect::Fixed {
            bandwidth_mbps,
            origin_mbps,
        },
    }
}

/// A file of this project.
pub(crate) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The deployed rules, and the deployed jobs with both exporters as targets.
fn prometheus(folder: &Path, exporters: [SocketAddr; 2], alertmanager: SocketAddr) -> String {
    let deployed = text("deploy/prometheus/rules.yml");
    let (rules, count) = compressed(&deployed, FACTOR);
    // Every alert has a waiting time, and some expressions look back.
    assert!(count > deployed.matches("- alert:").count(), "{count}");
    let path = folder.join("later.yml");
    std::fs::write(&path, rules).unwrap();
    let mut jobs = text("deploy/prometheus/scrape.yml");
    let [one, other] = exporters;
    for (deployed, here) in [
        ("\"127.0.0.1:10530\"", format!("'{one}', '{other}'")),
        ("scrape_interval: 30s", format!("scrape_interval: {SCRAPE}")),
        (
            "scrape_interval: 4m",
            format!("scrape_interval: {}ms", 240_000 / FACTOR),
        ),
        ("scrape_timeout: 30s", format!("scrape_timeout: {SCRAPE}")),
    ] {
        assert!(jobs.contains(deployed), "{deployed}: {jobs}");
        jobs = jobs.replace(deployed, &here);
    }
    format!(
        "global: {{scrape_timeout: {SCRAPE}, evaluation_interval: {EVALUATION}}}\n\
         rule_files: ['{}']\n\
         storage: {{tsdb: {{out_of_order_time_window: 2h}}}}\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n{jobs}",
        folder.join("rules.yml").display()
    )
}

/// The deployed routes, with the one receiver for whoever would be on call or in the team.
fn routes(receiver: SocketAddr) -> String {
    let (mut config, count) = compressed(&text("deploy/compose/alertmanager.yml"), FACTOR);
    assert_eq!(count, 3, "group_wait, group_interval, repeat_interval");
    for name in ["on-call", "team"] {
        let bare = format!("  - name: {name}\n");
        assert!(config.contains(&bare), "{config}");
        let hook = format!("{bare}    webhook_configs: [{{url: 'http://{receiver}/{name}'}}]\n");
        config = config.replace(&bare, &hook);
    }
    config
}
