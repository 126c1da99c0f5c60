//! `docs/METRICS.md` lists exactly the metrics that the code has, in the code's words.

use jdcloud_cdn_exporter::exposition::families::FAMILIES;
use jdcloud_cdn_exporter::exposition::{Format, WINDOW_FAMILIES};

use crate::parse::parse;
use crate::support::{busy_self_metrics, own_text};

fn row(name: &str, kind: &str, labels: &[&str], help: &str) -> String {
    let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{name}` | {kind} | {} | {help} |", labels.join(", "))
}

fn rows_of_the_code() -> Vec<String> {
    let mut rows: Vec<_> = FAMILIES
        .iter()
        .map(|family| row(family.name, "gauge", family.source.labels(), family.help))
        .chain(
            WINDOW_FAMILIES
                .iter()
                .map(|family| row(family.name, "gauge", &["domain"], family.help)),
        )
        .collect();
    for (name, family) in parse(&own_text(&busy_self_metrics(), Format::Text), Format::Text) {
        let labels = family.samples[0].labels.iter().map(|(label, _)| label.as_str());
        let labels: Vec<_> = labels.filter(|label| *label != "le").collect();
        rows.push(row(&name, &family.kind, &labels, &family.help));
    }
    rows
}

#[test]
fn the_tables_are_those_of_the_code() {
    let document = include_str!("../../docs/METRICS.md");
    let mut documented: Vec<_> = document.lines().filter(|line| line.starts_with("| `")).collect();
    let rows = rows_of_the_code();
    let mut coded: Vec<_> = rows.iter().map(String::as_str).collect();
    documented.sort_unstable();
    coded.sort_unstable();
    assert_eq!(documented, coded, "the rows should be:\n{}", coded.join("\n"));
}
