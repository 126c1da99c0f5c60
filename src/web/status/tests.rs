//! The status page as a whole: what it says of four domains at a literal instant, in both forms.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::query::StateKind;
use super::view::{Row, State, View};
use super::*;
use crate::model::{
    Disposition, Domain, Entry, Field, LastPoll, Reading, SettleReport, Track, Values, Window, WindowRange,
};

/// Settled windows are those from 11:10 to 11:55.
const NOW: &str = "2026-11-22T12:06:00Z";

const RULE: VisibilityRule = VisibilityRule {
    settle: TimeDelta::minutes(10),
    stale_after: TimeDelta::minutes(40),
    horizon: TimeDelta::hours(1),
};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The window that ends at this time of the day.
fn window(clock: &str) -> Window {
    Window::ending_at(at(&format!("2026-11-22T{clock}:00Z")).timestamp()).unwrap()
}

fn track(endpoint: Endpoint, last_poll: LastPoll, readings: &[(&str, &[(Field, f64)])]) -> Track {
    let mut track = Track::new(endpoint);
    let readings: Vec<Reading> = readings
        .iter()
        .map(|(end, values)| Reading {
            window: window(end),
            values: values
                .iter()
                .fold(Values::NONE, |all, (field, value)| all.with(*field, *value)),
        })
        .collect();
    let kept = WindowRange {
        first: window("00:00"),
        last: window("23:55"),
    };
    track.series.merge(&readings, kept);
    track.last_poll = last_poll;
    track
}

fn entry(name: &str, account: &str, tracks: [Option<Track>; 2]) -> Arc<Entry> {
    Arc::new(Entry {
        domain: Domain::parse(name).unwrap(),
        account: AccountName::new(account),
        source: 1,
        tracks,
    })
}

fn failure(reason: Reason, message: &str) -> Failure {
    Failure {
        reason,
        disposition: Disposition::Stop,
        message: message.to_owned(),
    }
}

/// `a` is up, with the figures of the provider's documents; `b` fails but still has its values; `c`
/// is stale; `d` has never been polled.
fn status() -> Status {
    use Field::{Bandwidth, EdgeBandwidth, Flow, OriginBandwidth, OriginRatio};
    let (live, ratio) = (Endpoint::BandwidthFlow, Endpoint::OriginRatio);
    let entries = vec![
        entry(
            "a.example.com",
            "first",
            [
                Some(track(
                    live,
                    LastPoll::Usable,
                    &[
                        ("11:45", &[(Bandwidth, 381_250.0)]),
                        // 6.1 Mbps and 228.75 MB.
                        ("11:55", &[(Bandwidth, 762_500.0), (Flow, 228_750_000.0)]),
                        // Not settled.
                        ("12:00", &[(Bandwidth, 9e9)]),
                    ],
                )),
                Some(track(
                    ratio,
                    LastPoll::Usable,
                    // 1.53 of 6.46 Mbps.
                    &[(
                        "11:50",
                        &[
                            (EdgeBandwidth, 807_500.0),
                            (OriginBandwidth, 191_250.0),
                            (OriginRatio, 0.2362),
                        ],
                    )],
                )),
            ],
        ),
        entry(
            "b.example.com",
            "second",
            [
                Some(track(
                    live,
                    LastPoll::Failed(Reason::Timeout),
                    &[("11:50", &[(Bandwidth, 1_525_000.0)])],
                )),
                None,
            ],
        ),
        entry(
            "c.example.com",
            "second",
            [
                Some(track(live, LastPoll::Usable, &[("11:20", &[(Bandwidth, 1e6)])])),
                None,
            ],
        ),
        entry(
            "d.example.com",
            "second",
            [Some(track(live, LastPoll::Never, &[])), None],
        ),
    ];
    let mut failures = [0; Reason::ALL.len()];
    failures[0] = 3;
    failures[6] = 1;
    let poller = |account: &str, endpoint| EndpointStatus {
        account: AccountName::new(account),
        endpoint,
        first_round_done: true,
        last_success: Some(at("2026-11-22T12:05:30Z")),
        next_poll: Some(at("2026-11-22T12:06:20Z")),
        failing: 0,
        failures: [0; Reason::ALL.len()],
        last_failure: None,
    };
    Status {
        now: at(NOW),
        uptime: Duration::from_secs(93_784),
        snapshot: Arc::new(Snapshot::new(1, RULE, entries)),
        settle: Some(SettleReport {
            present: TimeDelta::minutes(10),
            learned: true,
            enough: Some(TimeDelta::minutes(7)),
            windows: 4_000,
        }),
        shard: Shard::WHOLE,
        discoveries: discoveries(),
        endpoints: vec![
            poller("first", live),
            poller("first", ratio),
            EndpointStatus {
                first_round_done: false,
                last_success: None,
                next_poll: None,
                failing: 2,
                failures,
                last_failure: Some((
                    at("2026-11-22T12:01:00Z"),
                    failure(Reason::Timeout, "no reply from api.example.net within 10s"),
                )),
                ..poller("second", live)
            },
        ],
    }
}

/// One that goes well, and one that never has.
fn discoveries() -> Vec<DiscoveryStatus> {
    vec![
        DiscoveryStatus {
            account: AccountName::new("first"),
            domains: Some(1_234),
            last_success: Some(at("2026-11-22T12:00:00Z")),
            next_attempt: Some(at("2026-11-22T12:10:00Z")),
            last_failure: None,
        },
        DiscoveryStatus {
            account: AccountName::new("second"),
            domains: None,
            last_success: None,
            next_attempt: None,
            last_failure: Some((
                at("2026-11-22T12:01:00Z"),
                "the list of domains has <1000000000> rows".to_owned(),
            )),
        },
    ]
}

fn query(text: &str) -> Query {
    Query::parse(text).unwrap()
}

/// The first letters of the domains shown.
fn order(status: &Status, text: &str) -> String {
    let view = View::new(status, &query(text));
    view.rows
        .iter()
        .map(|row| &row.entry.domain.as_str()[..1])
        .collect()
}

fn row<'a>(view: &'a View<'_>, name: &str) -> &'a Row<'a> {
    view.rows
        .iter()
        .find(|row| row.entry.domain.as_str().starts_with(name))
        .unwrap()
}

#[test]
fn each_domain_has_a_state_values_and_an_age() {
    let status = status();
    let view = View::new(&status, &query(""));
    for (name, state, bandwidth, ratio, minutes) in [
        // The older of 11:55 and 11:50.
        ("a", State::Up, Some(762_500.0), Some(0.2362), Some(16)),
        (
            "b",
            State::Failing(Reason::Timeout),
            Some(1_525_000.0),
            None,
            Some(16),
        ),
        ("c", State::Stale, None, None, Some(46)),
        ("d", State::NoData, None, None, None),
    ] {
        let row = row(&view, name);
        assert_eq!(row.state, state, "{name}");
        assert_eq!(row.bandwidth, bandwidth, "{name}");
        assert_eq!(row.origin_ratio, ratio, "{name}");
        assert_eq!(row.age, minutes.map(TimeDelta::minutes), "{name}");
    }
    assert_eq!(row(&view, "a").flow, Some(228_750_000.0));
}

#[test]
fn the_overview_is_made_of_sums() {
    let status = status();
    let summary = View::new(&status, &query("")).summary;
    assert_eq!(summary.states, [1, 1, 1, 1]);
    assert_eq!(summary.bandwidth, Some(2_287_500.0));
    assert_eq!(summary.origin_ratio, Some(191_250.0 / 807_500.0));
    // Of no domain at all nothing is known.
    let nothing = View::new(&status, &query("q=nothing")).summary;
    assert_eq!((nothing.bandwidth, nothing.origin_ratio), (None, None));
}

#[test]
fn domains_are_ordered_filtered_and_divided_into_pages() {
    let status = status();
    for (text, expected) in [
        ("", "abcd"),
        ("order=desc", "dcba"),
        ("sort=bandwidth", "bacd"),
        // What is not known stands last in either direction.
        ("sort=bandwidth&order=asc", "abcd"),
        ("sort=flow", "abcd"),
        ("sort=origin_ratio&order=asc", "abcd"),
        ("sort=age", "cabd"),
        ("sort=age&order=asc", "abcd"),
        ("sort=state", "bcda"),
        ("sort=state&order=asc", "adcb"),
        ("q=C.EXAM", "c"),
        ("q=nothing", ""),
        ("state=failing", "b"),
        ("state=up&q=b", ""),
        ("limit=3", "abc"),
        ("limit=3&offset=3", "d"),
        ("sort=age&limit=1&offset=1", "a"),
        ("offset=18446744073709551615", ""),
    ] {
        assert_eq!(order(&status, text), expected, "{text}");
    }
    for (text, matched, next) in [
        ("", 4, None),
        ("limit=3", 4, Some("/?limit=3&offset=3")),
        ("limit=3&offset=3", 4, None),
        ("limit=1&q=c.e", 1, None),
        ("state=up", 1, None),
        ("offset=9", 4, None),
    ] {
        let view = View::new(&status, &query(text));
        assert_eq!(view.matched, matched, "{text}");
        let link = view.next(&query(text)).map(|next| next.link("/"));
        assert_eq!(link.as_deref(), next, "{text}");
    }
}

#[test]
fn the_small_lines_span_the_same_settled_windows() {
    let status = status();
    let view = View::new(&status, &query(""));
    let recent = view.recent(row(&view, "a"), Field::Bandwidth);
    // 11:10 to 11:55, of which 11:45 and 11:55 are known.
    let mut expected = vec![None; 10];
    expected[7] = Some(381_250.0);
    expected[9] = Some(762_500.0);
    assert_eq!(recent, expected);
    assert_eq!(view.recent(row(&view, "d"), Field::Bandwidth), [None; 10]);
    assert_eq!(view.recent(row(&view, "b"), Field::OriginRatio), [None; 10]);
    let mut week = status.clone();
    Arc::make_mut(&mut week.snapshot).rule.horizon = TimeDelta::days(7);
    let view = View::new(&week, &query(""));
    assert_eq!(view.recent(row(&view, "a"), Field::Bandwidth).len(), 36);
}

#[test]
fn states_of_a_track() {
    let status = status();
    let cases: [(LastPoll, &[&str], StateKind); 7] = [
        (LastPoll::Usable, &["11:55"], StateKind::Up),
        // Nothing is settled yet.
        (LastPoll::Usable, &["12:00"], StateKind::NoData),
        (LastPoll::Empty, &[], StateKind::NoData),
        (LastPoll::Empty, &["11:55"], StateKind::NoData),
        (LastPoll::Empty, &["11:20"], StateKind::Stale),
        (LastPoll::Failed(Reason::Decode), &["11:20"], StateKind::Failing),
        (LastPoll::Never, &[], StateKind::NoData),
    ];
    for (last_poll, ends, kind) in cases {
        let mut status = status.clone();
        let readings: Vec<_> = ends
            .iter()
            .map(|end| (*end, &[(Field::Bandwidth, 1.0)][..]))
            .collect();
        let track = track(Endpoint::BandwidthFlow, last_poll, &readings);
        Arc::make_mut(&mut status.snapshot).entries = vec![entry("x.example.com", "x", [Some(track), None])];
        let view = View::new(&status, &query(""));
        assert_eq!(view.rows[0].state.kind(), kind, "{last_poll:?} {ends:?}");
    }
}

#[test]
fn one_of_several_shards_says_so() {
    let mut status = status();
    let page = |status: &Status, language| html(status, &query(""), language, &[]);
    assert!(!page(&status, Language::English).contains("shard"));
    status.shard = Shard::new(2, 4).unwrap();
    assert!(page(&status, Language::English).contains(" · shard 2/4 (counted from 0)</span>"));
    assert!(page(&status, Language::Chinese).contains(" · 分片 2/4（从 0 起计）</span>"));
    let document: Value = serde_json::from_slice(&json(&status, &query("")).unwrap()).unwrap();
    assert_eq!(document["shard"], serde_json::json!({"ordinal": 2, "count": 4}));
}

#[test]
fn the_page_tells_it_in_both_languages() {
    let status = status();
    let links = ["/metrics", "/api/status"];
    let english = html(&status, &query("sort=bandwidth"), Language::English, &links);
    let chinese = html(&status, &query(""), Language::Chinese, &links);
    for expected in [
        "<html lang=\"en\">",
        "up for 26 h",
        "<a href=\"/metrics\">/metrics</a>",
        "<a href=\"/?sort=bandwidth&amp;lang=zh\" lang=\"zh-Hans\" hreflang=\"zh-Hans\">中文</a>",
        "Bandwidth<b>18.3 Mbit/s</b>",
        "Origin ratio<b>23.68 %</b>",
        "<th scope=\"col\" class=\"n\" aria-sort=\"descending\"><a href=\"/?sort=bandwidth&amp;order=asc\">Bandwidth, Mbit/s ▼</a></th>",
        "<td class=\"name\">a.example.com<small class=\"quiet\">first</small></td><td><span class=\"state up\">up</span></td><td class=\"n\">6.10<svg",
        "<td class=\"n\">229 MB</td><td class=\"n\">23.62 %<svg",
        "<td class=\"n\">16 min ago</td><td class=\"error\"></td>",
        "<td class=\"error\">bandwidth_flow: no reply in time (timeout)</td>",
        "<time datetime=\"2026-11-22T12:05:30Z\" title=\"2026-11-22T12:05:30Z\">30 s ago</time>",
        ">in 20 s</time>",
        "<td>never</td><td>under way <span class=\"state no_data\">first round under way</span></td>",
        "<span class=\"nowrap\">timeout 3</span>, <span class=\"nowrap\">signature 1</span>",
        "failing batches: 2",
        ">5 min ago</time> ·</span> no reply from api.example.net within 10s</td>",
        "Rows 1 to 4 of 4",
        "As of 2026-11-22 12:06:00 UTC.",
        "A window counts as settled 10 min after its end (learned). Of 4000 windows",
        "changed more than 7 min after their end",
        "<a href=\"/api/status?sort=bandwidth\">",
    ] {
        assert!(english.contains(expected), "{expected} in {english}");
    }
    for expected in [
        "<html lang=\"zh-Hans\">",
        "已运行 26 小时",
        "带宽<b>18.3 Mbit/s</b>",
        "<span class=\"state stale\">已过期</span>",
        "<td class=\"n\">46 分钟前</td>",
        "bandwidth_flow: 响应超时 (timeout)",
        "第 1 至 4 行，共 4 行",
    ] {
        assert!(chinese.contains(expected), "{expected} in {chinese}");
    }
    for page in [&english, &chinese] {
        assert_well_formed(page);
    }
}

#[test]
fn links_keep_what_was_asked_for() {
    let page = html(
        &status(),
        &query("q=EXAMPLE&limit=1&offset=1&lang=en"),
        Language::English,
        &[],
    );
    for expected in [
        "<input type=\"hidden\" name=\"limit\" value=\"1\"><input type=\"hidden\" name=\"lang\" value=\"en\"><input type=\"search\" name=\"q\" value=\"example\"",
        "<a rel=\"prev\" href=\"/?q=example&amp;limit=1&amp;lang=en\">",
        "<a rel=\"next\" href=\"/?q=example&amp;limit=1&amp;offset=2&amp;lang=en\">",
        "<a class=\"tile bad\" href=\"/?q=example&amp;state=failing&amp;limit=1&amp;lang=en\">failing<b>1</b></a>",
        "<a href=\"/?limit=1&amp;lang=en\">Show all</a>",
    ] {
        assert!(page.contains(expected), "{expected} in {page}");
    }
}

proptest! {
    /// Nothing that an account is named, a provider says or a reader types becomes markup.
    #[test]
    fn foreign_text_never_becomes_markup(
        account in "[ -~\u{202e}]{0,20}|<script>|\" onload=\"x",
        message in "[ -~\n]{0,40}|</td><script src=//x>|<!--",
        part in "[ -~]{0,20}|\"><img src=x>",
    ) {
        let mut status = status();
        status.endpoints[0].account = AccountName::new(&account);
        status.endpoints[1].last_failure = Some((at(NOW), failure(Reason::ApiError, &message)));
        let query = Query { part, ..query("") };
        for language in Language::ALL {
            let page = html(&status, &query, language, &["/metrics"]);
            assert_well_formed(&page);
            prop_assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<!--"));
        }
        let json: Value = serde_json::from_slice(&json(&status, &query).unwrap()).unwrap();
        prop_assert_eq!(&json["pollers"][0]["account"], &Value::from(account));
        prop_assert_eq!(&json["pollers"][1]["last_failure"]["message"], &Value::from(message));
    }
}

#[test]
fn json_is_in_base_units_and_leaves_unknown_values_null() {
    let status = status();
    let json: Value = serde_json::from_slice(&json(&status, &query("sort=age&limit=3")).unwrap()).unwrap();
    assert_eq!(json["time"], NOW);
    assert_eq!(json["uptime_seconds"], 93_784);
    assert_eq!(json["matched"], 4);
    assert_eq!(json["next"], "/api/status?sort=age&limit=3&offset=3");
    assert_eq!(json["summary"]["failing"], 1);
    assert_eq!(json["summary"]["bandwidth_bytes_per_second"], 2_287_500.0);
    assert_eq!(json["query"]["order"], "desc");
    let second = &json["pollers"][2];
    assert_eq!(
        second["failed_polls"],
        serde_json::json!({"timeout": 3, "signature": 1})
    );
    assert_eq!(second["last_success"], Value::Null);
    assert_eq!(second["last_failure"]["time"], "2026-11-22T12:01:00Z");
    let [c, a, b] = &json["domains"].as_array().unwrap()[..] else {
        panic!("three domains")
    };
    assert_eq!(
        (&c["domain"], &c["state"]),
        (&"c.example.com".into(), &"stale".into())
    );
    assert_eq!(
        (&c["bandwidth_bytes_per_second"], &c["window_age_seconds"]),
        (&Value::Null, &2_760.into())
    );
    assert_eq!(a["flow_bytes"], 228_750_000.0);
    assert_eq!(a["origin_ratio"], 0.2362);
    assert_eq!(a["edge_bandwidth_bytes_per_second"], 807_500.0);
    assert_eq!(a["endpoints"][0]["window_end"], "2026-11-22T11:55:00Z");
    assert_eq!(a["recent"]["newest_window_end"], "2026-11-22T11:55:00Z");
    assert_eq!(a["recent"]["bandwidth_bytes_per_second"][9], 762_500.0);
    assert_eq!(b["endpoints"][0]["reason"], "timeout");
}

#[test]
fn the_document_describes_every_field() {
    let text = include_str!("../../../docs/STATUS.md");
    let example = text
        .split("```json\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let documented: Value = serde_json::from_str(example).unwrap();
    let actual: Value = serde_json::from_slice(&json(&status(), &query("")).unwrap()).unwrap();
    assert_eq!(paths(&documented), paths(&actual));
    for parameter in ["q", "state", "sort", "order", "limit", "offset", "lang"] {
        assert!(text.contains(&format!("| `{parameter}` |")), "{parameter}");
    }
}

/// Every path to a member, `[]` for any place of a list; counts by reason are one member.
fn paths(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, all: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) if !path.ends_with("failed_polls") => {
                for (name, value) in members {
                    let path = format!("{path}.{name}");
                    walk(value, &path, all);
                    all.insert(path);
                }
            }
            Value::Array(items) => items
                .iter()
                .for_each(|item| walk(item, &format!("{path}[]"), all)),
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    walk(value, "", &mut all);
    all
}

/// Every element that is opened is closed, in order, and every attribute is quoted.
fn assert_well_formed(page: &str) {
    const VOID: [&str; 3] = ["meta", "input", "br"];
    let mut rest = page.strip_prefix("<!DOCTYPE html>").unwrap();
    let mut open: Vec<&str> = Vec::new();
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').unwrap();
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "before {rest:.60}");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "<{tag}>");
        assert_eq!(attributes.matches('"').count() % 2, 0, "<{tag}>");
        assert!(!attributes.contains('\''), "<{tag}>");
        if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
        if name == "style" {
            rest = &rest[rest.find("</style>").unwrap()..];
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
}

#[test]
fn discoveries_are_told_where_there_are_any() {
    let status = status();
    let english = html(&status, &query(""), Language::English, &[]);
    for expected in [
        "<h2>Discovery</h2>",
        "<td class=\"name\">first</td><td>1,234</td><td><time",
        "<td class=\"name\">second</td><td>–</td><td>never</td><td>under way</td>",
        "the list of domains has &lt;1000000000&gt; rows",
    ] {
        assert!(english.contains(expected), "{expected}: {english}");
    }
    assert!(html(&status, &query(""), Language::Chinese, &[]).contains("<h2>域名发现</h2>"));
    let document: Value = serde_json::from_slice(&json(&status, &query("")).unwrap()).unwrap();
    assert_eq!(
        document["discoveries"],
        serde_json::json!([
            {
                "account": "first",
                "domains": 1234,
                "last_success": "2026-11-22T12:00:00Z",
                "next_attempt": "2026-11-22T12:10:00Z",
                "last_failure": null,
            },
            {
                "account": "second",
                "domains": null,
                "last_success": null,
                "next_attempt": null,
                "last_failure": {
                    "time": "2026-11-22T12:01:00Z",
                    "message": "the list of domains has <1000000000> rows",
                },
            },
        ])
    );
    let without = Status {
        discoveries: Vec::new(),
        ..status
    };
    assert!(!html(&without, &query(""), Language::English, &[]).contains("Discovery"));
}
