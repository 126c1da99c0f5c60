//! A small reader of both formats, written from their specifications and not from our writer.

use std::collections::BTreeMap;

use jdcloud_cdn_exporter::exposition::Format;

/// A family as its header describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) help: String,
    pub(super) samples: Vec<Sample>,
}

/// Labels in the order in which they are written; the value as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: String,
}

/// Reads a whole exposition. Panics on what the formats forbid: a family in two places, a header
/// without samples, a sample under another family's header, a missing or early end.
pub(super) fn parse(text: &str, format: Format) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut ended = false;
    assert!(text.is_empty() || text.ends_with('\n'));
    for line in text.lines() {
        assert!(!ended, "{line} after the end");
        if line == "# EOF" {
            ended = true;
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let family = Family {
                help: help.to_owned(),
                ..Family::default()
            };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} twice");
            name.clone_into(&mut current);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, current);
            kind.clone_into(&mut families.get_mut(name).unwrap().kind);
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (name, unit) = rest.split_once(' ').unwrap();
            assert_eq!((name, format), (current.as_str(), Format::OpenMetrics));
            assert!(name.ends_with(&format!("_{unit}")));
        } else {
            let sample = sample(line);
            let family = families.get_mut(&current).unwrap();
            let suffixes: &[&str] = match (family.kind.as_str(), format) {
                ("histogram", _) => &["_bucket", "_sum", "_count"],
                ("counter", Format::OpenMetrics) => &["_total"],
                _ => &[""],
            };
            assert!(
                suffixes
                    .iter()
                    .any(|suffix| sample.name == format!("{current}{suffix}")),
                "{line} under {current}"
            );
            family.samples.push(sample);
        }
    }
    assert_eq!(ended, format == Format::OpenMetrics);
    for (name, family) in &families {
        assert!(!family.samples.is_empty(), "{name} has no samples");
    }
    families
}

fn sample(line: &str) -> Sample {
    let name_end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Vec::new();
    while let Some(after) = rest.strip_prefix(['{', ',']) {
        let (label, quoted) = after.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut letters = quoted.char_indices();
        let end = loop {
            match letters.next().unwrap() {
                (end, '"') => break end,
                (_, '\\') => value.push(match letters.next().unwrap().1 {
                    'n' => '\n',
                    letter => letter,
                }),
                (_, letter) => value.push(letter),
            }
        };
        labels.push((label.to_owned(), value));
        rest = &quoted[end + 1..];
        rest = rest.strip_prefix('}').unwrap_or(rest);
    }
    Sample {
        name: name.to_owned(),
        labels,
        value: rest.strip_prefix(' ').unwrap().to_owned(),
    }
}
