//! From what came of a probe to what is told of it.

use std::time::Duration;

use chrono::{DateTime, Days, TimeDelta, Utc};

use super::data;
use super::failure;
use super::probe::{AcceptedDay, Probe};
use crate::config::Api;
use crate::model::{DateShift, Domain, Endpoint};

/// Clocks that differ by more than a window's length make the wrong windows be asked for.
const MOST_SKEW: TimeDelta = TimeDelta::minutes(5);

/// More names than these make a line unreadable.
const MOST_NAMES: usize = 10;

/// What is told of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    /// What the provider's data look like: a label and a line each.
    pub(super) seen: Vec<(&'static str, String)>,
    /// What is wrong or worth knowing, the cause before its consequences.
    pub(super) findings: Vec<Finding>,
}

/// One thing that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Whether it makes values wrong or absent.
    pub(super) grave: bool,
    /// What is so.
    pub(super) what: String,
    /// What to do about it.
    pub(super) remedy: String,
    /// The failure in the words of the log.
    pub(super) detail: Option<String>,
}

impl Finding {
    pub(super) fn problem(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            grave: true,
            what: what.into(),
            remedy: remedy.into(),
            detail: None,
        }
    }

    pub(super) fn note(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            grave: false,
            ..Self::problem(what, remedy)
        }
    }
}

/// What is configured, as far as it helps to explain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) api: &'a Api,
    /// `poll.settle`, or where learning starts.
    pub(super) settle: TimeDelta,
    /// `poll.stale_after`
    pub(super) stale_after: Duration,
    pub(super) username: &'a str,
}

/// Judges a probe.
pub(super) fn judge(probe: &Probe, circumstances: &Circumstances<'_>) -> Judgement {
    let mut findings = Vec::new();
    if let Some(failed) = &probe.failure {
        findings.push(Finding {
            detail: Some(failed.message.clone()),
            ..failure::explain(failed, probe, circumstances)
        });
    }
    findings.extend(clock(probe));
    findings.extend(probe.day.map(|day| other_day(day, probe, circumstances)));
    findings.extend(refused(probe, circumstances.endpoint));
    findings.extend(fewer(probe, circumstances.endpoint));
    let (seen, notes) = data::look(probe, circumstances);
    findings.extend(notes);
    Judgement { seen, findings }
}

/// The provider's clock minus ours, where that is too much.
pub(super) fn notable_skew(probe: &Probe) -> Option<TimeDelta> {
    probe.skew.filter(|skew| skew.abs() > MOST_SKEW)
}

/// `9h`, to the minute.
fn clock(probe: &Probe) -> Option<Finding> {
    let skew = notable_skew(probe)?;
    let minutes = (skew.abs() + TimeDelta::seconds(30)).num_minutes();
    let side = if skew > TimeDelta::zero() {
        "behind"
    } else {
        "ahead of"
    };
    Some(Finding::problem(
        format!(
            "this machine's clock is {} {side} the provider's; it shows {}",
            words(TimeDelta::minutes(minutes)),
            minute(probe.at)
        ),
        "set this machine's clock, and let it follow a time server (timedatectl set-ntp true)",
    ))
}

fn other_day(day: AcceptedDay, probe: &Probe, circumstances: &Circumstances<'_>) -> Finding {
    let zone = circumstances.api.time_zone;
    let today = probe.at.with_timezone(&zone).date_naive();
    let taken = match day.shift {
        DateShift::Yesterday => today.checked_sub_days(Days::new(1)),
        DateShift::Today => Some(today),
        DateShift::Tomorrow => today.checked_add_days(Days::new(1)),
    }
    .unwrap_or(today);
    let what = format!("the key is right, but the provider takes the signature of {taken}, not of {today}");
    if notable_skew(probe).is_some() {
        Finding::problem(
            what,
            "set this machine's clock: a signature is valid for one day only",
        )
    } else if day.near_date_line {
        Finding::note(
            what,
            "nothing: close to midnight the exporter tries both days by itself",
        )
    } else if probe.skew.is_some() {
        Finding::problem(
            format!("{what}: the day in the time zone {zone}"),
            "correct api.time_zone: the provider's documents point to \"+08:00\"",
        )
    } else {
        // Without the provider's time, a clock that is off by hours looks like a wrong zone.
        Finding::problem(
            format!("{what}: the day in the time zone {zone}, by this machine's clock"),
            format!(
                "compare this machine's clock, which shows {}, with the true time; if it is right, correct \
                 api.time_zone: the provider's documents point to \"+08:00\"",
                minute(probe.at)
            ),
        )
    }
}

fn refused(probe: &Probe, endpoint: Endpoint) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !probe.refused.is_empty() {
        let other = match endpoint {
            Endpoint::BandwidthFlow => Endpoint::OriginRatio,
            Endpoint::OriginRatio => Endpoint::BandwidthFlow,
        };
        findings.push(Finding::problem(
            format!(
                "the provider refuses {}: not this account's, or unknown to {endpoint}",
                names(&probe.refused)
            ),
            format!(
                "correct or remove the name under domains; if only {other} knows it, write it as \"name: …\" with \
                 \"endpoints: [{other}]\""
            ),
        ));
    }
    if !probe.undecided.is_empty() {
        findings.push(Finding::problem(
            format!(
                "the search for domains that the provider refuses ended after {} calls; not decided: {}",
                probe.calls,
                names(&probe.undecided)
            ),
            "correct what is known to be wrong, then check again",
        ));
    }
    findings
}

fn fewer(probe: &Probe, endpoint: Endpoint) -> Option<Finding> {
    let taken = probe.fewer?;
    Some(Finding::note(
        format!(
            "the provider calls a list of {} domains too long, and takes {taken}",
            probe.asked.len()
        ),
        format!(
            "set {endpoint}_batch: {taken} for this account; until then the exporter finds the limit by itself"
        ),
    ))
}

/// `a.com, b.com and 3 more`
pub(super) fn names(domains: &[Domain]) -> String {
    let shown: Vec<_> = domains.iter().take(MOST_NAMES).map(Domain::as_str).collect();
    match domains.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `6m 30s`; without a sign.
pub(super) fn words(time: TimeDelta) -> String {
    let seconds = time.num_seconds().unsigned_abs();
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// `2026-11-22 12:05 UTC`
pub(super) fn minute(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::model::{Failure, Rejects, WindowRange};

    /// Everything of it is 2026-11-22 12:04 UTC.
    pub(in super::super) fn probe() -> Probe {
        let at = "2026-11-22T12:04:00Z".parse().unwrap();
        Probe {
            asked: vec![Domain::parse("www.a.com").unwrap()],
            calls: 1,
            at,
            range: WindowRange::last(TimeDelta::hours(1), at),
            answered: Vec::new(),
            rejects: Rejects::default(),
            refused: Vec::new(),
            undecided: Vec::new(),
            fewer: None,
            failure: None,
            day: None,
            skew: Some(TimeDelta::zero()),
        }
    }

    pub(in super::super) fn api() -> Api {
        let text = "accounts: [{username: u, secret_key: \"0123456789abcdef\", domains: [www.a.com]}]";
        let environment = crate::config::Environment::default();
        crate::config::parse(text, "a test", &environment).unwrap().api
    }

    pub(in super::super) fn circumstances(api: &Api) -> Circumstances<'_> {
        Circumstances {
            endpoint: Endpoint::OriginRatio,
            api,
            settle: TimeDelta::minutes(10),
            stale_after: Duration::from_secs(2_400),
            username: "jcloud_00",
        }
    }

    pub(in super::super) fn failed(failure: Failure) -> Probe {
        Probe {
            failure: Some(failure),
            ..probe()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::{api, circumstances, probe};
    use super::*;

    #[track_caller]
    fn told(probe: &Probe) -> Vec<(bool, String, String)> {
        let api = api();
        judge(probe, &circumstances(&api))
            .findings
            .into_iter()
            .map(|finding| (finding.grave, finding.what, finding.remedy))
            .collect()
    }

    #[test]
    fn a_clock_is_told_from_five_minutes_on() {
        for (seconds, said) in [
            (0, None),
            (300, None),
            (-300, None),
            (301, Some("this machine's clock is 5m behind the provider's")),
            (32_399, Some("this machine's clock is 9h behind the provider's")),
            (
                -5_430,
                Some("this machine's clock is 1h 31m ahead of the provider's"),
            ),
        ] {
            let probe = Probe {
                skew: Some(TimeDelta::seconds(seconds)),
                ..probe()
            };
            let told = told(&probe);
            let clock = told.iter().find(|(grave, ..)| *grave);
            assert_eq!(clock.is_some(), said.is_some(), "{seconds}: {told:?}");
            if let (Some((_, what, remedy)), Some(said)) = (clock, said) {
                assert_eq!(*what, format!("{said}; it shows 2026-11-22 12:04 UTC"));
                assert!(remedy.contains("time server"), "{remedy}");
            }
        }
    }

    #[test]
    fn another_day_without_the_providers_time_may_be_the_clocks_fault() {
        let probe = Probe {
            day: Some(AcceptedDay {
                shift: DateShift::Tomorrow,
                near_date_line: false,
            }),
            skew: None,
            ..probe()
        };
        let told = told(&probe);
        let (_, _, remedy) = told.iter().find(|(grave, ..)| *grave).unwrap();
        for part in ["clock, which shows 2026-11-22 12:04 UTC", "correct api.time_zone"] {
            assert!(remedy.contains(part), "{part}: {told:?}");
        }
    }

    #[test]
    fn another_day_is_the_clocks_fault_or_the_time_zones_or_nobodys() {
        // 12:04 UTC is 20:04 of the same day in Beijing.
        for (shift, near_date_line, skew, grave, what, remedy) in [
            (
                DateShift::Yesterday,
                false,
                0,
                true,
                "takes the signature of 2026-11-21, not of 2026-11-22: the day in the time zone +08:00",
                "correct api.time_zone",
            ),
            (
                DateShift::Tomorrow,
                false,
                86_400,
                true,
                "takes the signature of 2026-11-23, not of 2026-11-22",
                "set this machine's clock",
            ),
            (
                DateShift::Tomorrow,
                true,
                0,
                false,
                "takes the signature of 2026-11-23, not of 2026-11-22",
                "nothing",
            ),
        ] {
            let probe = Probe {
                day: Some(AcceptedDay {
                    shift,
                    near_date_line,
                }),
                skew: Some(TimeDelta::seconds(skew)),
                ..probe()
            };
            let told = told(&probe);
            let found = told
                .iter()
                .find(|(_, what, _)| what.starts_with("the key is right"))
                .unwrap();
            assert_eq!(found.0, grave, "{found:?}");
            assert!(found.1.ends_with(what), "{found:?}");
            assert!(found.2.starts_with(remedy), "{found:?}");
        }
    }

    #[test]
    fn refused_domains_are_named_with_what_to_write() {
        let domain = |index| Domain::parse(&format!("d{index}.com")).unwrap();
        let told_of = |refused, undecided| {
            told(&Probe {
                refused,
                undecided,
                calls: 24,
                ..probe()
            })
        };
        let one = told_of(vec![domain(1)], Vec::new());
        assert_eq!(
            one[0],
            (
                true,
                "the provider refuses d1.com: not this account's, or unknown to origin_ratio".to_owned(),
                "correct or remove the name under domains; if only bandwidth_flow knows it, write it as \"name: …\" \
                 with \"endpoints: [bandwidth_flow]\""
                    .to_owned()
            )
        );
        let many = told_of((0..12).map(domain).collect(), vec![domain(20)]);
        assert!(many[0].1.contains("d9.com and 2 more"), "{many:?}");
        assert_eq!(
            many[1].1,
            "the search for domains that the provider refuses ended after 24 calls; not decided: d20.com"
        );
        assert!(many[1].0);
    }

    #[test]
    fn a_batch_that_is_too_large_is_a_note_with_the_key_to_set() {
        let told = told(&Probe {
            fewer: Some(5),
            ..probe()
        });
        let (grave, what, remedy) = &told[0];
        assert!(!grave);
        assert_eq!(
            what,
            "the provider calls a list of 1 domains too long, and takes 5"
        );
        assert!(
            remedy.starts_with("set origin_ratio_batch: 5 for this account"),
            "{remedy}"
        );
    }
}
