//! The configuration as its users meet it: the sample, the refused files and the environment.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{FileFormat, Source, Value, ValueKind};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::keys::KEYS;
use super::{Config, Environment, Problems, Settle, Summary, admit, load};
use crate::model::{Endpoint, LabelledBy, Units};
use crate::plan::Shard;

const SAMPLE: &str = "config/exporter.yaml";

/// A file in a directory of its own, gone at the end of the test.
struct TempFile {
    directory: TempDir,
    path: PathBuf,
}

fn file(text: impl AsRef<[u8]>) -> TempFile {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("exporter.yaml");
    std::fs::write(&path, text).unwrap();
    TempFile { directory, path }
}

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    load(&file(text).path, &variables.iter().copied().collect())
}

/// The problems without their place where that is the file.
fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let file = file(text);
    let environment = variables.iter().copied().collect();
    let prefix = format!("{}: ", file.path.display());
    match load(&file.path, &environment) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|problem| problem.to_string().replace(&prefix, ""))
            .collect(),
    }
}

/// The smallest file that is accepted.
fn smallest() -> String {
    "accounts:\n  - username: u\n    secret_key: \"0123456789abcdef\"\n    domains: [www.a.com]\n".to_owned()
}

fn with_api(lines: &str) -> String {
    format!("api:\n  {lines}\n{}", smallest())
}

fn with_account(lines: &str) -> String {
    format!("accounts:\n  - username: u\n    domains: [www.a.com]\n    {lines}\n")
}

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
    } = load_text(&smallest(), &[]).unwrap();
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
    let known: BTreeSet<String> = KEYS.iter().map(|key| key.pattern.to_owned()).collect();
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
    let readme = include_str!("../../README.md");
    let row = |path: &str| {
        readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{path}` | ")))
    };
    for key in KEYS {
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

#[test]
fn every_setting_can_come_from_the_environment() {
    let variables = [
        ("API__BASE_URL", "http://127.0.0.1:9/x"),
        ("API__TIMEOUT", "5s"),
        ("API__MAX_CONCURRENCY", "3"),
        ("API__MAX_REQUESTS_PER_SECOND", "0.5"),
        ("API__MAX_REPLY_BYTES", "4096"),
        ("API__TIME_ZONE", "UTC"),
        ("API__ALLOW_PLAIN_HTTP", "true"),
        ("POLL__INTERVAL", "2s"),
        ("POLL__WINDOW", "2h"),
        ("POLL__SETTLE", "0s"),
        ("POLL__STALE_AFTER", "1h30m"),
        ("ACCOUNTS__0__USERNAME", "12345"),
        ("ACCOUNTS__0__NAME", "n"),
        ("ACCOUNTS__0__SECRET_KEY", "0123456789"),
        ("ACCOUNTS__0__UNITS", "binary"),
        ("ACCOUNTS__0__ORIGIN_RATIO_LABEL", "start"),
        ("ACCOUNTS__0__BANDWIDTH_FLOW_BATCH", "7"),
        ("ACCOUNTS__0__ORIGIN_RATIO_BATCH", "9"),
        ("SHARDS__0", "a.example.com:1"),
        ("SHARDS__1", "[::1]:2"),
        ("ACCOUNTS__0__MAX_DOMAINS", "2"),
        ("ACCOUNTS__0__DOMAINS__0", "www.b.com"),
        ("ACCOUNTS__0__DOMAINS__1__NAME", "www.c.com"),
        ("ACCOUNTS__0__DOMAINS__1__ENDPOINTS__0", "origin_ratio"),
        ("ACCOUNTS__1__USERNAME", "second"),
        ("ACCOUNTS__1__SECRET_KEY", "9876543210"),
        ("ACCOUNTS__1__DOMAINS__DISCOVER__INCLUDE__0", "^www"),
        ("ACCOUNTS__1__DOMAINS__DISCOVER__EXCLUDE__0", "^test"),
        ("ACCOUNTS__1__DOMAINS__DISCOVER__TYPES__0", "下载"),
        ("ACCOUNTS__1__DOMAINS__DISCOVER__ENDPOINTS__0", "bandwidth_flow"),
        ("ACCOUNTS__1__DOMAINS__LIST__0", "www.d.com"),
        ("ACCOUNTS__1__DOMAINS__LIST__1__NAME", "www.e.com"),
        ("ACCOUNTS__1__DOMAINS__LIST__1__ENDPOINTS__0", "origin_ratio"),
    ];
    let environment: Environment = variables
        .iter()
        .map(|(name, value)| (format!("JDCLOUD_CDN_EXPORTER__{name}"), *value))
        .collect();
    let Config {
        api,
        poll,
        shards,
        accounts,
    } = load(&file(smallest()).path, &environment).unwrap();
    assert_eq!(api.base_url.as_str(), "http://127.0.0.1:9/x");
    assert_eq!(api.timeout, Duration::from_secs(5));
    assert_eq!(api.max_concurrency, 3);
    assert!((api.max_requests_per_second - 0.5).abs() < f64::EPSILON);
    assert_eq!(api.max_reply_bytes, 4096);
    assert_eq!(api.time_zone.local_minus_utc(), 0);
    assert!(api.allow_plain_http);
    assert_eq!(poll.interval, Duration::from_secs(2));
    assert_eq!(poll.window, Duration::from_secs(7200));
    assert_eq!(poll.settle, Settle::Fixed(Duration::ZERO));
    assert_eq!(poll.stale_after, Duration::from_secs(5400));
    let account = &accounts[0];
    assert_eq!(account.username, "12345");
    assert_eq!(account.name.as_str(), "n");
    assert_eq!(account.secret_key.expose_secret(), "0123456789");
    assert_eq!(account.units, Units::Binary);
    assert_eq!(account.origin_ratio_label, LabelledBy::Start);
    assert_eq!((account.bandwidth_flow_batch, account.origin_ratio_batch), (7, 9));
    assert_eq!(shards, ["a.example.com:1", "[::1]:2"]);
    assert_eq!(account.max_domains, 2);
    assert_eq!(account.domains[0].name.as_str(), "www.b.com");
    assert_eq!(account.domains[1].name.as_str(), "www.c.com");
    assert_eq!(account.domains[1].endpoints, [Endpoint::OriginRatio]);
    assert_eq!(account.discover, None);
    let discover = accounts[1].discover.as_ref().unwrap();
    assert_eq!(discover.include[0].as_str(), "^www");
    assert_eq!(discover.exclude[0].as_str(), "^test");
    assert_eq!(discover.types, ["下载"]);
    assert_eq!(discover.endpoints, [Endpoint::BandwidthFlow]);
    assert_eq!(accounts[1].domains[0].name.as_str(), "www.d.com");
    assert_eq!(accounts[1].domains[1].endpoints, [Endpoint::OriginRatio]);
}

#[test]
fn a_value_of_the_environment_is_refused_under_its_variable() {
    let variables = [
        ("JDCLOUD_CDN_EXPORTER__API__TIMEOUT", "5"),
        ("JDCLOUD_CDN_EXPORTER__API__MAX_CONCURENCY", "5"),
    ];
    assert_eq!(
        problems(&smallest(), &variables),
        [
            "JDCLOUD_CDN_EXPORTER__API__MAX_CONCURENCY: names no setting; did you mean \
             JDCLOUD_CDN_EXPORTER__API__MAX_CONCURRENCY?",
            "JDCLOUD_CDN_EXPORTER__API__TIMEOUT: api.timeout: is a number without a unit; write 5s for \
             seconds, 5m for minutes",
        ]
    );
}

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
            "{}: does not exist; name the file with --config.file",
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
    assert!(Summary(&config).to_string().contains("habits ask (1m to 30m)"));
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
fn secrets_come_from_one_place_and_are_taken_as_they_are() {
    let directory = file("");
    let path = directory.directory.path().join("key");
    let from_file = with_account(&format!("secret_key_file: {}", path.display()));
    for (content, outcome) in [
        ("0123abcd", Ok("0123abcd")),
        ("0123abcd\r\n", Ok("0123abcd")),
        ("0123abcd\n\n\n", Ok("0123abcd")),
        ("", Err("empty")),
        ("\n", Err("empty")),
        (" 0123abcd", Err("white space")),
        ("0123abcd \n", Err("white space")),
        ("0123\nabcd\n", Err("several lines")),
        ("\u{feff}0123abcd\r\n", Ok("0123abcd")),
        ("\"0123abcd\"\n", Err("quotation marks")),
        ("'0123abcd'", Err("quotation marks")),
        ("\"", Ok("\"")),
        ("secret_key: 0123abcd\n", Err("without \"secret_key:\"")),
        ("secret_key=0123abcd\n", Err("without \"secret_key:\"")),
    ] {
        std::fs::write(&path, content).unwrap();
        check_secret(&load_text(&from_file, &[]), outcome, content);
    }
    std::fs::write(&path, vec![b'a'; 5000]).unwrap();
    check_secret(
        &load_text(&from_file, &[]),
        Err("larger than 4096 bytes"),
        "5000 bytes",
    );

    let from_variable = with_account("secret_key_env: MY_KEY");
    for (value, outcome) in [
        ("0123abcd", Ok("0123abcd")),
        ("0123abcd\n", Err("white space or a line break")),
        (" 0123abcd", Err("white space or a line break")),
        ("", Err("empty")),
        ("\"0123abcd\"", Err("quotation marks")),
    ] {
        check_secret(&load_text(&from_variable, &[("MY_KEY", value)]), outcome, value);
    }
    check_secret(&load_text(&from_variable, &[]), Err("MY_KEY is not set"), "unset");

    // The working directory matters for a relative path only.
    for (path, ends) in [
        (
            "no-such-key",
            "name another file (relative to the working directory)",
        ),
        ("/no/such/key", "name another file"),
    ] {
        let problems = load_text(&with_account(&format!("secret_key_file: {path}")), &[]).unwrap_err();
        assert!(problems.to_string().ends_with(ends), "{problems}");
    }

    // The environment takes the place of the file's source, whichever of the three it is.
    let variable = [("JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__SECRET_KEY", "fedc9876")];
    check_secret(&load_text(&from_file, &variable), Ok("fedc9876"), "override");
}

fn check_secret(loaded: &Result<Config, Problems>, outcome: Result<&str, &str>, case: &str) {
    match (loaded, outcome) {
        (Ok(config), Ok(key)) => assert_eq!(config.accounts[0].secret_key.expose_secret(), key),
        (Err(problems), Err(part)) => assert!(problems.to_string().contains(part), "{case:?}: {problems}"),
        (Ok(_), Err(part)) => panic!("{case:?} was taken, though {part}"),
        (Err(problems), Ok(_)) => panic!("{case:?}: {problems}"),
    }
}

#[test]
fn no_message_and_no_debug_holds_a_secret() {
    let key = "e7a31b1c5ea0efa9aa2f29c6559f7d61";
    let mut texts = Vec::new();
    for lines in [
        format!("secret_key: \" {key}\""),
        format!("secret_key: \"{key}\\n\""),
        format!("secret_key: \"{key}\"\n    secret_key: \"{key}\""),
        format!("secret_key_file: {key}"),
        format!("secret_key_env: {key}"),
        format!("secret_key: [{key}]"),
        format!("secret_key: {{{key}: 1}}"),
        format!("secret_key: \"{key}\" x"),
        format!("secret_key: \"{key}"),
        format!("secret_key: {key}: x"),
        format!("secret_key: @{key}"),
        format!("secret_key: *{key}"),
        format!("secret_key: %{key}\n  x"),
        format!("secret_key:{key}"),
    ] {
        texts.push(load_text(&with_account(&lines), &[]).unwrap_err().to_string());
    }
    texts.push(load_text(key, &[]).unwrap_err().to_string());
    let loaded = load_text(&with_account(&format!("secret_key: {key}")), &[]).unwrap();
    texts.push(format!("{loaded:?}"));
    texts.push(Summary(&loaded).to_string());
    for text in texts {
        assert!(!text.contains(&key[..8]), "{text}");
    }
}

#[test]
fn the_summary_counts_calls_by_batch_and_interval() {
    let text = "poll: {interval: 30s}\naccounts:\n  - username: u\n    secret_key: abc\n    \
                origin_ratio_batch: 2\n    domains: [a.com, b.com, c.com, {name: d.com, endpoints: \
                [bandwidth_flow]}]\n";
    let config = load_text(text, &[]).unwrap();
    // Four calls of bandwidth_flow and two of origin_ratio (three domains by two), twice a minute.
    assert_eq!(
        Summary(&config).to_string(),
        "accounts: 1, domains: 4, calls per minute: 12.0\n\
         \x20 u: bandwidth_flow of 4 domains by 1, origin_ratio of 3 domains by 2, decimal units, 12.0 calls \
         per minute\n\
         provider: https://opencdn.jcloud.com/, time zone +08:00; for each account at most 8 requests at once \
         and 10 per second; a request may take 10s and its reply 33554432 bytes\n\
         polls: every 30s, the last 1h each time; a window is shown once it is 10m old and vanishes when it is \
         40m old"
    );
}

/// Problems of a configuration that is to be polled by a shard, without their place.
fn refusals(text: &str, shard: &str) -> Vec<String> {
    let config = load_text(text, &[]).unwrap();
    match admit(&config, "f", shard.parse().unwrap()) {
        Ok(()) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|problem| problem.to_string().replacen("f: ", "", 1))
            .collect(),
    }
}

/// One account of so many domains, `d0.example.com` and so on, read at `bandwidth_flow` only.
fn live(domains: usize, lines: &str) -> String {
    let mut text = format!("{lines}accounts:\n  - username: u\n    secret_key: made-up\n    domains:\n");
    for i in 0..domains {
        writeln!(
            text,
            "      - {{name: d{i}.example.com, endpoints: [bandwidth_flow]}}"
        )
        .unwrap();
    }
    text
}

#[test]
fn what_cannot_be_polled_in_time_is_refused_at_the_first_call_too_many() {
    assert_eq!(refusals(&live(600, ""), "0/1"), Vec::<String>::new());
    // 601 / 10 = 60.1 s; 601 / 60 = 10.016… a second; two domains a call halve the calls. Of 601 names
    // each of two shards owns fewer than 600.
    assert_eq!(
        refusals(&live(601, ""), "0/1"),
        [
            "accounts[0].domains: take 601 calls every 1m (bandwidth_flow of 601 by 1), and \
             api.max_requests_per_second: 10 allows 600; what would do: poll.interval: 1m1s; or \
             api.max_requests_per_second: 10.1; or accounts[0].bandwidth_flow_batch: 2 if the provider takes lists there; or 2 shards as in \
             --shard=0/2, each of which asks at this rate"
        ]
    );
    assert_eq!(refusals(&live(601, ""), "0/2"), Vec::<String>::new());
    assert_eq!(refusals(&live(601, ""), "1/2"), Vec::<String>::new());
}

#[test]
fn a_share_is_refused_by_its_own_numbers() {
    // Owners by the program that computed the literals of plan::shard: 1,993 to 2,563 of 10,000 names.
    let text = live(10_000, "api: {max_requests_per_second: 41}\n")
        .replace("secret_key", "max_domains: 10000\n    secret_key");
    // 41 a second are 2,460 a minute.
    let of_4 = ["0/4", "1/4", "2/4", "3/4"].map(|shard| refusals(&text, shard));
    let refused: Vec<&String> = of_4.iter().flatten().collect();
    assert_eq!(refused.len(), 3, "{refused:?}");
    let sizes = [2422, 2507, 2508, 2563];
    for problem in refused {
        let size = sizes
            .iter()
            .find(|size| problem.contains(&format!("take {size} calls every 1m in shard ")));
        assert!(size.is_some_and(|size| *size > 2460), "{problem}");
        assert!(problem.contains("; or 5 shards as in --shard=0/5"), "{problem}");
    }
}

#[test]
fn an_interval_that_outlives_windows_is_proposed_with_a_longer_memory() {
    // 1,000 calls at 0.5 a second are 2,000 s; a window is 15m old at most when it comes: 2,900 s.
    let problems = refusals(&live(1_000, "api: {max_requests_per_second: 0.5}\n"), "0/1");
    assert!(
        problems[0].contains("poll.interval: 33m20s and poll.stale_after: 48m20s; or"),
        "{problems:?}"
    );
    // 1,800 calls are an hour: the hour that each poll reads must grow as well.
    let problems = refusals(&live(1_800, "api: {max_requests_per_second: 0.5}\n"), "0/1");
    assert!(
        problems[0].contains("poll.interval: 1h and poll.window: 1h15m and poll.stale_after: 1h15m; or"),
        "{problems:?}"
    );
    // 500 fit below 25m.
    let problems = refusals(&live(500, "api: {max_requests_per_second: 0.5}\n"), "0/1");
    assert!(problems[0].contains("poll.interval: 16m40s; or"), "{problems:?}");
}

#[test]
fn the_listed_shards_are_as_many_as_there_are() {
    let listed = |addresses: &str| format!("shards: [{addresses}]\n{}", smallest());
    let three = listed("a.com:1, b.com:1, c.com:1");
    assert_eq!(refusals(&three, "2/3"), Vec::<String>::new());
    assert_eq!(refusals(&listed("a.com:1"), "0/1"), Vec::<String>::new());
    assert_eq!(refusals(&smallest(), "7/9"), Vec::<String>::new());
    for (shard, remedy) in [("0/1", "remove the key"), ("3/4", "list all 4")] {
        assert_eq!(
            refusals(&three, shard),
            [format!(
                "shards: lists 3, and this is shard {shard}; start it with --shard=i/3, where i is its place in \
                 the list from 0, or {remedy}"
            )]
        );
    }
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
