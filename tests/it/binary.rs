//! The program as an operator runs it: flags, exit codes, signals, the environment, the demo.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jdcloud_cdn_exporter::clock::Clock;
use jdcloud_cdn_exporter::model::Endpoint;
use jdcloud_cdn_exporter::simulator::{Fault, SimulatedAccount, Simulator, SimulatorOptions, Traffic};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::fixture::{SECRET_KEY, Setup, USERNAME, configuration, millis};
use crate::http;
use crate::page;
use crate::process::Program;
use crate::truth::{self, Samples};

const DOMAINS: [&str; 2] = ["www.a.com", "img.a.com"];
/// What SIGTERM and SIGINT have.
const END_WITHIN: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);

/// The program in an empty environment, at the root of the repository.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jdcloud-cdn-exporter"));
    command
        .args(arguments)
        .env_clear()
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Runs it to its end.
async fn run(command: &mut Command) -> (i32, Program) {
    let mut program = Program::start(command).unwrap();
    let (status, _) = program.ended().await;
    (status.code().expect("an exit code, not a signal"), program)
}

/// The exporter as a process, its configuration file and its provider.
pub(crate) struct Exporter {
    pub(crate) program: Program,
    pub(crate) simulator: Simulator,
    pub(crate) address: SocketAddr,
    pub(crate) directory: TempDir,
}

impl Exporter {
    pub(crate) fn config_file(directory: &Path) -> PathBuf {
        directory.join("exporter.yaml")
    }

    pub(crate) async fn start(faults: &[(Endpoint, Fault)], adjust: impl FnOnce(&mut Command)) -> Self {
        let domains = Setup::of(&DOMAINS).domains;
        let simulator = Simulator::start(SimulatorOptions {
            accounts: vec![SimulatedAccount {
                username: USERNAME.to_owned(),
                secret_key: SECRET_KEY.into(),
                domains: domains.clone(),
            }],
            traffic: Traffic::prompt(7),
            ..SimulatorOptions::new(Clock::System)
        })
        .await
        .unwrap();
        for (endpoint, fault) in faults {
            simulator.faults().set(*endpoint, *fault);
        }
        let directory = tempfile::tempdir().unwrap();
        let file = Self::config_file(directory.path());
        let text = configuration(&simulator.base_url(), &domains, "timeout: 10s", "units: decimal");
        std::fs::write(&file, text + "poll:\n  interval: 1s\n").unwrap();
        let mut command = command(&[
            &format!("--config.file={}", file.display()),
            "--web.listen-address=127.0.0.1:0",
        ]);
        adjust(&mut command);
        let mut program = Program::start(&mut command).unwrap();
        let address = program
            .until("the address", |said| address_in(said, "address="))
            .await;
        Self {
            program,
            simulator,
            address,
            directory,
        }
    }

    pub(crate) async fn until_samples(&self, what: &str, wanted: impl Fn(&Samples) -> bool) -> Samples {
        until_samples(self.address, what, wanted, || self.program.said()).await
    }

    /// Rewrites the configuration file.
    pub(crate) fn configure(&self, change: impl FnOnce(String) -> String) {
        let file = Self::config_file(self.directory.path());
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, change(text)).unwrap();
    }
}

/// The socket address that follows this text somewhere.
fn address_in(said: &str, before: &str) -> Option<SocketAddr> {
    let (_, after) = said.split_once(before)?;
    let end = after.find(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != ':')?;
    after[..end].parse().ok()
}

async fn until_samples(
    address: SocketAddr,
    what: &str,
    wanted: impl Fn(&Samples) -> bool,
    said: impl Fn() -> String,
) -> Samples {
    let began = Instant::now();
    loop {
        let reply = http::request(address, "GET", "/metrics", &[]).await.unwrap();
        let samples = page::samples(reply.text());
        if wanted(&samples) {
            return samples;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "waited for {what}: {samples:#?}; {}",
            said()
        );
        tokio::time::sleep(millis(20)).await;
    }
}

fn ups(samples: &Samples) -> usize {
    samples
        .iter()
        .filter(|(series, value)| series.starts_with("jdcloud_cdn_up{") && **value > 0.0)
        .count()
}

#[tokio::test]
async fn the_version_is_printed() {
    let (code, program) = run(&mut command(&["--version"])).await;
    let expected = concat!("jdcloud-cdn-exporter ", env!("CARGO_PKG_VERSION"));
    assert_eq!(code, 0);
    assert!(program.stdout().starts_with(expected), "{}", program.said());
}

#[tokio::test]
async fn a_good_configuration_is_summed_up() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("good.yaml");
    let text = configuration(
        "https://opencdn.jcloud.com",
        &Setup::of(&DOMAINS).domains,
        "timeout: 10s",
        "units: decimal",
    );
    std::fs::write(&file, text).unwrap();
    let file = format!("--config.file={}", file.display());
    let (code, program) = run(&mut command(&[&file, "--config.check"])).await;
    assert_eq!((code, program.stderr().as_str()), (0, ""));
    assert!(
        program.stdout().starts_with("accounts: 1, domains: 2, "),
        "{}",
        program.said()
    );
    assert!(!program.stdout().contains(SECRET_KEY));
}

#[tokio::test]
async fn a_bad_configuration_is_refused_in_the_same_words_by_the_check_and_at_the_start() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let expected = std::fs::read_to_string(root.join("tests/config/invalid-several.txt")).unwrap();
    assert!(expected.lines().count() > 10);
    for check in [&["--config.check"][..], &[]] {
        let arguments = [&["--config.file=tests/config/invalid-several.yaml"], check].concat();
        let (code, program) = run(&mut command(&arguments)).await;
        assert_eq!(code, 2, "{}", program.said());
        assert_eq!(program.stderr().trim_end(), expected.trim_end(), "{check:?}");
        assert_eq!(program.stdout(), "");
    }
    let (code, program) = run(&mut command(&["--config.file=nowhere.yaml"])).await;
    assert_eq!(code, 2);
    assert!(
        program.stderr().starts_with("nowhere.yaml: "),
        "{}",
        program.said()
    );
}

#[tokio::test]
async fn the_problems_of_both_files_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web.yml");
    std::fs::write(&web, "rate_limits: {}\n").unwrap();
    let web = format!("--web.config.file={}", web.display());
    let (code, program) = run(&mut command(&[
        "--config.file=tests/config/invalid-empty.yaml",
        &web,
    ]))
    .await;
    assert_eq!(code, 2, "{}", program.said());
    for problem in [
        "invalid-empty.yaml: is empty",
        "web.yml: rate_limits: is an unknown key",
    ] {
        assert!(program.stderr().contains(problem), "{}", program.said());
    }
}

#[tokio::test]
async fn sigterm_and_sigint_end_it_with_0_in_time_whatever_is_under_way() {
    for (signal, faults) in [
        ("TERM", vec![]),
        ("INT", vec![]),
        // Polls that never end by themselves.
        (
            "TERM",
            Endpoint::ALL.map(|endpoint| (endpoint, Fault::Hang)).to_vec(),
        ),
    ] {
        let mut exporter = Exporter::start(&faults, |_| {}).await;
        exporter
            .until_samples("requests", |_| {
                Endpoint::ALL
                    .iter()
                    .all(|endpoint| exporter.simulator.request_count(*endpoint) > 0)
            })
            .await;
        let _silent = TcpStream::connect(exporter.address).unwrap();
        exporter.program.signal(signal);
        let (status, took) = exporter.program.ended().await;
        assert_eq!(status.code(), Some(0), "{}", exporter.program.said());
        assert!(took < END_WITHIN, "{signal}: {took:?}");
    }
}

/// Asks for far more than the system buffers, reads nothing, and waits until the answers are stuck:
/// what lies in the exporter's socket no longer changes.
async fn hanging_scrape(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let requests = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000);
    stream.write_all(requests.as_bytes()).unwrap();
    let client = stream.local_addr().unwrap();
    let (mut before, mut looks) = (String::new(), 0);
    let began = Instant::now();
    while looks < 10 {
        let queues = queues(address, client);
        looks = if queues == before && !queues.starts_with("00000000:") {
            looks + 1
        } else {
            0
        };
        assert!(began.elapsed() < PATIENCE, "{queues}: it goes on");
        before = queues;
        tokio::time::sleep(millis(100)).await;
    }
    stream
}

/// The bytes that one end of a connection has yet to send and to read, in the system's notation:
/// `TX:RX` in hexadecimal digits, the fifth column of its table of connections.
fn queues(local: SocketAddr, remote: SocketAddr) -> String {
    let ports = [local, remote].map(|address| format!(":{:04X}", address.port()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let columns = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|columns| columns[1].ends_with(&ports[0]) && columns[2].ends_with(&ports[1]));
    columns.expect("a connection that is open")[4].to_owned()
}

/// A reader that does not read is cut off when the drain ends; a second signal does not wait for it.
#[tokio::test]
async fn a_hanging_scrape_delays_the_end_within_bounds_and_a_second_signal_ends_it_at_once() {
    for impatient in [false, true] {
        let mut exporter = Exporter::start(&[], |_| {}).await;
        exporter
            .until_samples("gauges", |samples| ups(samples) == 4)
            .await;
        let _hanging = hanging_scrape(exporter.address).await;
        exporter.program.signal("TERM");
        exporter
            .program
            .until("the log line", |said| said.contains("stopping").then_some(()))
            .await;
        if impatient {
            exporter.program.signal("TERM");
        }
        let (status, took) = exporter.program.ended().await;
        assert_eq!(status.code(), Some(0), "{}", exporter.program.said());
        assert!(took < END_WITHIN, "{took:?}");
        let expected = if impatient { "stopping at once" } else { "cut off" };
        assert!(
            exporter.program.stderr().contains(expected),
            "{}",
            exporter.program.said()
        );
        assert!(!impatient || took < Duration::from_secs(2), "{took:?}");
    }
}

#[tokio::test]
async fn sighup_reads_the_configuration_again() {
    let mut exporter = Exporter::start(&[], |_| {}).await;
    exporter
        .until_samples("both domains", |samples| ups(samples) == 4)
        .await;
    exporter.configure(|text| text.replace("units: decimal", "units: metric"));
    exporter.program.signal("HUP");
    let reload = "jdcloud_cdn_exporter_config_last_reload_successful";
    let samples = exporter
        .until_samples("a failed reload", |samples| samples[reload] < 1.0)
        .await;
    assert_eq!(ups(&samples), 4);
    exporter
        .program
        .until("the problem", |said| {
            said.contains("accounts[0].units: is").then_some(())
        })
        .await;
    exporter.configure(|text| {
        text.replace("units: metric", "units: decimal")
            .replace("      - img.a.com\n", "")
    });
    exporter.program.signal("HUP");
    let samples = exporter
        .until_samples("a good reload", |samples| samples[reload] > 0.0)
        .await;
    assert!(samples.keys().all(|series| !series.contains("img.a.com")));
    assert_eq!(ups(&samples), 2);
}

#[tokio::test]
async fn the_environment_wins_over_the_file() {
    let exporter = Exporter::start(&[], |command| {
        command
            .env("JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__NAME", "from-environment")
            .env("JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__UNITS", "binary");
    })
    .await;
    let samples = exporter
        .until_samples("gauges", |samples| ups(samples) == 4)
        .await;
    let info = truth::domain_info(DOMAINS[0], "from-environment");
    assert!(
        info.keys().all(|series| samples.contains_key(series)),
        "{samples:#?}"
    );
    let ended = [("domain", DOMAINS[0]), ("endpoint", "bandwidth_flow")];
    let ended = samples[&truth::series("jdcloud_cdn_sample_timestamp_seconds", &ended)];
    let end: i64 = format!("{ended}").parse().unwrap();
    let expected = truth::bandwidth_flow(&exporter.simulator, DOMAINS[0], end, truth::BINARY);
    let shown = samples
        .into_iter()
        .filter(|(series, _)| expected.contains_key(series))
        .collect();
    assert_eq!(truth::differences(&expected, &shown), [""; 0]);
}

#[tokio::test]
async fn what_kubernetes_injects_is_nothing_and_a_slip_is_told_once() {
    let mut exporter = Exporter::start(&[], |command| {
        command
            .env("JDCLOUD_CDN_EXPORTER_PORT", "tcp://10.0.0.1:10530")
            .env("JDCLOUD_CDN_EXPORTER_SERVICE_HOST", "10.0.0.1")
            .env("JDCLOUD_CDN_EXPORTER_SERVICE_PORT", "10530")
            .env("JDCLOUD_CDN_EXPORTER_SERVICE_PORT_HTTP", "10530")
            .env("JDCLOUD_CDN_EXPORTER_PORT_10530_TCP", "tcp://10.0.0.1:10530")
            .env("JDCLOUD_CDN_EXPORTER_PORT_10530_TCP_ADDR", "10.0.0.1")
            .env("JDCLOUD_CDN_EXPORTER_API_TIMEOUT", "hush");
    })
    .await;
    exporter
        .until_samples("gauges", |samples| ups(samples) == 4)
        .await;
    let reload = http::request(exporter.address, "POST", "/-/reload", &[])
        .await
        .unwrap();
    assert_eq!(reload.status, 200);
    exporter.program.signal("TERM");
    assert_eq!(exporter.program.ended().await.0.code(), Some(0));
    let log = exporter.program.stderr();
    assert_eq!(log.matches("level=warn").count(), 1, "{log}");
    assert!(
        log.contains("did you mean JDCLOUD_CDN_EXPORTER__API__TIMEOUT?"),
        "{log}"
    );
    assert!(!log.contains("hush"), "{log}");
}

#[tokio::test]
async fn a_port_in_use_is_told_with_its_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, program) = run(&mut command(&[
        "demo",
        &format!("--web.listen-address={address}"),
    ]))
    .await;
    assert_eq!(code, 1, "{}", program.said());
    let line = program.stderr();
    assert!(line.contains(&format!("cannot listen on {address}")), "{line}");
    assert!(line.contains("in use"), "{line}");
    assert_eq!(program.stdout(), "", "nothing was started");
}

/// What stands between the empty lines is pasted into a file as it is: `check --live` finds it good.
async fn printed_configuration_works(printed: &str) {
    let block = printed.split("\n\n").nth(1).unwrap();
    assert!(block.contains("live.example.com"), "{printed}");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("exporter.yaml");
    std::fs::write(&file, block).unwrap();
    let flag = format!("--config.file={}", file.display());
    let (code, check) = run(&mut command(&["check", "--live", &flag])).await;
    assert_eq!(code, 0, "{block}\n{}", check.said());
    assert!(check.stdout().contains("3 domains"), "{}", check.stdout());
}

#[tokio::test]
async fn the_demo_says_where_to_look_and_shows_a_dozen_domains() {
    let mut program = Program::start(&mut command(&["demo", "--web.listen-address=127.0.0.1:0"])).unwrap();
    let address = program
        .until("all that the demo says", |said| {
            let address = address_in(said, "metrics   http://");
            address.filter(|_| said.contains("Ctrl-C"))
        })
        .await;
    assert!(program.stdout().contains(&format!("http://{address}/metrics")));
    assert!(program.stdout().contains(&format!("http://{address}/\n")));
    printed_configuration_works(&program.stdout()).await;
    let of = |samples: &Samples, name: &str| {
        let prefix = format!("{name}{{");
        samples
            .keys()
            .filter(|series| series.starts_with(&prefix))
            .count()
    };
    let samples = until_samples(
        address,
        "values of every domain",
        |samples| {
            of(samples, "jdcloud_cdn_bandwidth_bytes_per_second") == 12
                && of(samples, "jdcloud_cdn_origin_ratio") == 10
        },
        || program.said(),
    )
    .await;
    assert_eq!(of(&samples, "jdcloud_cdn_domain_info"), 12);
    assert_eq!(ups(&samples), 22);
    program.signal("INT");
    assert_eq!(program.ended().await.0.code(), Some(0), "{}", program.said());
}

/// `www.a.com` is shard 0's of 4 and `img.a.com` shard 2's, as the program says that computed the literals of
/// `plan::shard`.
#[tokio::test]
async fn a_shard_that_owns_nothing_says_so_once_and_is_ready() {
    let mut exporter = Exporter::start(&[], |command| {
        command.arg("--shard=jdcloud-cdn-exporter-1/4");
    })
    .await;
    exporter
        .program
        .until("the notice", |said| {
            said.contains("this shard owns none of the domains").then_some(())
        })
        .await;
    let ready = http::request(exporter.address, "GET", "/-/ready", &[])
        .await
        .unwrap();
    assert_eq!(ready.status, 200);
    // A reload of the same tells nothing new.
    let reload = http::request(exporter.address, "POST", "/-/reload", &[])
        .await
        .unwrap();
    assert_eq!(reload.status, 200);
    exporter
        .until_samples("the reload", |samples| {
            samples["jdcloud_cdn_exporter_shards"] > 1.0
        })
        .await;
    exporter.program.signal("TERM");
    assert_eq!(exporter.program.ended().await.0.code(), Some(0));
    // From the first line to the last: what runs, and why it ended.
    let log = exporter.program.stderr();
    let first = log.lines().next().unwrap();
    assert!(
        first.contains("msg=starting ") && first.contains(" shard=1/4 accounts=1 domains=0"),
        "{log}"
    );
    let last: Vec<&str> = log.lines().rev().take(2).collect();
    assert!(
        last[1].ends_with("msg=stopping signal=SIGTERM") && last[0].ends_with("msg=stopped"),
        "{log}"
    );
    assert_eq!(
        exporter
            .program
            .stderr()
            .matches("owns none of the domains")
            .count(),
        1
    );
}
