//! What the binary prints without asking anybody: summaries, problems, sample, completions, manual.

use std::fmt::Write as _;
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

/// Whoever mends a configuration wants to know all that is wrong, in both files.
#[tokio::test(flavor = "multi_thread")]
async fn both_files_are_told_by_check_as_by_config_check() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let config = file(
        "exporter.yaml",
        "accounts: [{username: u, secret_key: s, domians: [a.com]}]\n",
    );
    let web = file("web.yml", "rate_limits: {burst: 1}\n");
    for how in [&["check"][..], &["check", "--live"], &["--config.check"]] {
        let flags = ["--config.file", &config, "--web.config.file", &web];
        let run = run(&[how, &flags].concat(), &[]).await;
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{run:?}");
        for told in [
            format!("{config}: accounts[0].domians: is an unknown key; did you mean domains?\n"),
            format!("{web}: rate_limits: is an unknown key; did you mean rate_limit?\n"),
        ] {
            assert_eq!(run.err.matches(&told).count(), 1, "{run:?}");
        }
    }
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

/// The sample and the README's own are taken, and told to be unfinished.
#[tokio::test]
async fn a_placeholder_is_told_and_shows_no_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("exporter.yaml");
    let file = path.to_str().unwrap();
    let sample = std::fs::read_to_string("config/exporter.yaml").unwrap();
    std::fs::write(&path, sample).unwrap();
    let key = ("JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__SECRET_KEY", "your_secret_key");
    for arguments in [
        &["check", "--config.file", file][..],
        &["--config.check", "--config.file", file],
    ] {
        let run = run(arguments, &[key]).await;
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.err.contains("accounts[0].username: "), "{run:?}");
        assert!(
            run.err
                .contains("accounts[0]: its secret key looks like a placeholder"),
            "{run:?}"
        );
        assert!(!format!("{run:?}").contains(key.1), "{run:?}");
    }
}

/// A file of so many domains that are read at `bandwidth_flow` only, with further lines before it.
fn live(directory: &tempfile::TempDir, lines: &str, domains: usize) -> String {
    let mut text = format!("{lines}accounts:\n  - username: u\n    secret_key: made-up\n    domains:\n");
    for i in 0..domains {
        writeln!(
            text,
            "      - {{name: d{i}.example.com, endpoints: [bandwidth_flow]}}"
        )
        .unwrap();
    }
    let path = directory.path().join("exporter.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_plan_shows_its_numbers_and_ends_with_2_when_they_do_not_fit() {
    let directory = tempfile::tempdir().unwrap();
    let file = live(&directory, "", 600);
    let plan = |flags: &'static [&'static str]| {
        let file = file.clone();
        async move { run(&[&["plan", "--config.file", &file], flags].concat(), &[]).await }
    };
    let fits = plan(&[]).await;
    assert_eq!((fits.code, fits.err.as_str()), (Some(0), ""), "{fits:?}");
    // 600 calls of one domain are exactly what 10 a second allow in a minute: 36,000 an hour.
    for line in [
        "  together                                 600     600.0  36000.0",
        "  100.0 % of the rate limit",
        "  calls an hour          36000.0",
        // Two values of ten windows each.
        "  samples on /windows    12000",
    ] {
        assert!(
            fits.out.lines().any(|shown| shown == line),
            "{line}: {}",
            fits.out
        );
    }

    live(&directory, "", 601);
    let too_many = plan(&[]).await;
    assert_eq!(too_many.code, Some(2), "{too_many:?}");
    assert!(
        too_many
            .out
            .contains("\n  100.2 % of the rate limit: MORE THAN IS ALLOWED\n"),
        "{}",
        too_many.out
    );
    assert!(
        too_many
            .err
            .contains("accounts[0].domains: take 601 calls every 1m"),
        "{}",
        too_many.err
    );
    // The same words as those of a check and of a start.
    let check = run(&["check", "--config.file", &file], &[]).await;
    let start = run(&["--web.listen-address=127.0.0.1:0", "--config.file", &file], &[]).await;
    for refused in [&check, &start] {
        assert_eq!(
            (refused.code, &refused.err),
            (Some(2), &too_many.err),
            "{refused:?}"
        );
    }

    let shared = plan(&["--shards=2", "--domains"]).await;
    assert_eq!((shared.code, shared.err.as_str()), (Some(0), ""), "{shared:?}");
    // Literals of the owners' table.
    for line in ["  0/2  d0.example.com", "  1/2  d1.example.com"] {
        assert!(
            shared.out.lines().any(|shown| shown == line),
            "{line}: {}",
            shared.out
        );
    }
    let both = plan(&["--shards=2", "--shard=1/2"]).await;
    assert_eq!((both.code, both.out.as_str()), (Some(2), ""), "{both:?}");
    assert!(both.err.contains("leave one of them out"), "{both:?}");
    let one = plan(&["--shard=exporter-1/2"]).await;
    assert_eq!(one.code, Some(0), "{one:?}");
    assert!(one.out.starts_with("shard 1/2: "), "{}", one.out);
}

#[tokio::test]
async fn the_number_of_listed_shards_is_held_against_the_flag() {
    let directory = tempfile::tempdir().unwrap();
    let file = live(&directory, "shards: [a.example.com:1, b.example.com:2]\n", 3);
    for (arguments, code) in [
        (&["check", "--shard=1/2"][..], 0),
        (&["check"], 2),
        (&["check", "--shard=1/3"], 2),
        (&["--config.check", "--shard=0/3"], 2),
        // All that are listed, or as many as are planned.
        (&["plan"], 0),
        (&["plan", "--shards=3"], 0),
        (&["plan", "--shard=0/3"], 2),
    ] {
        let run = run(&[arguments, &["--config.file", &file]].concat(), &[]).await;
        assert_eq!(run.code, Some(code), "{arguments:?}: {run:?}");
        assert_eq!(
            run.err.contains("shards: lists 2, and this is shard "),
            code == 2,
            "{run:?}"
        );
    }
    let plan = run(&["plan", "--config.file", &file], &[]).await;
    assert!(plan.out.starts_with("2 shards of 3 domains; "), "{plan:?}");
    let check = run(&["check", "--shard=1/2", "--config.file", &file], &[]).await;
    // d1 of d0, d1 and d2, as the owners' table says of the first two and its program of the third.
    assert!(
        check
            .out
            .starts_with("shard: 1/2 of 3 domains; its own:\naccounts: 1, domains: 1, "),
        "{check:?}"
    );
}

#[tokio::test]
async fn what_is_no_shard_is_refused_with_what_is_wanted() {
    for (shard, wanted) in [
        (
            "4/4",
            "there is no shard 4 of 4: shards are counted from 0, so write 0/4 to 3/4",
        ),
        (
            "0/0",
            "0 is no number of shards: write a whole number from 1 to 1000",
        ),
        ("x/4", "x has no ordinal: write a whole number from 0"),
        ("-1/4", "-1 has no ordinal"),
        ("1/", "wanted is ordinal/count: write for example 0/4"),
        ("1 /4", "contains white space"),
    ] {
        let flag = format!("--shard={shard}");
        for arguments in [
            &[flag.as_str()][..],
            &["check", &flag],
            &["plan", &flag],
            &["demo", &flag],
        ] {
            let run = run(arguments, &[]).await;
            assert_eq!(run.code, Some(2), "{arguments:?}: {run:?}");
            assert!(run.err.contains(wanted), "{arguments:?}: {run:?}");
        }
    }
}
