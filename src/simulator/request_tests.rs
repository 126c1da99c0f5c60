//! The signature against vectors from elsewhere, and each status against a call that earns it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::simulator::options::OwnedDomain;

/// Makes a good call a wrong one.
type Change = fn(&mut Parameters);

const SECRET: &str = "e7a31b1c5ea0efa9aa2f29c6559f7d61";
/// `MD5("20161023jcloud_00" + SECRET)`, the input of both documents, section 2.
const SIGNATURE: &str = "a35685491fd80a80b40a718c3a5c5c56";

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn accounts() -> Accounts {
    let mut live = OwnedDomain::new(domain("play.live.com"));
    live.live_only = true;
    Accounts::new(&[SimulatedAccount {
        username: "jcloud_00".to_owned(),
        secret_key: SecretString::from(SECRET),
        domains: vec![
            OwnedDomain::new(domain("www.a.com")),
            OwnedDomain::new(domain("www.b.com")),
            live,
        ],
    }])
}

/// 2016-10-23 in Beijing, at this time of the day there.
fn at(hour: u32, minute: u32) -> DateTime<Utc> {
    chrono::NaiveDate::from_ymd_opt(2016, 10, 23)
        .unwrap()
        .and_hms_opt(hour, minute, 0)
        .unwrap()
        .and_local_timezone(FixedOffset::east_opt(8 * 3_600).unwrap())
        .unwrap()
        .to_utc()
}

fn judge_at(
    now: DateTime<Utc>,
    other_day: bool,
    endpoint: Endpoint,
    call: &Parameters,
) -> Result<Question, Refusal> {
    Rules {
        accounts: &accounts(),
        domain_limit: 2,
        time_zone: FixedOffset::east_opt(8 * 3_600).unwrap(),
        now,
        other_day,
    }
    .judge(endpoint, call)
}

fn judge(endpoint: Endpoint, call: &Parameters) -> Result<Question, Refusal> {
    judge_at(at(12, 3), false, endpoint, call)
}

fn good() -> Parameters {
    Parameters {
        username: "jcloud_00".to_owned(),
        signature: SIGNATURE.to_owned(),
        domain: "www.a.com,www.b.com".to_owned(),
        start_time: "2016-10-23 07:00".to_owned(),
        end_time: Some("2016-10-23 07:10".to_owned()),
        ..Parameters::default()
    }
}

#[test]
fn the_signature_is_that_of_the_documents_input() {
    assert_eq!(signature("20161023", "jcloud_00", SECRET), SIGNATURE);
}

#[test]
fn the_signature_equals_that_of_md5sum() {
    let mut md5sum = Command::new("md5sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("md5sum of coreutils");
    md5sum
        .stdin
        .take()
        .unwrap()
        .write_all(b"20240229user-1some secret")
        .unwrap();
    let output = md5sum.wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        printed.split_whitespace().next(),
        Some(&signature("20240229", "user-1", "some secret")[..])
    );
}

#[test]
fn a_good_call_gives_its_domains_and_both_ends_of_its_range() {
    let question = judge(Endpoint::OriginRatio, &good()).unwrap();
    assert_eq!(question.domains, [domain("www.a.com"), domain("www.b.com")]);
    // 07:00 and 07:10 in Beijing.
    assert_eq!(question.range.first.end_seconds(), 1_477_177_200);
    assert_eq!(question.range.last.end_seconds(), 1_477_177_800);
}

#[test]
fn blanks_as_in_the_documents_example_are_taken() {
    let call = Parameters {
        username: " jcloud_00 ".to_owned(),
        signature: format!(" {SIGNATURE} "),
        domain: " play.live.com ".to_owned(),
        start_time: "2016-10-23  07:01".to_owned(),
        end_time: None,
        ..Parameters::default()
    };
    let question = judge(Endpoint::BandwidthFlow, &call).unwrap();
    assert_eq!(question.domains, [domain("play.live.com")]);
    // From 07:05, the first end not before 07:01, to 12:00, the last before now.
    assert_eq!(question.range.first.end_seconds(), 1_477_177_500);
    assert_eq!(question.range.last.end_seconds(), 1_477_195_200);
}

#[test]
fn a_time_in_which_no_window_ends_gives_no_window() {
    let call = Parameters {
        start_time: "2016-10-23 07:01".to_owned(),
        end_time: Some("2016-10-23 07:04".to_owned()),
        ..good()
    };
    assert_eq!(judge(Endpoint::OriginRatio, &call).unwrap().range.count(), 0);
}

#[test]
fn each_wrong_call_earns_its_status() {
    let (flow, ratio) = (Endpoint::BandwidthFlow, Endpoint::OriginRatio);
    let table: [(Endpoint, i64, Change); 21] = [
        (ratio, 2, |call| call.username.clear()),
        (ratio, 3, |call| call.signature.clear()),
        (ratio, 4, |call| call.domain.clear()),
        (ratio, 4, |call| {
            call.domain = "a b.com".to_owned();
        }),
        (ratio, 7, |call| {
            call.signature = SIGNATURE.to_uppercase();
        }),
        (ratio, 7, |call| {
            call.signature = "f7e472560b470a8d1892ea57626390d6".to_owned();
        }),
        (ratio, 12, |call| call.start_time.clear()),
        (ratio, 13, |call| {
            call.start_time = "2016-10-23".to_owned();
        }),
        (ratio, 13, |call| {
            call.start_time = "2016-10-23 7:00".to_owned();
        }),
        (ratio, 13, |call| {
            call.start_time = "2016-10-23 07:00:00".to_owned();
        }),
        (ratio, 13, |call| {
            call.start_time = "2016-13-23 07:00".to_owned();
        }),
        (ratio, 14, |call| {
            call.end_time = Some("2016-10-23T07:10".to_owned());
        }),
        (ratio, 15, |call| {
            call.domain = "www.a.com,www.c.com".to_owned();
        }),
        (ratio, 15, |call| {
            call.domain = "www.a.com,play.live.com".to_owned();
        }),
        (flow, 15, |call| {
            call.domain = "www.c.com".to_owned();
        }),
        (ratio, 19, |call| {
            call.start_time = "2016-10-23 07:11".to_owned();
        }),
        (ratio, 20, |call| {
            call.username = "jcloud_01".to_owned();
        }),
        (ratio, 22, |call| {
            call.domain = "www.a.com,www.b.com,play.live.com".to_owned();
        }),
        (ratio, 42, |call| {
            call.start_time = "2016-10-16 07:09".to_owned();
        }),
        (flow, 45, |call| {
            call.start_time = "2016-09-23 07:09".to_owned();
        }),
        // What is just allowed, so that the limits above are exact.
        (flow, 0, |call| {
            call.start_time = "2016-09-23 07:10".to_owned();
        }),
    ];
    for (row, (endpoint, status, change)) in table.into_iter().enumerate() {
        let mut call = good();
        change(&mut call);
        let answered = judge(endpoint, &call).err().map_or(0, |refusal| refusal.0);
        assert_eq!(answered, status, "row {row}");
    }
    let week = Parameters {
        start_time: "2016-10-16 07:10".to_owned(),
        ..good()
    };
    assert!(judge(ratio, &week).is_ok());
}

#[test]
fn the_day_of_the_signature_is_that_of_the_providers_zone() {
    for (now, taken) in [
        (at(0, 0), true),
        (at(23, 59), true),
        (at(0, 0) - TimeDelta::seconds(1), false),
        (at(23, 59) + TimeDelta::minutes(1), false),
    ] {
        let flow = Endpoint::BandwidthFlow;
        assert_eq!(judge_at(now, false, flow, &good()).is_ok(), taken, "{now}");
        assert_eq!(judge_at(now, true, flow, &good()).is_ok(), !taken, "{now}");
    }
}

#[test]
fn domains_come_and_go() {
    let mut accounts = accounts();
    let new = domain("new.a.com");
    let asks = |accounts: &Accounts, endpoint| {
        Rules {
            accounts,
            domain_limit: 2,
            time_zone: FixedOffset::east_opt(8 * 3_600).unwrap(),
            now: at(12, 0),
            other_day: false,
        }
        .judge(
            endpoint,
            &Parameters {
                domain: "new.a.com".to_owned(),
                ..good()
            },
        )
        .is_ok()
    };
    assert!(!asks(&accounts, Endpoint::OriginRatio));
    assert!(accounts.add_domain("jcloud_00", &new, false));
    assert!(asks(&accounts, Endpoint::OriginRatio));
    assert!(accounts.add_domain("jcloud_00", &new, true));
    assert!(!asks(&accounts, Endpoint::OriginRatio));
    assert!(asks(&accounts, Endpoint::BandwidthFlow));
    assert!(accounts.remove_domain("jcloud_00", &new));
    assert!(!accounts.remove_domain("jcloud_00", &new));
    assert!(!asks(&accounts, Endpoint::BandwidthFlow));
    assert!(!accounts.add_domain("nobody", &new, false));
}

#[test]
fn a_list_is_signed_and_holds_the_static_domains_by_name() {
    let mut accounts = accounts();
    assert!(accounts.add_domain("jcloud_00", &domain("aaa.a.com"), false));
    assert!(accounts.add_domain("jcloud_00", &domain("live.a.com"), true));
    let rules = Rules {
        accounts: &accounts,
        domain_limit: 0,
        time_zone: FixedOffset::east_opt(8 * 3_600).unwrap(),
        now: at(12, 3),
        other_day: false,
    };
    let listed = rules.judge_list(&good()).unwrap();
    assert_eq!(listed.first(), Some(&domain("aaa.a.com")));
    assert!(listed.is_sorted() && listed.contains(&domain("www.a.com")));
    assert!(!listed.contains(&domain("live.a.com")));
    for (username, signature, refusal) in [
        ("jcloud_00", "0", Refusal(7)),
        ("jcloud_00", "", Refusal(3)),
        ("nobody", SIGNATURE, Refusal(20)),
        ("", SIGNATURE, Refusal(2)),
    ] {
        let call = Parameters {
            username: username.to_owned(),
            signature: signature.to_owned(),
            ..Parameters::default()
        };
        assert_eq!(rules.judge_list(&call), Err(refusal), "{username} {signature}");
    }
}
