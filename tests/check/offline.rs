//! What the binary prints without asking anybody: summaries, problems, sample, completions, manual.

use std::io::{BufRead as _, Write as _};
use std::process::{Command, Stdio};

use jdcloud_cdn_exporter::model::Endpoint;

use crate::support::{Setup, check_file, run, simulator};

#[tokio::test(flavor = "multi_thread")]
async fn without_live_nobody_is_asked_and_the_words_are_those_of_config_check() {
    let simulator = simulator().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("exporter.yaml");
    std::fs::write(&path, Setup::of(simulator.base_url()).text()).unwrap();
    let name = path.to_str().unwrap();
    let after = check_file(&path, &[], &[]).await;
    let before = run(&["--config.file", name, "check"], &[]).await;
    let flag = run(&["--config.check", "--config.file", name], &[]).await;
    for run in [&after, &before, &flag] {
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{run:?}");
        assert_eq!(run.out, flag.out);
    }
    assert!(flag.out.starts_with("accounts: 1, domains: 3, "), "{flag:?}");
    assert_eq!(simulator.request_count(Endpoint::OriginRatio), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_ends_with_2_and_every_problem() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("exporter.yaml");
    std::fs::write(
        &path,
        "poll:\n  setle: 5m\naccounts:\n  - username: u\n    secret_key: s\n    domains: [https://www.a.com/x]\n",
    )
    .unwrap();
    let place = path.display();
    for flags in [&[][..], &["--live"]] {
        let run = check_file(&path, flags, &[]).await;
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{run:?}");
        let misspelt = format!("{place}: poll.setle: is an unknown key; did you mean settle?\n");
        assert!(run.err.contains(&misspelt), "{run:?}");
        assert!(
            run.err.contains(&format!("{place}: accounts[0].domains[0]: ")),
            "{run:?}"
        );
    }
    let none = check_file(&directory.path().join("none.yaml"), &[], &[]).await;
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.err.contains("none.yaml"), "{none:?}");
    let flag = check_file(&path, &["--lives"], &[]).await;
    assert_eq!(flag.code, Some(2), "{flag:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_is_printed_as_it_stands_in_the_repository() {
    let sample = std::fs::read_to_string("config/exporter.yaml").unwrap();
    let run = run(&["--config.example"], &[]).await;
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert_eq!(run.out, sample);
}

/// Has a program read a text, where the program is installed; says so where it is not.
fn accepted_by(program: &str, arguments: &[&str], text: &str) -> Option<String> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("left out: {program} is not installed");
        return None;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{program}: {said}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_accept_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let run = run(&["completions", shell], &[]).await;
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        for word in ["config.file", "check", "demo", "live"] {
            assert!(run.out.contains(word), "{shell}: {word}");
        }
        accepted_by(shell, &["-n"], &run.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manual_reads_as_a_manual_page() {
    let run = run(&["man"], &[]).await;
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert!(run.out.contains(".TH JDCLOUD-CDN-EXPORTER 1 "), "{}", run.out);
    if let Some(page) = accepted_by("groff", &["-man", "-Tascii", "-P-cbou", "-ww"], &run.out) {
        for part in ["EXIT STATUS", "--config.file <FILE>", "--live", "COMMANDS"] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_ends_with_0_or_1_and_one_plain_line() {
    let serving = simulator().await;
    let address = serving.base_url().replace("http://", "");
    let flag = format!("--web.listen-address={address}");
    // The simulated provider has no such page: something answers, and it is not the exporter.
    let other = run(&["healthcheck", &flag], &[]).await;
    assert_eq!((other.code, other.out.as_str()), (Some(1), ""), "{other:?}");
    assert!(
        other.err.starts_with(&format!(
            "unhealthy: {address}: http://{address}/-/healthy answers 4"
        )),
        "{other:?}"
    );
    assert_eq!(other.err.lines().count(), 1, "{other:?}");

    let mut exporter = Command::new(env!("CARGO_BIN_EXE_jdcloud-cdn-exporter"))
        .args(["demo", "--web.listen-address=127.0.0.1:0"])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut told = std::io::BufReader::new(exporter.stdout.take().unwrap()).lines();
    let metrics = told.find_map(|line| Some(line.ok()?.trim().strip_prefix("metrics")?.trim().to_owned()));
    let metrics = metrics.unwrap();
    let address = metrics.trim_start_matches("http://").trim_end_matches("/metrics");
    let good = run(&["--web.listen-address", address, "healthcheck"], &[]).await;
    exporter.kill().unwrap();
    exporter.wait().unwrap();
    let line = format!("healthy: http://{address}/-/healthy answers 200\n");
    assert_eq!((good.code, good.out, good.err), (Some(0), line, String::new()));
}
