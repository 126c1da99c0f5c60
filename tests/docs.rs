//! What the documents say is true of the code: metrics, flags, routes, links; and the README says the
//! same in both languages. The commands and configurations that a reader may copy are run by `docs/test`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what should not happen"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta};
use clap::CommandFactory as _;
use jdcloud_cdn_exporter::cli::Cli;
use jdcloud_cdn_exporter::exposition::families::FAMILIES;
use jdcloud_cdn_exporter::exposition::{BuildInfo, Format, SelfMetrics, WINDOW_FAMILIES};
use jdcloud_cdn_exporter::model::{AccountName, Endpoint};
use jdcloud_cdn_exporter::observer::Observer as _;

const README: &str = include_str!("../README.md");
const CHINESE: &str = include_str!("../README.zh-CN.md");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The words of a text that begin with `prefix` and go on with characters of `more`.
fn words<'a>(text: &'a str, prefix: &str, more: &str) -> BTreeSet<&'a str> {
    text.match_indices(prefix)
        .map(|(start, _)| {
            let rest = &text[start..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !more.contains(c));
            &rest[..end.unwrap_or(rest.len())]
        })
        .collect()
}

/// Every metric of the code with the labels of its series.
fn metrics_of_the_code() -> Vec<(String, BTreeSet<String>)> {
    let metrics = SelfMetrics::new(BuildInfo {
        version: "",
        revision: "",
        rustc: "",
    })
    .unwrap();
    // Series that are there only once something has happened.
    let account = AccountName::new("a");
    metrics.succeeded(&account, Endpoint::OriginRatio, DateTime::UNIX_EPOCH);
    metrics.request_rate(&account, 1.0);
    metrics.clock_skew(TimeDelta::zero());
    metrics.discovering(&[(account.clone(), Some(1))]);
    metrics.discovery_ended(&account, DateTime::UNIX_EPOCH, None);
    let mut text = Vec::new();
    metrics.render(Format::Text, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let labels_of = |name: &str| {
        let series = text
            .lines()
            .find(|line| {
                line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name}_bucket{{"))
            })
            .unwrap_or("");
        series
            .match_indices("=\"")
            .filter_map(|(end, _)| series[..end].rsplit(['{', ',']).next())
            .filter(|label| *label != "le")
            .map(str::to_owned)
            .collect()
    };
    let own = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .map(|name| (name.to_owned(), labels_of(name)));
    FAMILIES
        .iter()
        .map(|family| {
            let labels = family.source.labels().iter().map(|&label| label.to_owned());
            (family.name.to_owned(), labels.collect())
        })
        .chain(WINDOW_FAMILIES.iter().map(|family| {
            let labels = BTreeSet::from(["domain".to_owned()]);
            (family.name.to_owned(), labels)
        }))
        .chain(own)
        .collect()
}

#[test]
fn every_metric_that_the_readme_names_exists() {
    let metrics = metrics_of_the_code();
    let named = words(README, "jdcloud_cdn_", "_");
    assert!(named.len() >= FAMILIES.len(), "{named:?}");
    // A trailing underscore is a prefix, as in `grep ^jdcloud_cdn_`.
    for name in named.iter().filter(|name| !name.ends_with('_')) {
        assert!(
            metrics.iter().any(|(known, _)| known == name),
            "README.md names {name}, which the exporter does not have"
        );
    }
    let rows: Vec<_> = README
        .lines()
        .filter(|line| line.starts_with("| `jdcloud_cdn_") && line.matches(" | ").count() == 2)
        .map(|line| {
            let mut columns = line.trim_matches(['|', ' ']).split(" | ");
            let name = columns.next().unwrap().trim_matches('`');
            let labels = columns.next().unwrap().split(", ");
            (
                name,
                labels.map(|label| label.trim_matches('`').to_owned()).collect(),
            )
        })
        .collect();
    assert!(rows.len() >= 8, "the metrics table is not found: {rows:?}");
    for (name, labels) in rows {
        let known = metrics.iter().find(|(known, _)| known == name);
        assert_eq!(known, Some(&(name.to_owned(), labels)), "in README.md's table");
    }
}

/// Every long flag of a command and its subcommands.
fn flags(command: &clap::Command) -> BTreeSet<String> {
    let own = command
        .get_arguments()
        .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")));
    let inherited = command.get_subcommands().flat_map(flags);
    own.chain(inherited).collect()
}

#[test]
fn the_readme_has_every_flag_and_no_other() {
    let mut command = Cli::command();
    command.build();
    let coded = flags(&command);
    let text: String = README
        .lines()
        // What other programs are called with is no flag of ours.
        .filter(|line| {
            !["cargo ", "curl ", "prometheus "]
                .iter()
                .any(|other| line.starts_with(other))
        })
        .collect::<Vec<_>>()
        .join("\n");
    let documented: BTreeSet<String> = words(&text, "--", ".-")
        .into_iter()
        .filter(|word| word.chars().any(char::is_alphabetic))
        .map(|word| word.trim_end_matches('.').to_owned())
        .collect();
    assert_eq!(documented, coded, "README.md's flags against the command line's");
    for flag in ["--config.file", "--web.listen-address", "--version", "--help"] {
        assert!(coded.contains(flag), "{flag}: {coded:?}");
    }
}

#[test]
fn the_readme_shows_the_defaults_of_the_flags() {
    let command = Cli::command();
    let mut compared = 0;
    for argument in command
        .get_arguments()
        .filter(|argument| argument.get_long().is_some() && argument.get_action().takes_values())
    {
        let flag = format!("| `--{}` | ", argument.get_long().unwrap());
        let default = argument
            .get_default_values()
            .iter()
            .map(|value| value.to_str().unwrap());
        let shown: Vec<String> = default.map(|value| format!("`{value}` ")).collect();
        let shown = shown.concat();
        assert!(
            README.contains(&format!("{flag}{shown}|")),
            "README.md's table has no row that begins with {flag}{shown}|"
        );
        compared += 1;
    }
    assert!(compared >= 6, "{compared}");
}

/// A selector looks back 5 minutes: a job that is scraped as seldom has gaps in its `up`, so that the alert
/// about the exporter forgets how long it has been down.
#[test]
fn windows_are_scraped_more_often_than_a_selector_looks_back() {
    for (file, text, job) in [
        (
            "scrape.yml",
            include_str!("../deploy/prometheus/scrape.yml"),
            "metrics_path: /windows",
        ),
        (
            "compose",
            include_str!("../deploy/compose/prometheus.yml"),
            "metrics_path: /windows",
        ),
        (
            "scale.md",
            include_str!("../docs/scale.md"),
            "metrics_path: /windows",
        ),
        (
            "values.yaml",
            include_str!("../deploy/helm/jdcloud-cdn-exporter/values.yaml"),
            "\n  windows:\n",
        ),
    ] {
        let (_, job) = text.split_once(job).unwrap();
        let (_, interval) = job.split_once("interval: ").unwrap();
        assert_eq!(interval.lines().next(), Some("4m"), "{file}");
    }
    for (file, text, before) in [
        (
            "METRICS.md",
            include_str!("../docs/METRICS.md"),
            "* It is a scrape target of its own, say every ",
        ),
        (
            "true-time.md",
            include_str!("../docs/true-time.md"),
            "a window that is there already counts once. Every ",
        ),
    ] {
        let (_, interval) = text.split_once(before).unwrap();
        assert!(interval.starts_with("4 minutes"), "{file}");
    }
}

#[test]
fn the_readme_lists_every_alert_with_its_severity() {
    let rules = include_str!("../deploy/prometheus/rules.yml");
    let alerts: Vec<String> = rules
        .split("- alert: ")
        .skip(1)
        .map(|alert| {
            let name = alert.lines().next().unwrap();
            let severity = alert.split("severity: ").nth(1).unwrap().lines().next().unwrap();
            format!("| `{name}` | {severity} | ")
        })
        .collect();
    assert!(alerts.len() >= 11, "{alerts:?}");
    let rows = README.lines().filter(|line| line.starts_with("| `JdcloudCdn"));
    for (row, alert) in rows.clone().zip(&alerts) {
        assert!(
            row.starts_with(alert),
            "README.md has {row} where rules.yml has {alert}"
        );
    }
    assert_eq!(rows.count(), alerts.len(), "alerts in README.md and in rules.yml");
}

/// Every Markdown file of the project.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            found.extend(documents(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found
}

/// The targets of a document's links and pictures.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// The anchors that a document's headings get where it is shown.
fn anchors(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let documents = documents(root());
    let mut followed = 0;
    for document in &documents {
        let text = fs::read_to_string(document).unwrap();
        for link in links(&text).filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                document.clone()
            } else {
                document.parent().unwrap().join(path)
            };
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
            if !anchor.is_empty() {
                let anchors = anchors(&fs::read_to_string(&target).unwrap());
                assert!(
                    anchors.contains(anchor),
                    "{}: {link}: no such heading among {anchors:?}",
                    document.display()
                );
            }
            followed += 1;
        }
    }
    assert!(followed >= 20, "{followed} links in {documents:?}");
}

#[test]
fn every_decision_is_listed() {
    let folder = root().join("docs/adr");
    let index = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut records = 0;
    for path in documents(&folder)
        .iter()
        .filter(|path| !path.ends_with("README.md"))
    {
        let name = path.file_name().unwrap().to_str().unwrap();
        let number = &name[..4];
        assert!(
            index.contains(&format!("| [{number}]({name}) | ")),
            "docs/adr/README.md does not list {name}"
        );
        let title = fs::read_to_string(path).unwrap();
        assert!(title.starts_with(&format!("# {number}: ")), "{name}");
        records += 1;
    }
    assert!(records >= 15, "{records}");
}

/// The parts of a document that a translation keeps: fenced blocks to the letter, and of every other line
/// what kind of line it is.
fn skeleton(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        let fence = line.starts_with("```");
        if inside || fence {
            found.push(line.to_owned());
        } else if line.starts_with('#') {
            found.push(line.chars().take_while(|c| *c == '#').collect());
        } else if line.starts_with('|') {
            found.push(format!("| {} columns", line.matches(" | ").count() + 1));
        } else if line.starts_with("![") {
            found.push("a picture".to_owned());
        }
        inside ^= fence;
    }
    found
}

/// What stands between backticks outside of fenced blocks.
fn code_spans(text: &str) -> BTreeSet<&str> {
    text.split("```")
        .step_by(2)
        .flat_map(|prose| prose.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn the_readme_says_the_same_in_both_languages() {
    let (english, chinese) = (skeleton(README), skeleton(CHINESE));
    for (place, (ours, theirs)) in english.iter().zip(&chinese).enumerate() {
        assert_eq!(
            ours,
            theirs,
            "README.md and README.zh-CN.md part at heading, table row or line of code {place}, after {:?}",
            english[..place].last()
        );
    }
    assert_eq!(
        english.len(),
        chinese.len(),
        "one README goes on where the other ends"
    );
    assert!(english.len() > 100, "{english:?}");

    let only = |ours: &BTreeSet<&str>, theirs: &BTreeSet<&str>| {
        ours.difference(theirs)
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let (english, chinese) = (code_spans(README), code_spans(CHINESE));
    assert_eq!(
        only(&english, &chinese),
        Vec::<String>::new(),
        "in README.md only"
    );
    assert_eq!(
        only(&chinese, &english),
        Vec::<String>::new(),
        "in README.zh-CN.md only"
    );

    // Anchors are headings, which have other words; the files themselves name each other.
    let files = |text: &'static str| -> BTreeSet<&str> {
        links(text)
            .map(|link| link.split('#').next().unwrap())
            .filter(|file| !file.is_empty() && !file.starts_with("README"))
            .collect()
    };
    assert_eq!(files(README), files(CHINESE), "the links of both");
}
