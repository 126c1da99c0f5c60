//! The sample, the defaults and the README's reference: all of them say the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use config::{FileFormat, Source, Value, ValueKind};
use secrecy::ExposeSecret;

use super::super::Settle;
use super::super::keys::SETTINGS;
use super::*;
use crate::model::{Endpoint, LabelledBy, Units};

const SAMPLE: &str = "config/exporter.yaml";

#[test]
fn the_sample_loads_and_says_the_defaults() {
    let secret = file("e7a31b1c5ea0efa9\n\n");
    let variable = "JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__SECRET_KEY_FILE";
    let environment = [(variable, secret.path.to_str().unwrap())].into_iter().collect();
    let sample = load(Path::new(SAMPLE), &environment).unwrap();
    let defaults = load_text(&smallest(), &[]).unwrap();
    assert_eq!(sample.api, defaults.api);
    assert_eq!(sample.poll, defaults.poll);
    let [account] = sample.accounts.as_slice() else {
        panic!("one account")
    };
    let [plain] = defaults.accounts.as_slice() else {
        panic!("one account")
    };
    assert_eq!(account.units, plain.units);
    assert_eq!(account.origin_ratio_label, plain.origin_ratio_label);
    assert_eq!(account.bandwidth_flow_batch, plain.bandwidth_flow_batch);
    assert_eq!(account.origin_ratio_batch, plain.origin_ratio_batch);
    assert_eq!(account.max_domains, plain.max_domains);
    assert_eq!(account.secret_key.expose_secret(), "e7a31b1c5ea0efa9");
    let names: Vec<&str> = account
        .domains
        .iter()
        .map(|domain| domain.name.as_str())
        .collect();
    assert_eq!(names, ["www.a.com", "play.live.com"]);
    assert_eq!(account.domains[0].endpoints, Endpoint::ALL);
    assert_eq!(account.domains[1].endpoints, [Endpoint::BandwidthFlow]);
}

#[test]
fn the_defaults_are_the_documented_ones() {
    // Literal values from the public description of the settings.
    let Config {
        api,
        poll,
        shards,
        accounts,
        unheard,
    } = load_text(&smallest(), &[]).unwrap();
    assert_eq!(unheard, []);
    assert_eq!(api.base_url.as_str(), "https://opencdn.jcloud.com/");
    assert!(!api.allow_plain_http);
    assert_eq!(api.timeout, Duration::from_secs(10));
    assert_eq!(api.max_concurrency, 8);
    assert!((api.max_requests_per_second - 10.0).abs() < f64::EPSILON);
    assert_eq!(api.max_reply_bytes, 33_554_432);
    assert_eq!(api.time_zone.local_minus_utc(), 28_800);
    assert_eq!(poll.interval, Duration::from_secs(60));
    assert_eq!(poll.window, Duration::from_secs(3600));
    assert_eq!(poll.settle, Settle::Fixed(Duration::from_secs(600)));
    assert_eq!(poll.stale_after, Duration::from_secs(2400));
    assert!(shards.is_empty());
    assert_eq!(accounts[0].name.as_str(), "u");
    assert_eq!(accounts[0].units, Units::Decimal);
    assert_eq!(accounts[0].origin_ratio_label, LabelledBy::End);
    assert_eq!(accounts[0].bandwidth_flow_batch, 1);
    assert_eq!(accounts[0].origin_ratio_batch, 20);
    assert_eq!(accounts[0].max_domains, 2000);
    assert_eq!(accounts[0].domains[0].endpoints, Endpoint::ALL);
}

/// The sample with its optional keys put in force.
fn sample_with_every_key() -> String {
    let sample = std::fs::read_to_string(SAMPLE).unwrap();
    let mut text = String::new();
    for line in sample.lines() {
        let content = line.trim_start();
        let is_key = content
            .strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        // So does an account of its own, whose lines keep their indentation.
        let is_account = content.starts_with("#- ") || content.starts_with("#  ");
        let line = if is_key || is_account {
            line.replacen('#', "", 1)
        } else {
            line.to_owned()
        };
        writeln!(text, "{line}").unwrap();
    }
    text
}

fn patterns(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match &value.kind {
        ValueKind::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                patterns(value, &path, found);
            }
        }
        ValueKind::Array(items) => {
            for value in items {
                patterns(value, &format!("{path}[]"), found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_sample_has_every_key_and_no_other() {
    let text = sample_with_every_key();
    let tree = config::File::from_str(&text, FileFormat::Yaml).collect().unwrap();
    let mut found = BTreeSet::new();
    patterns(&Value::from(tree), "", &mut found);
    let known: BTreeSet<String> = SETTINGS.keys.iter().map(|key| key.pattern.to_owned()).collect();
    assert_eq!(found, known);
    // Its only fault is what its comment says: one way to give the secret, not three.
    assert_eq!(
        problems(&text, &[]),
        ["accounts[0]: gives secret_key_file and secret_key_env and secret_key; keep one of them"]
    );
}

/// The README's reference has a row for every key, with its default; a key of a section that has a row of
/// its own is named in it.
#[test]
fn the_readme_has_every_key_with_its_default() {
    let readme = include_str!("../../../README.md");
    let row = |path: &str| {
        readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{path}` | ")))
    };
    for key in SETTINGS.keys {
        let whole = key.pattern.trim_end_matches("[]");
        if let Some(row) = row(key.pattern).or_else(|| row(whole)) {
            let default = key.default.map(|default| format!("` | `{default}` | "));
            assert!(
                row.contains(default.as_deref().unwrap_or("")),
                "{row}: {default:?}"
            );
            continue;
        }
        let name = whole.rsplit('.').next().unwrap();
        let mut sections = whole.match_indices('.').map(|(end, _)| &whole[..end]);
        assert!(
            sections.any(|section| {
                let row = row(section).or_else(|| row(section.trim_end_matches("[]")));
                row.is_some_and(|row| row.contains(&format!("`{name}`")))
            }),
            "README.md has no row for {}, and none of a section of it names {name}",
            key.pattern
        );
    }
}

proptest::proptest! {
    /// Whatever a slip of the keyboard makes of the sample, it loads or says why, one problem a line.
    #[test]
    fn any_edit_of_the_sample_is_taken_or_explained(
        edits in proptest::collection::vec(
            (0..2048_usize, 0..40_usize, "[-\t\n\r :,#&*!|>'\"%@`?{}\\[\\]<~a0.é\u{0}\u{85}\u{2028}]{0,3}"),
            1..4,
        ),
    ) {
        let mut text: Vec<char> = sample_with_every_key()
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(|line| line.chars().chain(['\n']))
            .collect();
        for (start, length, insertion) in edits {
            let start = start % text.len().max(1);
            let end = (start + length).min(text.len());
            text.splice(start..end, insertion.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(problems) = load_text(&text, &[]) {
            proptest::prop_assert!(problems.iter().next().is_some());
            for problem in problems.iter().map(ToString::to_string) {
                proptest::prop_assert!(!problem.contains(char::is_control), "{problem:?}");
            }
        }
    }
}
