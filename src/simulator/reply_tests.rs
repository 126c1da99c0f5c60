//! Replies against the literal examples of the two documents, and each habit against a literal reply.

use serde_json::{Value, json};

use super::*;
use crate::simulator::traffic::{Effect, Script};

/// 2018-06-02 17:15 in Beijing.
const FIRST: i64 = 1_527_930_900;

fn window(unix: i64) -> Window {
    Window::ending_at(unix).unwrap()
}

fn fixed(domain: &str, unix: i64, bandwidth_mbps: f64, origin_mbps: f64) -> Script {
    Script {
        domain: Domain::parse(domain).unwrap(),
        first: window(unix),
        last: window(unix),
        effect: Effect::Fixed {
            bandwidth_mbps,
            origin_mbps,
        },
    }
}

fn question(endpoint: Endpoint, domains: &[&str], first: i64, last: i64) -> Question {
    Question {
        endpoint,
        domains: domains.iter().map(|name| Domain::parse(name).unwrap()).collect(),
        range: WindowRange {
            first: window(first),
            last: window(last),
        },
    }
}

fn style(habits: &[Habit]) -> Style {
    Style {
        time_zone: FixedOffset::east_opt(8 * 3_600).unwrap(),
        idle_ratio: IdleRatio::Dash,
        origin_ratio_label: LabelledBy::End,
        habits: habits.iter().fold(Habits::NONE, |all, habit| all.with(*habit)),
    }
}

/// Two bins with 8 and 16 Mbps, a quarter of it from the origin; asked for an hour later.
fn two_bins(endpoint: Endpoint, habits: &[Habit]) -> String {
    let mut traffic = Traffic::prompt(1);
    traffic.scripts = vec![
        fixed("a.com", FIRST, 8.0, 2.0),
        fixed("a.com", FIRST + 300, 16.0, 4.0),
    ];
    let question = question(endpoint, &["a.com"], FIRST, FIRST + 300);
    render(&question, &traffic, &style(habits), window(FIRST + 3_600).end())
}

const FLOW: &str = r#"{"status":0,"msg":"成功","data":[{"2018-06-02 17:15":{"a.com":{"bandwidth":8,"flow":300}}},{"2018-06-02 17:20":{"a.com":{"bandwidth":16,"flow":600}}}]}"#;
const RATIO: &str = r#"{"status":0,"msg":"成功","data":[{"domain":"a.com","data":[{"time":1527930900,"originRatio":25,"originBandwidth":2,"bandwidth":8},{"time":1527931200,"originRatio":25,"originBandwidth":4,"bandwidth":16}]}]}"#;

#[test]
fn bandwidth_flow_prints_the_example_of_its_document() {
    let name = "play.live.com";
    let mut traffic = Traffic::prompt(1);
    // Exact figures that round to those of the example, flow included.
    traffic.scripts = vec![
        fixed(name, FIRST, 6.1035, 0.0),
        fixed(name, FIRST + 300, 122.070_312_5, 0.0),
        fixed(name, FIRST + 600, 122.070_312_5, 0.0),
        fixed(name, FIRST + 900, 115.966_7, 0.0),
    ];
    let question = question(Endpoint::BandwidthFlow, &[name], FIRST, FIRST + 900);
    let reply = render(
        &question,
        &traffic,
        &style(&[Habit::BlanksAroundNames]),
        window(FIRST + 900).end(),
    );
    let example = json!([
        {"2018-06-02 17:15": {" play.live.com ": {"bandwidth": 6.1, "flow": 228.88}}},
        {"2018-06-02 17:20": {" play.live.com ": {"bandwidth": 122.07, "flow": 4577.64}}},
        {"2018-06-02 17:25": {" play.live.com ": {"bandwidth": 122.07, "flow": 4577.64}}},
        {"2018-06-02 17:30": {" play.live.com ": {"bandwidth": 115.97, "flow": 4348.75}}},
    ]);
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(reply["status"], 0);
    assert_eq!(reply["data"], example);
}

#[test]
fn origin_ratio_prints_the_rows_of_the_example_of_its_document() {
    let name = "www.a.com";
    let mut traffic = Traffic::prompt(1);
    traffic.scripts = vec![
        fixed(name, 1_513_540_200, 6.4645, 1.527),
        fixed(name, 1_513_588_500, 13.5, 0.81),
    ];
    let rows = [
        r#"{"time":1513540200,"originRatio":23.62,"originBandwidth":1.53,"bandwidth":6.46}"#,
        r#"{"time":1513588500,"originRatio":6,"originBandwidth":0.81,"bandwidth":13.5}"#,
    ];
    for (unix, row) in [1_513_540_200, 1_513_588_500].into_iter().zip(rows) {
        let question = question(Endpoint::OriginRatio, &[name], unix, unix);
        let reply = render(&question, &traffic, &style(&[]), window(unix + 3_600).end());
        assert_eq!(
            reply,
            format!(r#"{{"status":0,"msg":"成功","data":[{{"domain":"www.a.com","data":[{row}]}}]}}"#)
        );
    }
}

#[test]
fn plain_replies_have_both_ends_of_the_range_and_local_labels() {
    assert_eq!(two_bins(Endpoint::BandwidthFlow, &[]), FLOW);
    assert_eq!(two_bins(Endpoint::OriginRatio, &[]), RATIO);
}

#[test]
fn labels_follow_the_time_zone() {
    let question = question(Endpoint::BandwidthFlow, &["a.com"], FIRST, FIRST);
    let west = Style {
        time_zone: FixedOffset::west_opt(10 * 3_600).unwrap(),
        ..style(&[])
    };
    let reply = render(&question, &Traffic::prompt(1), &west, window(FIRST).end());
    assert!(reply.contains(r#"{"2018-06-01 23:15":{"#), "{reply}");
}

#[test]
fn labels_of_origin_ratio_may_name_starts_in_requests_as_in_replies() {
    let start = Style {
        origin_ratio_label: LabelledBy::Start,
        ..style(&[])
    };
    let traffic = Traffic {
        scripts: vec![fixed("a.com", FIRST, 8.0, 2.0)],
        ..Traffic::prompt(1)
    };
    let asked = |endpoint, label| {
        let question = question(endpoint, &["a.com"], label, label);
        render(&question, &traffic, &start, window(FIRST).end())
    };
    let reply = asked(Endpoint::OriginRatio, FIRST - 300);
    assert!(
        reply.contains(r#"[{"time":1527930600,"originRatio":25,"originBandwidth":2,"bandwidth":8}]"#),
        "{reply}"
    );
    // The window that starts now has not ended.
    assert!(asked(Endpoint::OriginRatio, FIRST).contains(r#""data":[]"#));
    let reply = asked(Endpoint::BandwidthFlow, FIRST);
    assert!(
        reply.contains(r#"{"2018-06-02 17:15":{"a.com":{"bandwidth":8"#),
        "{reply}"
    );
}

#[test]
fn windows_that_have_not_appeared_are_left_out() {
    let mut traffic = Traffic::prompt(1);
    traffic.scripts = vec![Script {
        effect: Effect::AppearsAfter(300),
        ..fixed("a.com", FIRST, 0.0, 0.0)
    }];
    let now = window(FIRST).end();
    let ask = |endpoint, domains: &[&str]| {
        render(
            &question(endpoint, domains, FIRST, FIRST),
            &traffic,
            &style(&[]),
            now,
        )
    };
    assert_eq!(
        ask(Endpoint::BandwidthFlow, &["a.com"]),
        r#"{"status":0,"msg":"成功","data":[]}"#
    );
    assert_eq!(
        ask(Endpoint::OriginRatio, &["a.com"]),
        r#"{"status":0,"msg":"成功","data":[{"domain":"a.com","data":[]}]}"#
    );
    let both: Value = serde_json::from_str(&ask(Endpoint::BandwidthFlow, &["a.com", "b.com"])).unwrap();
    let bin = both["data"][0]["2018-06-02 17:15"].as_object().unwrap();
    assert_eq!(bin.keys().collect::<Vec<_>>(), ["b.com"]);
}

#[test]
fn at_zero_bandwidth_the_ratio_is_printed_as_told() {
    let mut traffic = Traffic::prompt(1);
    traffic.scripts = vec![fixed("a.com", FIRST, 0.0, 0.0)];
    let question = question(Endpoint::OriginRatio, &["a.com"], FIRST, FIRST);
    for (idle_ratio, ratio) in [
        (IdleRatio::Dash, r#","originRatio":"-""#),
        (IdleRatio::Null, r#","originRatio":null"#),
        (IdleRatio::Missing, ""),
    ] {
        let style = Style {
            idle_ratio,
            ..style(&[])
        };
        let reply = render(&question, &traffic, &style, window(FIRST).end());
        let row = format!(r#"[{{"time":1527930900{ratio},"originBandwidth":0,"bandwidth":0}}]"#);
        assert!(reply.contains(&row), "{reply}");
    }
    let reply = render(
        &question,
        &traffic,
        &style(&[Habit::IdleBinsLeftOut]),
        window(FIRST).end(),
    );
    assert!(reply.contains(r#""data":[]"#), "{reply}");
}

#[test]
fn a_refusal_has_its_status_a_chinese_message_and_an_empty_object() {
    assert_eq!(
        refusal(7, Habits::NONE),
        r#"{"status":7,"msg":"签名错误","data":{}}"#
    );
    assert_eq!(
        refusal(20, Habits::NONE.with(Habit::MsgEmpty)),
        r#"{"status":20,"msg":"","data":{}}"#
    );
}

/// For each habit: what it makes of a part of the plain reply. Parts that are none are added ones.
#[test]
fn each_habit_changes_what_its_name_says_and_nothing_else() {
    for (habit, plain, from, to) in [
        (
            Habit::NumbersInQuotes,
            FLOW,
            "8,\"flow\":300",
            "\"8\",\"flow\":\"300\"",
        ),
        (Habit::BlanksAroundNames, RATIO, "\"a.com\"", "\" a.com \""),
        (Habit::UpperCaseNames, RATIO, "\"a.com\"", "\"A.COM\""),
        (Habit::LabelsWithTwoBlanks, FLOW, "-02 17", "-02  17"),
        (Habit::MsgAbsent, FLOW, "\"msg\":\"成功\",", ""),
        (Habit::MsgEmpty, RATIO, "成功", ""),
        (Habit::FieldNull, RATIO, "Ratio\":25", "Ratio\":null"),
        (Habit::FieldDash, RATIO, "Ratio\":25", "Ratio\":\"-\""),
        (Habit::FieldNan, RATIO, "Ratio\":25", "Ratio\":\"NaN\""),
        (Habit::FieldBareNan, RATIO, "Ratio\":25", "Ratio\":NaN"),
        (Habit::FieldNegative, RATIO, "Ratio\":25", "Ratio\":-1"),
        (Habit::FieldMissing, RATIO, "\"originRatio\":25,", ""),
        (Habit::IdleBinsLeftOut, RATIO, "", ""),
    ] {
        let endpoint = if plain == FLOW {
            Endpoint::BandwidthFlow
        } else {
            Endpoint::OriginRatio
        };
        let expected = match habit {
            Habit::NumbersInQuotes => plain
                .replace(from, to)
                .replace("16,\"flow\":600", "\"16\",\"flow\":\"600\""),
            _ => plain.replace(from, to),
        };
        assert_eq!(two_bins(endpoint, &[habit]), expected, "{}", habit.name());
    }
}

#[test]
fn habits_that_change_the_shape() {
    let flow = |habit| two_bins(Endpoint::BandwidthFlow, &[habit]);
    assert_eq!(flow(Habit::DataObject), r#"{"status":0,"msg":"成功","data":{}}"#);
    assert_eq!(flow(Habit::DataArray), r#"{"status":0,"msg":"成功","data":[]}"#);
    assert_eq!(flow(Habit::DataNull), r#"{"status":0,"msg":"成功","data":null}"#);
    let quoted = flow(Habit::StatusQuotedAndLast);
    assert!(quoted.starts_with(r#"{"msg":"成功","data":[{"2018"#), "{quoted}");
    assert!(quoted.ends_with(r#"}}}],"status":"0"}"#), "{quoted}");
    let turned = two_bins(Endpoint::OriginRatio, &[Habit::DataBeforeDomain]);
    assert!(turned.contains(r#""data":[{"data":[{"time""#), "{turned}");
    assert!(turned.ends_with(r#"],"domain":"a.com"}]}"#), "{turned}");
}

/// The bins of a reply in order: time and bandwidth.
fn printed_bins(habit: Habit) -> Vec<(i64, f64)> {
    let reply: Value = serde_json::from_str(&two_bins(Endpoint::OriginRatio, &[habit])).unwrap();
    let rows = reply["data"][0]["data"].as_array().unwrap();
    rows.iter()
        .map(|row| {
            (
                row["time"].as_i64().unwrap() - FIRST,
                row["bandwidth"].as_f64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn habits_that_reorder_and_repeat_bins() {
    assert_eq!(printed_bins(Habit::ReversedOrder), [(300, 16.0), (0, 8.0)]);
    assert_eq!(
        printed_bins(Habit::DuplicatedBins),
        [(0, 8.0), (0, 8.0), (300, 16.0), (300, 16.0)]
    );
    assert_eq!(
        printed_bins(Habit::ContradictoryBins),
        [(0, 4.0), (0, 8.0), (300, 8.0), (300, 16.0)]
    );
}

#[test]
fn habits_that_add_bins_and_domains_leave_the_asked_ones_alone() {
    let times = |habit| {
        printed_bins(habit)
            .into_iter()
            .map(|(time, _)| time)
            .collect::<Vec<_>>()
    };
    assert_eq!(times(Habit::BinsOutsideRange), [-300, -600, 600, 900, 0, 300]);
    assert_eq!(times(Habit::FutureBins), [0, 300, 3_900, 4_200]);
    for habit in [Habit::BinsOutsideRange, Habit::FutureBins] {
        let asked: Vec<_> = printed_bins(habit)
            .into_iter()
            .filter(|(time, _)| (0..=300).contains(time))
            .collect();
        assert_eq!(asked, [(0, 8.0), (300, 16.0)]);
    }
    let reply = two_bins(Endpoint::OriginRatio, &[Habit::DomainsNeverAskedFor]);
    let reply: Value = serde_json::from_str(&reply).unwrap();
    let plain: Value = serde_json::from_str(RATIO).unwrap();
    assert_eq!(reply["data"][0]["domain"], "never-asked-for.example.net");
    assert_eq!(reply["data"][1], plain["data"][0]);
}
