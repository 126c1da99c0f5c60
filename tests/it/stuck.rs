//! Files that cannot be read to their end, and files of which one is good and one is not: the program as an operator
//! runs it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::net::UnixDatagram;

use crate::binary::Exporter;
use crate::http;
use crate::truth::series;

const RELOADED: &str = "jdcloud_cdn_exporter_config_last_reload_successful";
/// Longer than a reload may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// What SIGTERM has.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Puts a pipe that nobody writes to in the place of a file: who opens it waits, as on a file system that hangs.
fn hang(file: &Path) {
    fs::remove_file(file).unwrap();
    let made = Command::new("mkfifo").arg(file).status().unwrap();
    assert!(made.success());
}

/// The polls that have ended at both endpoints.
fn polls(samples: &crate::truth::Samples) -> f64 {
    ["bandwidth_flow", "origin_ratio"]
        .map(|endpoint| samples[&series("jdcloud_cdn_exporter_polls_total", &[("endpoint", endpoint)])])
        .iter()
        .sum()
}

#[tokio::test]
async fn a_configuration_that_hangs_stops_neither_polls_nor_scrapes_nor_the_end() {
    for by_signal in [false, true] {
        let mut exporter = Exporter::start(&[], |_| {}).await;
        exporter.until_samples("polls", |now| polls(now) > 3.0).await;
        hang(&Exporter::config_file(exporter.directory.path()));
        let asked = if by_signal {
            exporter.program.signal("HUP");
            None
        } else {
            let address = exporter.address;
            let ask = async move { http::request(address, "POST", "/-/reload", &[]).await };
            Some(tokio::runtime::Handle::current().spawn(ask))
        };
        let before = exporter.until_samples("any scrape", |_| true).await;
        exporter
            .until_samples("more polls", |now| polls(now) > polls(&before) + 7.0)
            .await;
        exporter.program.signal("TERM");
        let (status, took) = exporter.program.ended().await;
        assert_eq!(status.code(), Some(0), "{}", exporter.program.said());
        assert!(took < END_WITHIN, "{took:?}");
        if let Some(asked) = asked {
            let reply = asked.await.unwrap().unwrap();
            assert_eq!(reply.status, 500);
            assert!(
                reply.text().contains("the exporter is stopping"),
                "{}",
                reply.text()
            );
        }
    }
}

/// What systemd has been told so far, one word for each message that is about reloads.
async fn told(socket: &UnixDatagram, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    let mut buffer = [0; 4_096];
    while told.len() < count {
        let length = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer))
            .await
            .unwrap_or_else(|_| panic!("after {told:?} nothing comes"))
            .unwrap();
        let message = std::str::from_utf8(&buffer[..length]).unwrap();
        let word = message.lines().find(|line| line.ends_with("=1"));
        told.extend(word.map(str::to_owned));
    }
    told
}

/// The bound of a reload holds for the program too; meanwhile systemd is told that it is under way, and after it not.
#[tokio::test]
async fn a_reload_that_hangs_is_refused_in_bounded_time_and_the_next_one_works() {
    let folder = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    let exporter = Exporter::start(&[], |command| {
        command.env("NOTIFY_SOCKET", folder.path().join("notify"));
    })
    .await;
    assert_eq!(told(&socket, 1).await, ["READY=1"]);
    let file = Exporter::config_file(exporter.directory.path());
    let text = fs::read_to_string(&file).unwrap();
    hang(&file);
    exporter.program.signal("HUP");
    assert_eq!(told(&socket, 2).await, ["RELOADING=1", "READY=1"]);
    exporter
        .until_samples("a failed reload", |now| now[RELOADED] < 1.0)
        .await;
    assert!(
        exporter.program.stderr().contains("could not be read to its end"),
        "{}",
        exporter.program.said()
    );
    // The thread that hangs is left where it is.
    fs::remove_file(&file).unwrap();
    fs::write(&file, text).unwrap();
    let reply = http::request(exporter.address, "POST", "/-/reload", &[])
        .await
        .unwrap();
    assert_eq!((reply.status, reply.text()), (200, "configuration reloaded\n"));
    assert_eq!(told(&socket, 2).await, ["RELOADING=1", "READY=1"]);
    exporter
        .until_samples("a good reload", |now| now[RELOADED] > 0.0)
        .await;
}

/// They are read for https only: here the reload that goes over to it, and brings an account more, needs them first.
#[tokio::test]
async fn ca_certificates_that_hang_stop_no_poll_and_refuse_the_reload() {
    let folder = tempfile::tempdir().unwrap();
    let authorities = folder.path().join("ca.pem");
    let exporter = Exporter::start(&[], |command| {
        command.env("SSL_CERT_FILE", &authorities);
    })
    .await;
    fs::write(&authorities, "").unwrap();
    hang(&authorities);
    exporter.until_samples("polls", |now| polls(now) > 3.0).await;
    let file = Exporter::config_file(exporter.directory.path());
    let plain = fs::read_to_string(&file).unwrap();
    exporter.configure(|text| text.replace("http://", "https://"));
    exporter.program.signal("HUP");
    let before = exporter.until_samples("any scrape", |_| true).await;
    let during = exporter
        .until_samples("more polls", |now| polls(now) > polls(&before) + 7.0)
        .await;
    assert!(during[RELOADED] > 0.0, "polls went on while the file hung");
    exporter
        .until_samples("a failed reload", |now| now[RELOADED] < 1.0)
        .await;
    let said = exporter.program.stderr();
    assert!(
        said.contains("a file of CA certificates (SSL_CERT_FILE"),
        "{said}"
    );

    let ask = async || {
        http::request(exporter.address, "POST", "/-/reload", &[])
            .await
            .unwrap()
    };
    // Certificates that are none refuse it at once, in the words of the start.
    fs::remove_file(&authorities).unwrap();
    fs::write(&authorities, "").unwrap();
    let reply = ask().await;
    assert_eq!(reply.status, 500);
    assert!(
        reply
            .text()
            .contains("TLS cannot be set up: install CA certificates"),
        "{}",
        reply.text()
    );
    // Plain HTTP needs none.
    fs::write(&file, plain).unwrap();
    assert_eq!(ask().await.status, 200);
    let before = exporter
        .until_samples("a good reload", |now| now[RELOADED] > 0.0)
        .await;
    exporter
        .until_samples("more polls", |now| polls(now) > polls(&before) + 3.0)
        .await;
}

#[tokio::test]
async fn a_refused_web_configuration_refuses_the_reload() {
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web.yml");
    fs::write(&web, "http_server_config: {headers: {X-Frame-Options: deny}}\n").unwrap();
    let exporter = Exporter::start(&[], |command| {
        command.arg(format!("--web.config.file={}", web.display()));
    })
    .await;
    exporter.until_samples("polls", |now| polls(now) > 1.0).await;
    fs::write(&web, "basic_auth_users: {alice: open sesame}\nrate_limits: {}\n").unwrap();
    exporter.configure(|text| text.replace("      - img.a.com\n", ""));
    let reply = http::request(exporter.address, "POST", "/-/reload", &[])
        .await
        .unwrap();
    assert_eq!(reply.status, 500, "{}", reply.text());
    assert!(
        reply.text().contains("web.yml: basic_auth_users.alice: "),
        "{}",
        reply.text()
    );
    assert!(
        reply.text().contains("web.yml: rate_limits: ") && reply.text().contains("did you mean rate_limit?"),
        "{}",
        reply.text()
    );
    assert!(!reply.text().contains("sesame"), "{}", reply.text());
    // Neither file was taken over.
    assert_eq!(reply.header("x-frame-options"), Some("deny"));
    let samples = exporter
        .until_samples("a failed reload", |now| now[RELOADED] < 1.0)
        .await;
    assert!(samples.keys().any(|series| series.contains("img.a.com")));

    // By a signal too; and the problems of both files are told.
    fs::write(
        &web,
        "http_server_config: {headers: {X-Frame-Options: sameorigin}}\n",
    )
    .unwrap();
    let reply = http::request(exporter.address, "POST", "/-/reload", &[])
        .await
        .unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let samples = exporter
        .until_samples("a good reload", |now| now[RELOADED] > 0.0)
        .await;
    assert!(samples.keys().all(|series| !series.contains("img.a.com")));
    fs::write(&web, "rate_limits: {}\n").unwrap();
    exporter.program.signal("HUP");
    exporter
        .until_samples("a failed reload", |now| now[RELOADED] < 1.0)
        .await;
    exporter.configure(|text| text.replace("units: decimal", "units: metric"));
    let reply = http::request(exporter.address, "POST", "/-/reload", &[])
        .await
        .unwrap();
    assert_eq!(reply.status, 500);
    for problem in ["accounts[0].units: ", "web.yml: rate_limits: "] {
        assert!(reply.text().contains(problem), "{}", reply.text());
    }
}
