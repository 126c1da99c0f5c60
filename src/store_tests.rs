//! The store against a provider whose windows come late and change: what it keeps, and what it tells.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Field, Reason, Rejects, Values, Window};

const RULE: VisibilityRule = VisibilityRule {
    settle: TimeDelta::minutes(10),
    stale_after: TimeDelta::minutes(40),
    horizon: TimeDelta::hours(1),
};

/// Writes down what is told of windows, ages in seconds.
#[derive(Default)]
struct Recorder(Mutex<Vec<Seen>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Appeared(i64),
    Revised(Option<i64>, bool),
}

impl Recorder {
    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Recorder {
    fn window_appeared(&self, _: Endpoint, delay: TimeDelta) {
        self.0.lock().unwrap().push(Seen::Appeared(delay.num_seconds()));
    }
    fn window_revised(&self, _: Endpoint, age: Option<TimeDelta>, settled: bool) {
        let age = age.map(|age| age.num_seconds());
        self.0.lock().unwrap().push(Seen::Revised(age, settled));
    }
    fn request_finished(&self, _: Endpoint, _: Duration, _: Option<Reason>) {}
    fn request_retried(&self, _: Endpoint) {}
    fn rejected(&self, _: Endpoint, _: Rejects) {}
    fn poll_finished(&self, _: Endpoint, _: Duration) {}
    fn polls_overrun(&self, _: Endpoint, _: u64) {}
    fn succeeded(&self, _: &AccountName, _: Endpoint, _: DateTime<Utc>) {}
    fn request_rate(&self, _: &AccountName, _: f64) {}
    fn clock_skew(&self, _: TimeDelta) {}
}

fn at(clock: &str) -> DateTime<Utc> {
    format!("2026-11-22T{clock}Z").parse().unwrap()
}

fn domain(place: usize) -> Domain {
    Domain::parse(&format!("d{place}.example.com")).unwrap()
}

fn member(place: usize, source: u64) -> RosterEntry {
    RosterEntry {
        domain: domain(place),
        account: AccountName::new("a"),
        endpoints: Endpoint::ALL.to_vec(),
        source,
    }
}

fn report(store: &Store, now: DateTime<Utc>, outcome: Result<&[Reading], Reason>, observer: &Recorder) {
    let domain = domain(0);
    let report = Report {
        domain: &domain,
        endpoint: Endpoint::BandwidthFlow,
        source: 0,
        outcome,
    };
    store.report(now, [report], observer);
}

fn readings(windows: &[(&str, f64)]) -> Vec<Reading> {
    let reading = |(end, value): &(&str, f64)| Reading {
        window: Window::ending_at(at(end).timestamp()).unwrap(),
        values: Values::NONE.with(Field::Bandwidth, *value),
    };
    windows.iter().map(reading).collect()
}

#[test]
fn a_reload_of_the_same_keeps_entries_and_names_where_they_are() {
    let store = Store::new(RULE, &[member(0, 0), member(1, 0), member(2, 0)]);
    report(
        &store,
        at("09:40:00"),
        Ok(&readings(&[("09:30:00", 1.0)])),
        &Recorder::default(),
    );
    let before = store.snapshot();
    let names: Vec<Domain> = (0..3).map(domain).collect();
    let held = store.held(&names);

    // Names that are equal but stand elsewhere, as in a configuration that was read again; the second
    // has another source, the third an endpoint less.
    let third = RosterEntry {
        endpoints: vec![Endpoint::OriginRatio],
        ..member(2, 0)
    };
    store.reconfigure(RULE, &[member(0, 0), member(1, 7), third, member(3, 0)]);
    let after = store.snapshot();
    let kept: Vec<bool> = before
        .entries
        .iter()
        .zip(&after.entries)
        .map(|(before, after)| Arc::ptr_eq(before, after))
        .collect();
    assert_eq!(kept, [true, false, false]);
    assert!(after.entries[2].track(Endpoint::BandwidthFlow).is_none());

    let asked: Vec<Domain> = [0, 2, 3, 9].map(domain).into();
    let again = store.held(&asked);
    assert_eq!(again, asked[..3]);
    let places = |names: &[Domain]| -> Vec<_> { names.iter().map(|name| name.as_str().as_ptr()).collect() };
    assert_eq!(places(&again)[..2], [places(&held)[0], places(&held)[2]]);
}

#[test]
fn only_what_was_really_seen_to_appear_or_change_has_an_age() {
    use Seen::{Appeared, Revised};
    let store = Store::new(RULE, &[member(0, 0)]);
    let recorder = Recorder::default();
    let mut known: Vec<(&str, f64)> = vec![("11:40:00", 1.0), ("11:50:00", 1.0)];
    // The clock, the window that is new or has another value, what is told.
    for (clock, change, told) in [
        // The first answer of all cannot tell since when its windows were there.
        ("12:00:30", None, vec![]),
        ("12:01:30", Some(("11:55:00", 1.0)), vec![Appeared(390)]),
        ("12:02:30", Some(("11:45:00", 1.0)), vec![Appeared(1_050)]),
        (
            "12:03:30",
            Some(("11:55:00", 2.0)),
            vec![Revised(Some(510), false)],
        ),
        (
            "12:04:30",
            Some(("11:50:00", 2.0)),
            vec![Revised(Some(870), true)],
        ),
        ("12:05:10", Some(("12:05:00", 1.0)), vec![Appeared(10)]),
        // After an outage: late or not, changed early or late, nobody knows; that it changed is counted.
        ("12:25:00", Some(("12:10:00", 1.0)), vec![]),
        ("12:35:00", Some(("12:10:00", 3.0)), vec![Revised(None, true)]),
    ] {
        if let Some((end, value)) = change {
            known.retain(|(other, _)| *other != end);
            known.push((end, value));
        }
        report(&store, at(clock), Ok(&readings(&known)), &recorder);
        assert_eq!(recorder.take(), told, "{clock}");
        report(&store, at(clock), Ok(&readings(&known)), &recorder);
        assert_eq!(recorder.take(), [], "{clock}, again");
    }
}

#[test]
fn a_longer_horizon_makes_nothing_late_and_nothing_missing() {
    let store = Store::new(RULE, &[member(0, 0)]);
    let recorder = Recorder::default();
    let day = readings(&[("02:00:00", 1.0), ("11:50:00", 1.0), ("11:55:00", 1.0)]);
    report(&store, at("12:00:00"), Ok(&day), &recorder);
    let missing = |now| {
        let snapshot = store.snapshot();
        let track = snapshot.entries[0].track(Endpoint::BandwidthFlow).unwrap();
        (track.missing(&snapshot.rule, now), track.series.iter().count())
    };
    // Of 11:05 to 11:50, all but one.
    assert_eq!(missing(at("12:00:30")), (9, 2));
    let longer = VisibilityRule {
        horizon: TimeDelta::days(1),
        ..RULE
    };
    store.reconfigure(longer, &[member(0, 0)]);
    assert_eq!(missing(at("12:00:30")), (9, 2));
    report(&store, at("12:01:00"), Ok(&day), &recorder);
    assert_eq!(recorder.take(), []);
    // Of the 288 of a day, the two newest are not settled.
    assert_eq!(missing(at("12:01:30")), (286 - 2, 3));
    store.reconfigure(RULE, &[member(0, 0)]);
    report(&store, at("12:02:00"), Err(Reason::Timeout), &recorder);
    assert_eq!(missing(at("12:02:30")), (9, 3), "forgotten at the next answer");
    report(&store, at("12:03:00"), Ok(&[]), &recorder);
    assert_eq!(missing(at("12:03:30")), (9, 2));
    assert_eq!(recorder.take(), []);
}

#[test]
fn settle_is_learned_only_when_asked_for_and_kept_through_reloads() {
    let start = at("00:00:00");
    // Every window appears 6 minutes after its end.
    let run = |store: &Store, from: i64, to: i64| {
        let recorder = Recorder::default();
        for minute in from..to {
            let now = start + TimeDelta::minutes(minute);
            let there = WindowRange::last(RULE.horizon, now - TimeDelta::minutes(6));
            let readings: Vec<_> = (0..12)
                .map(|place| Reading {
                    window: there.first.plus(place),
                    values: Values::NONE.with(Field::Bandwidth, 1.0),
                })
                .collect();
            report(store, now, Ok(&readings), &recorder);
        }
        start + TimeDelta::minutes(to)
    };
    let settle = |store: &Store| store.snapshot().rule.settle;
    let auto = Visibility {
        rule: RULE,
        learns: true,
    };
    let fixed = Store::new(RULE, &[member(0, 0)]);
    let learning = Store::new(auto, &[member(0, 0)]);
    for store in [&fixed, &learning] {
        let now = run(store, 0, 26 * 60);
        let told = store.settle_report(now);
        assert_eq!(told.enough, Some(TimeDelta::minutes(6)));
        assert_eq!(told.present, settle(store));
        assert_eq!(told.learned, std::ptr::eq(store, &raw const learning));
        // 12 an hour, over 23 to 24 hours.
        assert!((276..=288).contains(&told.windows), "{}", told.windows);
    }
    assert_eq!(settle(&fixed), TimeDelta::minutes(10));
    assert_eq!(settle(&learning), TimeDelta::minutes(6));
    learning.reconfigure(auto, &[member(0, 0), member(1, 0)]);
    assert_eq!(settle(&learning), TimeDelta::minutes(6));
    learning.reconfigure(RULE, &[member(0, 0)]);
    assert_eq!(settle(&learning), TimeDelta::minutes(10));
}

/// What the provider says of a window at an age in minutes: nothing before it appears, then a
/// preliminary value in every third window, then the final one.
fn visible(place: usize, endpoint: Endpoint, window: Window, age: i64) -> Option<Values> {
    let seed = i64::try_from(place).unwrap() * 7 + window.end_seconds() / 300;
    let appears = seed % 9;
    let is_final = age >= appears + 6 || seed % 3 != 0;
    let value = |field: usize| {
        let whole = f64::from(u32::try_from(seed % 1_000).unwrap()) * 10.0;
        whole + f64::from(u32::try_from(field).unwrap()) + if is_final { 0.0 } else { 0.5 }
    };
    (age >= appears).then(|| {
        Field::ALL
            .into_iter()
            .filter(|field| field.endpoint() == endpoint)
            .fold(Values::NONE, |values, field| {
                values.with(field, value(field.column()))
            })
    })
}

fn answer(place: usize, endpoint: Endpoint, horizon: TimeDelta, now: DateTime<Utc>) -> Vec<Reading> {
    let range = WindowRange::last(horizon, now);
    (0..u32::try_from(range.count()).unwrap())
        .filter_map(|n| {
            let window = range.first.plus(n);
            let age = (now - window.end()).num_minutes();
            let values = visible(place, endpoint, window, age)?;
            Some(Reading { window, values })
        })
        .collect()
}

/// One thing that happens to a store of three domains.
#[derive(Clone, Debug)]
enum Event {
    /// So many minutes pass.
    Time(i64),
    /// The provider fails for a domain and endpoint.
    Fault(usize, usize),
    /// It answers: rotated by so many readings, some of them twice, and every so-manieth left out.
    Answer(usize, usize, usize, bool, usize),
    /// An answer made under another configuration comes late.
    Stranger(usize, usize),
    /// A reload: the horizon in minutes, and the domains that are configured meanwhile.
    Reload(i64, BTreeSet<usize>),
}

fn event() -> impl Strategy<Value = Event> {
    let place = (0_usize..3, 0_usize..2);
    prop_oneof![
        2 => (0_i64..40).prop_map(Event::Time),
        1 => place.clone().prop_map(|(d, e)| Event::Fault(d, e)),
        6 => (place.clone(), 0_usize..20, any::<bool>(), 1_usize..5)
            .prop_map(|((d, e), turn, twice, gap)| Event::Answer(d, e, turn, twice, gap)),
        1 => place.prop_map(|(d, e)| Event::Stranger(d, e)),
        1 => (20_i64..200, proptest::collection::btree_set(0_usize..3, 0..4))
            .prop_map(|(horizon, domains)| Event::Reload(horizon, domains)),
    ]
}

struct World {
    store: Store,
    now: DateTime<Utc>,
    horizon: TimeDelta,
    recorder: Recorder,
}

impl World {
    fn new(now: DateTime<Utc>) -> Self {
        let mut world = Self {
            store: Store::new(RULE, &[]),
            now,
            horizon: RULE.horizon,
            recorder: Recorder::default(),
        };
        world.reload(60, &BTreeSet::from([0, 1, 2]));
        world
    }

    fn reload(&mut self, horizon: i64, domains: &BTreeSet<usize>) {
        self.horizon = TimeDelta::minutes(horizon);
        let rule = VisibilityRule {
            horizon: self.horizon,
            ..RULE
        };
        let roster: Vec<_> = domains.iter().map(|place| member(*place, 0)).collect();
        self.store.reconfigure(rule, &roster);
    }

    fn report(&self, place: usize, endpoint: usize, source: u64, outcome: Result<&[Reading], Reason>) {
        let report = Report {
            domain: &domain(place),
            endpoint: Endpoint::ALL[endpoint],
            source,
            outcome,
        };
        self.store.report(self.now, [report], &self.recorder);
    }

    fn answer(&self, place: usize, endpoint: usize) -> Vec<Reading> {
        answer(place, Endpoint::ALL[endpoint], self.horizon, self.now)
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Time(minutes) => self.now += TimeDelta::minutes(*minutes),
            Event::Fault(place, endpoint) => self.report(*place, *endpoint, 0, Err(Reason::Timeout)),
            Event::Answer(place, endpoint, turn, twice, gap) => {
                let mut readings = self.answer(*place, *endpoint);
                let turn = turn % readings.len().max(1);
                readings.rotate_left(turn);
                if *twice {
                    readings.extend_from_within(turn..);
                }
                let kept = (0..).zip(readings).filter(|(n, _)| (n + 1) % (gap + 1) != 0);
                let kept: Vec<_> = kept.map(|(_, reading)| reading).collect();
                self.report(*place, *endpoint, 0, Ok(&kept));
            }
            Event::Stranger(place, endpoint) => {
                let mut readings = self.answer(*place, *endpoint);
                for reading in &mut readings {
                    reading.values = Values::NONE.with(Field::Bandwidth, -7.0);
                }
                self.report(*place, *endpoint, 1, Ok(&readings));
            }
            Event::Reload(horizon, domains) => self.reload(*horizon, domains),
        }
    }

    /// Everything is read once.
    fn read_all(&self) {
        for place in 0..3 {
            for endpoint in 0..2 {
                self.report(place, endpoint, 0, Ok(&self.answer(place, endpoint)));
            }
        }
    }

    fn held(&self) -> Vec<(Domain, Endpoint, Vec<Reading>)> {
        let snapshot = self.store.snapshot();
        let tracks = snapshot.entries.iter().flat_map(|entry| {
            Endpoint::ALL.into_iter().map(|endpoint| {
                let series = &entry.track(endpoint).unwrap().series;
                (entry.domain.clone(), endpoint, series.iter().collect())
            })
        });
        tracks.collect()
    }
}

proptest! {
    /// Whatever happened before, one whole read makes the store what it would be had nothing else
    /// ever been read; and at every moment it holds only what the provider once said.
    #[test]
    fn any_history_ends_as_one_perfect_read(events in proptest::collection::vec(event(), 0..60)) {
        let mut world = World::new(at("00:00:00"));
        for event in &events {
            world.happen(event);
            for (_, endpoint, readings) in world.held() {
                for reading in readings {
                    let values = reading.values.columns(endpoint);
                    prop_assert!(values.iter().all(|value| *value >= 0.0), "{:?}", reading);
                }
            }
        }
        let all = BTreeSet::from([0, 1, 2]);
        world.reload(60, &all);
        world.read_all();
        let fresh = World::new(world.now);
        fresh.read_all();
        prop_assert_eq!(world.held(), fresh.held());
        let expected = answer(0, Endpoint::BandwidthFlow, RULE.horizon, world.now);
        prop_assert_eq!(&world.held()[0].2, &expected);
        for entry in &world.store.snapshot().entries {
            let bytes: usize = entry.tracks.iter().flatten().map(|track| track.series.bytes()).sum();
            // 12 windows, and one more each for a horizon that is no multiple of a window.
            prop_assert!(bytes <= 13 * 40, "{}", bytes);
        }
    }
}
