//! The exporter in this process against a simulator, both at a fixed time, after its first round.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jdcloud_cdn_exporter::app::{self, AppError, Parts};
use jdcloud_cdn_exporter::clock::{Clock, ManualClock};
use jdcloud_cdn_exporter::config::{self, Environment};
use jdcloud_cdn_exporter::discovery::Pace;
use jdcloud_cdn_exporter::model::{Domain, Endpoint, Window};
use jdcloud_cdn_exporter::plan::Shard;
use jdcloud_cdn_exporter::provider::Trust;
use jdcloud_cdn_exporter::simulator::{Effect, Fault, Rule, Script, Simulator, SimulatorOptions, Traffic};
use jdcloud_cdn_exporter::web::{Limits, TelemetryPath, listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What both clocks show.
pub(crate) const NOW: &str = "2026-11-22T12:06:00Z";

/// Longer than a first round takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Running {
    pub(crate) simulator: Simulator,
    address: SocketAddr,
    stop: CancellationToken,
    app: JoinHandle<Result<(), AppError>>,
}

impl Running {
    /// The demo's dozen domains with a spike of origin traffic at `shop`, `news` refused at
    /// `origin_ratio`, and an account with a wrong key.
    pub(crate) async fn start() -> Self {
        let clock = Clock::Manual(ManualClock::new(NOW.parse().unwrap()));
        let window = |end: &str| {
            let end: chrono::DateTime<chrono::Utc> = end.parse().unwrap();
            Window::ending_at(end.timestamp()).unwrap()
        };
        let simulator = Simulator::start(SimulatorOptions {
            traffic: Traffic {
                scripts: vec![Script {
                    domain: Domain::parse("shop.example.com").unwrap(),
                    first: window("2026-11-22T11:45:00Z"),
                    last: window("2026-11-22T11:55:00Z"),
                    effect: Effect::OriginRatio(62.0),
                }],
                ..Traffic::prompt(1)
            },
            ..SimulatorOptions::demo(clock.clone())
        })
        .await
        .unwrap();
        let refused = Rule::always(Fault::Status(15)).for_domain(&Domain::parse("news.example.com").unwrap());
        simulator.faults().add(Endpoint::OriginRatio, refused);
        let text = configuration(&simulator.base_url());
        let config = config::parse(&text, "the test's configuration", &Environment::default()).unwrap();
        let listeners = listener::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let parts = Parts {
            listeners,
            telemetry_path: TelemetryPath::default(),
            trust: Trust::read(&config.api).unwrap(),
            web_file: None,
            limits: Limits::default(),
            clock,
            shard: Shard::WHOLE,
            discovery: Pace::default(),
            load_config: Arc::new(|| Err(Vec::new())),
        };
        let stop = CancellationToken::new();
        let app = tokio::runtime::Handle::current().spawn(app::run(config, parts, stop.clone()));
        let running = Self {
            simulator,
            address,
            stop,
            app,
        };
        let ready = async {
            while !running.is_ready().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready)
            .await
            .expect("the first round takes longer than the test's patience");
        running
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn is_ready(&self) -> bool {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream
            .write_all(b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply.starts_with("HTTP/1.1 200 ")
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.app.await.unwrap().unwrap();
        self.simulator.stop().await;
    }
}

/// Two accounts of the simulated user, one of them with a wrong key.
fn configuration(base_url: &str) -> String {
    let mut text = format!(
        "api:\n  base_url: {base_url}\naccounts:\n  - name: media\n    username: {}\n    secret_key: {}\n    domains:\n",
        SimulatorOptions::DEMO_USERNAME,
        SimulatorOptions::DEMO_SECRET_KEY,
    );
    for name in SimulatorOptions::DEMO_DOMAINS {
        writeln!(text, "      - {name}").unwrap();
    }
    for name in SimulatorOptions::DEMO_LIVE_DOMAINS {
        writeln!(text, "      - name: {name}\n        endpoints: [bandwidth_flow]").unwrap();
    }
    writeln!(
        text,
        "  - name: old-team\n    username: {}\n    secret_key: not-the-right-key\n    domains:\n      - old.example.com",
        SimulatorOptions::DEMO_USERNAME,
    )
    .unwrap();
    text
}
