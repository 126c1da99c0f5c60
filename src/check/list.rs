//! PURE: what the first page of a list of domains tells: how many there are, which the filter selects,
//! and the provider's words for their types.

use std::collections::BTreeMap;

use super::judge::{Circumstances, Finding, Judgement, judge as judge_probe, names};
use super::probe::Probe;
use crate::config::Discover;
use crate::model::{Domain, ListPage, ListedDomain};

/// More words than these make a line unreadable.
const MOST_TYPES: usize = 10;

/// Judges a page; the domains of it that the filter selects.
pub(super) fn judge(
    probe: &Probe,
    page: Option<ListPage>,
    discover: &Discover,
    circumstances: &Circumstances<'_>,
    max_domains: usize,
) -> (Judgement, Vec<Domain>) {
    // The clock and the day are judged as for every call.
    let judgement = judge_probe(probe, circumstances);
    let Some(page) = page else {
        return (judgement, Vec::new());
    };
    let rows = page.rows.len() + page.left_out;
    let listed: Vec<ListedDomain> = page
        .rows
        .into_iter()
        .filter_map(|row| {
            Some(ListedDomain {
                name: Domain::parse(&row.name).ok()?,
                kind: row.kind,
            })
        })
        .collect();
    let mut types: BTreeMap<&str, usize> = BTreeMap::new();
    for domain in &listed {
        *types.entry(domain.kind.as_str()).or_default() += 1;
    }
    let matching: Vec<Domain> = listed
        .iter()
        .filter(|domain| discover.selects(domain))
        .map(|domain| domain.name.clone())
        .collect();
    let total = page.total.map_or_else(
        || "it does not say how many".to_owned(),
        |total| total.to_string(),
    );
    let mut seen = vec![
        ("listed", format!("{total} domains in all, {rows} on this page")),
        ("types", words(&types)),
        ("matching", told(&matching, rows)),
    ];
    if listed.len() < rows {
        seen.push((
            "skipped",
            format!("{} rows that name no host name", rows - listed.len()),
        ));
    }
    seen.extend(judgement.seen);
    let mut findings = judgement.findings;
    let whole = page
        .total
        .is_none_or(|total| u64::try_from(rows).is_ok_and(|rows| total <= rows));
    if matching.is_empty() && whole {
        findings.push(Finding::problem(
            "the filter selects none of the account's domains",
            "compare include, exclude and types of domains.discover with the provider's names and types: check \
             prints the types above",
        ));
    }
    if matching.len() > max_domains {
        findings.push(Finding::problem(
            format!(
                "the filter selects {} domains, and max_domains allows {max_domains}",
                matching.len()
            ),
            format!("narrow the filter, or write max_domains: {}", matching.len()),
        ));
    }
    (Judgement { seen, findings }, matching)
}

fn told(matching: &[Domain], rows: usize) -> String {
    if matching.is_empty() {
        format!("none of {rows}")
    } else {
        format!("{} of {rows}: {}", matching.len(), names(matching))
    }
}

/// `下载 (12), 图片 (3)`
fn words(types: &BTreeMap<&str, usize>) -> String {
    let mut words: Vec<String> = types
        .iter()
        .take(MOST_TYPES)
        .map(|(word, count)| format!("{} ({count})", if word.is_empty() { "none" } else { word }))
        .collect();
    if types.len() > MOST_TYPES {
        words.push(format!("and {} more", types.len() - MOST_TYPES));
    }
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}
