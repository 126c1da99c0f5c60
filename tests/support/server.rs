//! A real server with an address and a folder that it keeps when it is stopped and started again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

use crate::http;
use crate::process::Program;

/// Nothing takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(50);

/// A port that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Whether these programs are there; those that are not are told of.
pub(crate) fn installed(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| {
        // The flag ends each of them at once, whatever they think of it.
        Command::new(program).arg("--version").output().is_err()
    });
    if let Some(program) = missing {
        crate::parts::left_out(program);
    }
    missing.is_none()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> Result<(), String>) {
    let began = Instant::now();
    while let Err(state) = holds().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}: {state}");
        tokio::time::sleep(LOOK).await;
    }
}

/// One server, running or stopped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    program: &'static str,
    arguments: Vec<String>,
    ready: &'static str,
    running: Option<Program>,
}

impl Server {
    /// Prometheus with this configuration and a data folder beside it.
    pub(crate) async fn prometheus(folder: &Path, config: &str) -> Self {
        let address = free_address();
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let arguments = vec![
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            "--storage.tsdb.retention.time=100y".to_owned(),
            "--web.enable-remote-write-receiver".to_owned(),
            format!("--web.listen-address={address}"),
        ];
        Self::begin("prometheus", arguments, address, "/-/ready").await
    }

    /// Alertmanager with this configuration, alone and without peers.
    pub(crate) async fn alertmanager(folder: &Path, config: &str) -> Self {
        let address = free_address();
        let file = folder.join("alertmanager.yml");
        std::fs::write(&file, config).unwrap();
        let arguments = vec![
            format!("--config.file={}", file.display()),
            format!("--storage.path={}", folder.join("alertmanager").display()),
            format!("--web.listen-address={address}"),
            "--cluster.listen-address=".to_owned(),
        ];
        Self::begin("prometheus-alertmanager", arguments, address, "/-/ready").await
    }

    /// VictoriaMetrics, with these flags besides.
    pub(crate) async fn victoria_metrics(folder: &Path, flags: &[&str]) -> Self {
        let address = free_address();
        let mut arguments = vec![
            format!("-storageDataPath={}", folder.join("data").display()),
            format!("-httpListenAddr={address}"),
        ];
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        Self::begin("victoria-metrics", arguments, address, "/health").await
    }

    /// An agent that scrapes by this configuration and writes to a store, with these flags besides.
    pub(crate) async fn vmagent(folder: &Path, config: &str, write_to: &str, flags: &[&str]) -> Self {
        let address = free_address();
        let file = folder.join("vmagent.yml");
        std::fs::write(&file, config).unwrap();
        let mut arguments = vec![
            format!("-promscrape.config={}", file.display()),
            // Without it the agent writes a mark over each window that a failed scrape does not show.
            "-promscrape.noStaleMarkers".to_owned(),
            format!("-remoteWrite.url={write_to}"),
            format!("-remoteWrite.tmpDataPath={}", folder.join("queue").display()),
            format!("-httpListenAddr={address}"),
        ];
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        Self::begin("vmagent", arguments, address, "/health").await
    }

    async fn begin(
        program: &'static str,
        arguments: Vec<String>,
        address: SocketAddr,
        ready: &'static str,
    ) -> Self {
        let mut server = Self {
            address,
            program,
            arguments,
            ready,
            running: None,
        };
        server.start().await;
        server
    }

    /// Starts it, where it was and with what it had.
    pub(crate) async fn start(&mut self) {
        self.running = Some(Program::start(Command::new(self.program).args(&self.arguments)).unwrap());
        until(self.program, async || match self.get(self.ready).await {
            Some(_) => Ok(()),
            None => Err(self.said()),
        })
        .await;
    }

    /// Makes it read its configuration again.
    pub(crate) fn reload(&self) {
        self.running.as_ref().expect("it runs").signal("HUP");
    }

    /// Stops it as a service manager does.
    pub(crate) async fn stop(&mut self) {
        let mut program = self.running.take().expect("it runs");
        program.signal("TERM");
        let (status, _) = program.ended().await;
        assert!(status.success(), "{status}: {}", program.said());
    }

    /// Ends it as a machine's failure does.
    pub(crate) async fn kill(&mut self) {
        let mut program = self.running.take().expect("it runs");
        program.signal("KILL");
        let (status, _) = program.ended().await;
        assert!(!status.success(), "{status}");
    }

    /// What it has printed and logged.
    pub(crate) fn said(&self) -> String {
        self.running.as_ref().map(Program::said).unwrap_or_default()
    }

    /// The body of a good reply.
    pub(crate) async fn get(&self, path: &str) -> Option<String> {
        // HTTP/1.0 has no chunks and ends with the connection.
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        let reply = http::exchange(self.address, &request).await.ok()?;
        (reply.status / 100 == 2).then(|| reply.text().to_owned())
    }
}
