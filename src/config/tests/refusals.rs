//! What is refused, in which words, and what only looks odd.

use std::fmt::Write as _;

use secrecy::ExposeSecret;

use super::super::{Settle, Summary, admit};
use super::*;
use crate::plan::Shard;

#[test]
fn refused_files_say_exactly_what_is_beside_them() {
    let mut cases = 0;
    let mut wrong = String::new();
    for entry in std::fs::read_dir("tests/config").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        let place = path.display().to_string();
        let problems = load(&path, &Environment::default())
            .and_then(|config| admit(&config, &place, Shard::WHOLE))
            .unwrap_err();
        if format!("{problems}\n") != expected {
            writeln!(wrong, "{problems}\n  instead of\n{expected}").unwrap();
        }
        cases += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases >= 20, "only {cases} files in tests/config");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let environment = Environment::default();
    let directory = tempfile::tempdir().unwrap();
    let absent = directory.path().join("absent.yaml");
    assert_eq!(
        load(&absent, &environment).unwrap_err().to_string(),
        format!(
            "{}: does not exist; name the file with --config.file, or begin with the sample that --config.example prints",
            absent.display()
        )
    );
    assert_eq!(
        load(directory.path(), &environment).unwrap_err().to_string(),
        format!(
            "{}: is a directory; name a file in it with --config.file",
            directory.path().display()
        )
    );
    let latin1 = file(b"api:\n  # caf\xe9\n");
    assert_eq!(
        load(&latin1.path, &environment).unwrap_err().to_string(),
        format!(
            "{}: line 2: is not UTF-8; save the file as UTF-8",
            latin1.path.display()
        )
    );
    let marked = format!("\u{feff}{}", smallest());
    assert!(
        load_text(&marked, &[]).is_ok(),
        "a byte order mark is no part of the text"
    );
}

#[test]
fn plain_http_is_for_this_machine_unless_allowed() {
    for url in [
        "http://127.0.0.1:1",
        "http://127.8.9.1",
        "http://[::1]:1",
        "http://localhost:1",
        "https://a.com",
    ] {
        assert_eq!(
            problems(&with_api(&format!("base_url: {url}")), &[]),
            Vec::<String>::new(),
            "{url}"
        );
    }
    let refused = problems(&with_api("base_url: http://10.0.0.1"), &[]);
    assert_eq!(
        refused,
        [
            "api.base_url: sends the signature, which is valid for a day, in the clear; write https://, or set \
          api.allow_plain_http: true"
        ]
    );
    let allowed = with_api("base_url: http://10.0.0.1\n  allow_plain_http: true");
    assert_eq!(problems(&allowed, &[]), Vec::<String>::new());
}

#[test]
fn rules_between_settings_hold_at_their_edges() {
    for (poll, accepted) in [
        ("settle: 10m\n  stale_after: 15m", false),
        ("settle: 10m\n  stale_after: 15001ms", false),
        ("settle: 10m\n  stale_after: 15m1s", true),
        ("settle: 10m\n  window: 15m", true),
        ("settle: 10m\n  window: 14m59s", false),
        ("settle: auto", true),
        ("settle: auto\n  window: 35m", true),
        ("settle: auto\n  window: 34m59s", false),
        ("settle: auto\n  stale_after: 35m1s", true),
        ("settle: auto\n  stale_after: 35m", false),
        ("settle: Auto", false),
        ("settle: \"auto\"", true),
        ("window: 7d", true),
        ("window: 7d1ms", false),
        ("interval: 100ms", true),
        ("interval: 99ms", false),
        ("interval: 1d", true),
        ("settle: 0s\n  window: 5m\n  stale_after: 6m", true),
    ] {
        let text = format!("poll:\n  {poll}\n{}", smallest());
        assert_eq!(load_text(&text, &[]).is_ok(), accepted, "{poll}");
    }
}

#[test]
fn a_learned_settle_starts_at_ten_minutes_and_its_bounds_are_told() {
    let with = |poll: &str| format!("poll:\n  settle: auto\n  {poll}\n{}", smallest());
    let config = load_text(&with("window: 1d"), &[]).unwrap();
    assert_eq!(config.poll.settle, Settle::Auto);
    let visibility = config.poll.visibility();
    assert!(visibility.learns);
    assert_eq!(visibility.rule.settle, chrono::TimeDelta::minutes(10));
    assert!(
        Summary {
            config: &config,
            shard: Shard::WHOLE
        }
        .to_string()
        .contains("habits ask (1m to 30m)")
    );
    assert_eq!(
        problems(&with("window: 30m\n  stale_after: 20m"), &[]),
        [
            "poll.window: is 30m, too short to hold a settled window; it must be at least poll.settle + 5m = \
             35m (poll.settle: auto learns up to 30m)",
            "poll.stale_after: is 20m, so that values would vanish before the next window settles; it must exceed \
             poll.settle + 5m = 35m (poll.settle: auto learns up to 30m)",
        ]
    );
}

#[test]
fn deep_nesting_is_refused_rather_than_followed() {
    let lists = "- ".repeat(100_000);
    let steps: String = (0..1000).fold(String::new(), |text, depth| text + &" ".repeat(depth) + "a:\n");
    for text in [
        format!("{lists}x\n"),
        format!("accounts:\n  {lists}x\n"),
        steps,
        "? ".repeat(100_000) + "x",
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "accounts: ".to_owned() + &"[".repeat(240) + &"]".repeat(240),
    ] {
        assert_ne!(problems(&text, &[]), Vec::<String>::new());
    }
}

#[test]
fn line_ends_of_windows_are_taken() {
    let config = load_text(&smallest().replace('\n', "\r\n"), &[]).unwrap();
    assert_eq!(config.accounts[0].secret_key.expose_secret(), "0123456789abcdef");
}
