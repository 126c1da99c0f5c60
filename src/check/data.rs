//! What one look at the provider's data shows: who has data, how late it comes, where the gaps are.

use chrono::TimeDelta;

use super::judge::{Circumstances, Finding, minute, names, words};
use super::probe::Probe;
use crate::model::{Domain, Reading, Reject, Rejects, Window};

type Lines = Vec<(&'static str, String)>;

/// The lines on what was seen, and what is to be found in it.
pub(super) fn look(probe: &Probe, circumstances: &Circumstances<'_>) -> (Lines, Vec<Finding>) {
    let (with_data, silent): (Vec<_>, Vec<_>) = probe
        .answered
        .iter()
        .partition(|(_, readings)| !readings.is_empty());
    let mut lines = Lines::new();
    let mut findings = Vec::new();
    if !probe.answered.is_empty() {
        let count = format!("{} of {} domains", with_data.len(), probe.asked.len());
        lines.push(("answered", count));
    }
    let with_data: Vec<&[Reading]> = with_data.iter().map(|(_, readings)| &readings[..]).collect();
    let newest = with_data
        .iter()
        .filter_map(|readings| readings.last())
        .map(|r| r.window)
        .max();
    if let Some(newest) = newest {
        let age = probe.at.signed_duration_since(newest.end());
        lines.push((
            "newest",
            format!("window that ended {}, {} ago", minute(newest.end()), words(age)),
        ));
        lines.push(("missing", missing(probe.range.first, newest, &with_data)));
        let slowest = slowest_age(probe, &with_data, circumstances).unwrap_or(age);
        lines.push(("settle", settle(slowest, circumstances)));
        if age.to_std().is_ok_and(|age| age > circumstances.stale_after) {
            findings.push(Finding::note(
                "the newest window is older than poll.stale_after: nothing would be shown now",
                "check again when the domains have traffic; raise poll.stale_after if they always come this late",
            ));
        }
    }
    let silent: Vec<Domain> = silent.iter().map(|(domain, _)| domain.clone()).collect();
    if !silent.is_empty() {
        findings.push(without_data(&silent, newest.is_some(), probe, circumstances));
    } else if probe.rejects.total() > 0 {
        findings.push(Finding::note(
            format!("parts of the reply were refused: {}", kinds(probe.rejects)),
            "nothing: they are left out, and counted in jdcloud_cdn_exporter_rejects_total",
        ));
    }
    (lines, findings)
}

/// Domains for which the provider gave nothing that can be used.
fn without_data(
    silent: &[Domain],
    others_have: bool,
    probe: &Probe,
    circumstances: &Circumstances<'_>,
) -> Finding {
    let count = |kind| {
        let of_kind = probe.rejects.iter().find(|(other, _)| *other == kind);
        of_kind.map_or(0, |(_, count)| count)
    };
    let outside = count(Reject::OutOfRange);
    if !others_have && outside > 0 {
        Finding::problem(
            format!("all {outside} windows in the reply lie outside the hour that was asked for"),
            format!(
                "correct api.time_zone, now {}: the provider's documents point to \"+08:00\"; or this machine's \
                 clock, which shows {}",
                circumstances.api.time_zone,
                minute(probe.at)
            ),
        )
    } else if !others_have && probe.rejects.total() > 0 {
        Finding::problem(
            format!("nothing in the reply can be used: {}", kinds(probe.rejects)),
            "check api.base_url; if it is right, please report this as a defect",
        )
    } else {
        Finding::note(
            format!("no data in the last hour for {}", names(silent)),
            format!(
                "check that they have traffic, and that {} is the right endpoint for them",
                circumstances.endpoint
            ),
        )
    }
}

/// `value 2, shape 1`
fn kinds(rejects: Rejects) -> String {
    let counted: Vec<_> = rejects
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{} {count}", kind.name()))
        .collect();
    counted.join(", ")
}

/// Which windows up to the newest are not there, runs of them as one: `11:15 to 11:25 (3) for all
/// domains, 11:40 for 1 of 3`.
fn missing(first: Window, newest: Window, domains: &[&[Reading]]) -> String {
    // (first, last, windows, domains that lack them)
    let mut gaps: Vec<(Window, Window, usize, usize)> = Vec::new();
    let mut window = first;
    while window <= newest {
        let lack = domains
            .iter()
            .filter(|readings| readings.binary_search_by_key(&window, |r| r.window).is_err())
            .count();
        match gaps.last_mut() {
            Some((_, last, count, same)) if *same == lack && last.plus(1) == window => {
                *last = window;
                *count += 1;
            }
            _ if lack > 0 => gaps.push((window, window, 1, lack)),
            _ => {}
        }
        window = window.plus(1);
    }
    if gaps.is_empty() {
        return "no window of the last hour up to the newest".to_owned();
    }
    let time = |window: Window| window.end().format("%H:%M").to_string();
    let all = domains.len();
    let told: Vec<_> = gaps
        .into_iter()
        .map(|(first, last, count, lack)| {
            let span = if count == 1 {
                time(first)
            } else {
                format!("{} to {} ({count})", time(first), time(last))
            };
            if lack == all {
                format!("{span} for all domains")
            } else {
                format!("{span} for {lack} of {all}")
            }
        })
        .collect();
    format!("{}; window ends in UTC", told.join(", "))
}

/// The age of the newest window of the domain whose data come last. Data that are stale tell of an idle
/// domain rather than of a slow provider, and are left out.
fn slowest_age(
    probe: &Probe,
    domains: &[&[Reading]],
    circumstances: &Circumstances<'_>,
) -> Option<TimeDelta> {
    let stale = TimeDelta::from_std(circumstances.stale_after).unwrap_or(TimeDelta::MAX);
    domains
        .iter()
        .filter_map(|readings| readings.last())
        .map(|newest| probe.at.signed_duration_since(newest.window.end()))
        .filter(|age| *age <= stale)
        .max()
}

/// Whether the configured `settle` is long enough for a window that appeared at this age.
fn settle(age: TimeDelta, circumstances: &Circumstances<'_>) -> String {
    // The newest window is up to five minutes older than it had to be to come: what tells is the one after
    // it, which is not there at its age.
    let missing = age - TimeDelta::seconds(Window::SECONDS);
    let configured = circumstances.settle;
    let verdict = if missing <= configured {
        "is enough by this one look".to_owned()
    } else {
        let minutes = TimeDelta::minutes(missing.num_minutes());
        format!(
            "is too short by this one look: the window that ended {} ago is not there yet",
            words(minutes)
        )
    };
    format!(
        "{} {verdict}; jdcloud_cdn_exporter_window_delay_seconds shows it over time",
        words(configured)
    )
}

#[cfg(test)]
mod tests {
    use super::super::judge::fixtures::{api, circumstances, probe};
    use super::*;
    use crate::model::{Field, Values};

    /// The domains' windows by their ends, on the fixture's day.
    fn seen(domains: &[&[&str]]) -> Probe {
        let readings = |ends: &[&str]| -> Vec<Reading> {
            ends.iter()
                .map(|end| {
                    let end: chrono::DateTime<chrono::Utc> = format!("2026-11-22T{end}:00Z").parse().unwrap();
                    Reading {
                        window: Window::ending_at(end.timestamp()).unwrap(),
                        values: Values::NONE.with(Field::OriginRatio, 0.5),
                    }
                })
                .collect()
        };
        let answered: Vec<_> = domains
            .iter()
            .enumerate()
            .map(|(index, ends)| {
                let domain = Domain::parse(&format!("d{index}.com")).unwrap();
                (domain, readings(ends))
            })
            .collect();
        Probe {
            asked: answered.iter().map(|(domain, _)| domain.clone()).collect(),
            answered,
            ..probe()
        }
    }

    fn line(probe: &Probe, label: &str) -> Option<String> {
        let api = api();
        let (lines, _) = look(probe, &circumstances(&api));
        lines
            .into_iter()
            .find(|(other, _)| *other == label)
            .map(|(_, text)| text)
    }

    const HOUR: &[&str] = &[
        "11:05", "11:10", "11:15", "11:20", "11:25", "11:30", "11:35", "11:40", "11:45", "11:50", "11:55",
    ];

    #[test]
    fn the_newest_window_its_age_and_the_answers_are_told() {
        let probe = seen(&[HOUR, &HOUR[..10], &[]]);
        assert_eq!(line(&probe, "answered").unwrap(), "2 of 3 domains");
        assert_eq!(
            line(&probe, "newest").unwrap(),
            "window that ended 2026-11-22 11:55 UTC, 9m ago"
        );
        assert_eq!(line(&super::super::judge::fixtures::probe(), "answered"), None);
    }

    #[test]
    fn gaps_are_told_by_who_has_them() {
        let without = |skip: &[usize]| -> Vec<&str> {
            let kept = HOUR.iter().enumerate().filter(|(i, _)| !skip.contains(i));
            kept.map(|(_, end)| *end).collect()
        };
        for (domains, said) in [
            (vec![HOUR.to_vec()], "no window of the last hour up to the newest"),
            (
                vec![without(&[2, 3, 4]), without(&[2, 3, 4, 7])],
                "11:15 to 11:25 (3) for all domains, 11:40 for 1 of 2; window ends in UTC",
            ),
            (
                vec![HOUR.to_vec(), HOUR[..9].to_vec()],
                "11:50 to 11:55 (2) for 1 of 2; window ends in UTC",
            ),
            (vec![without(&[0])], "11:05 for all domains; window ends in UTC"),
        ] {
            let domains: Vec<&[&str]> = domains.iter().map(|ends| &ends[..]).collect();
            assert_eq!(line(&seen(&domains), "missing").unwrap(), said);
        }
    }

    #[test]
    fn settle_is_compared_with_the_slowest_domain_that_is_not_idle() {
        for (domains, said) in [
            (&[&["12:00"][..]][..], "10m is enough by this one look;"),
            (&[&["12:00"], &["11:55"]], "10m is enough by this one look;"),
            (&[&["11:50"], &["11:20"]], "10m is enough by this one look;"),
            (
                &[&["11:20"]],
                "10m is too short by this one look: the window that ended 39m ago is not there yet;",
            ),
        ] {
            let text = line(&seen(domains), "settle").unwrap();
            assert!(text.starts_with(said), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_data_is_found() {
        let api = api();
        let circumstances = circumstances(&api);
        let rejects = |kinds: &[Reject]| {
            let mut rejects = Rejects::default();
            for kind in kinds {
                rejects.add(*kind);
            }
            rejects
        };
        for (domains, kinds, grave, what, remedy) in [
            (
                &[&[][..]][..],
                &[Reject::OutOfRange; 12][..],
                true,
                "all 12 windows in the reply lie outside the hour",
                "correct api.time_zone, now +08:00",
            ),
            (
                &[&[]],
                &[Reject::Shape, Reject::Value, Reject::Shape],
                true,
                "nothing in the reply can be used: value 1, shape 2",
                "check api.base_url",
            ),
            (
                &[&[]],
                &[],
                false,
                "no data in the last hour for d0.com",
                "check that they have traffic, and that origin_ratio is",
            ),
            (
                &[HOUR, &[]],
                &[Reject::OutOfRange],
                false,
                "no data in the last hour for d1.com",
                "check that they have traffic",
            ),
            (
                &[HOUR],
                &[Reject::Value],
                false,
                "parts of the reply were refused: value 1",
                "nothing",
            ),
            (
                &[&["11:20"]],
                &[],
                false,
                "the newest window is older than poll.stale_after",
                "check again",
            ),
        ] {
            let probe = Probe {
                rejects: rejects(kinds),
                ..seen(domains)
            };
            let (_, findings) = look(&probe, &circumstances);
            let [finding] = &findings[..] else {
                panic!("{what}: {findings:?}")
            };
            assert_eq!(finding.grave, grave, "{finding:?}");
            assert!(finding.what.starts_with(what), "{finding:?}");
            assert!(finding.remedy.starts_with(remedy), "{finding:?}");
        }
        assert_eq!(look(&seen(&[HOUR]), &circumstances).1, []);
    }
}
