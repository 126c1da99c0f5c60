//! A real Prometheus discovers the shards at `/sd` and scrapes each of them once.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use jdcloud_cdn_exporter::app::{self, AppError, Parts};
use jdcloud_cdn_exporter::clock::Clock;
use jdcloud_cdn_exporter::config::{self, Environment};
use jdcloud_cdn_exporter::discovery::Pace;
use jdcloud_cdn_exporter::plan::Shard;
use jdcloud_cdn_exporter::provider::Trust;
use jdcloud_cdn_exporter::web::{Limits, TelemetryPath, listener};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::parts;
use crate::prometheus::Prometheus;

const SHARDS: u32 = 3;
const DOMAINS: usize = 12;

/// Nothing here takes longer to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Every shard, each on a listener that was bound before the list of them was written. The provider is
/// away: who owns what does not depend on it.
fn start(stop: &CancellationToken) -> (Vec<SocketAddr>, Vec<JoinHandle<Result<(), AppError>>>) {
    let any = ["127.0.0.1:0".parse().unwrap()];
    let listeners: Vec<Vec<TcpListener>> = (0..SHARDS).map(|_| listener::bind(&any).unwrap()).collect();
    let addresses: Vec<SocketAddr> = listeners
        .iter()
        .map(|bound| bound[0].local_addr().unwrap())
        .collect();
    let listed: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let domains: Vec<String> = (0..DOMAINS).map(|i| format!("d{i}.example.com")).collect();
    let text = format!(
        "api:\n  base_url: http://127.0.0.1:1\nshards: [{}]\naccounts:\n  - username: someone\n    secret_key: made-up\n    \
         domains: [{}]\n",
        listed.join(", "),
        domains.join(", ")
    );
    let config = config::parse(&text, "test.yaml", &Environment::default()).unwrap();
    let running = (0..SHARDS)
        .zip(listeners)
        .map(|(ordinal, listeners)| {
            let shard = Shard::new(ordinal, SHARDS).unwrap();
            config::admit(&config, "test.yaml", shard).unwrap();
            let parts = Parts {
                listeners,
                telemetry_path: TelemetryPath::default(),
                trust: Trust::read(&config.api).unwrap(),
                web_file: None,
                limits: Limits::default(),
                clock: Clock::System,
                shard,
                discovery: Pace::default(),
                load_config: Arc::new(|| Err(Vec::new())),
            };
            tokio::runtime::Handle::current().spawn(app::run(config.clone(), parts, stop.child_token()))
        })
        .collect();
    (addresses, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_discovers_every_shard_and_has_every_domain_once() {
    if !Prometheus::is_installed() {
        return parts::left_out("prometheus");
    }
    let stop = CancellationToken::new();
    let (addresses, running) = start(&stop);
    // As docs/sharding.md has it: two of them are asked, so that either may be away.
    let jobs = format!(
        "  - job_name: jdcloud-cdn\n    http_sd_configs:\n      - url: http://{}/sd\n        refresh_interval: 1s\n      \
         - url: http://{}/sd\n    relabel_configs:\n      - source_labels: [__meta_jdcloud_cdn_shard, \
         __meta_jdcloud_cdn_shards]\n        separator: '/'\n        target_label: shard\n",
        addresses[0], addresses[1]
    );
    let mut prometheus = Prometheus::start_with(&jobs).await;
    let now = || Clock::System.now().timestamp();
    let (ordinals, _) = prometheus
        .until("jdcloud_cdn_exporter_shard_ordinal", now, |samples| {
            samples.len() == 3
        })
        .await;
    for (series, value) in &ordinals {
        let told = format!("{{shard=\"{value}/3\"}}");
        assert!(series.ends_with(&told), "{ordinals:?}");
    }
    let (owners, _) = prometheus
        .until("count by (domain) (jdcloud_cdn_domain_info)", now, |samples| {
            samples.len() == DOMAINS
        })
        .await;
    assert!(
        owners.values().all(|count| (count - 1.0).abs() < 1e-9),
        "{owners:?}"
    );
    // Targets that both lists name are scraped once.
    let (up, _) = prometheus
        .until("sum(up)", now, |samples| !samples.is_empty())
        .await;
    assert!(up.values().all(|count| (count - 3.0).abs() < 1e-9), "{up:?}");
    stop.cancel();
    for exporter in running {
        let ended = tokio::time::timeout(PATIENCE, exporter).await;
        ended.expect("it ends").expect("without a panic").unwrap();
    }
}
