//! `check --live` says what is wrong, and what to do, for each kind of trouble.

use std::time::Duration;

use chrono::{FixedOffset, TimeDelta, Timelike as _};
use jdcloud_cdn_exporter::clock::{Clock, ManualClock};
use jdcloud_cdn_exporter::model::{Endpoint, Window};
use jdcloud_cdn_exporter::simulator::{Fault, Rule, Simulator, SimulatorOptions, Target};

use crate::support::{
    SECRET_KEY, Setup, USERNAME, assert_no_signature, check_file, domain, options, simulator,
};

#[tokio::test(flavor = "multi_thread")]
async fn all_good_is_told_with_the_data_and_code_0() {
    let simulator = simulator().await;
    let newest = || {
        let now = simulator.clock().now();
        let mut window = Window::newest_ended(now);
        while simulator.visible(&domain("www.a.com"), window).is_none() {
            window = window.minus(1);
        }
        window.end().format("%Y-%m-%d %H:%M UTC").to_string()
    };
    let before = newest();
    let run = Setup::of(simulator.base_url()).check().await;
    let after = newest();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.out
            .starts_with("accounts: 1, domains: 3, calls per minute: 4.0\n"),
        "{run:?}"
    );
    for (endpoint, asked) in [
        ("bandwidth_flow", "1 of 3 domains in 1 call: www.a.com"),
        (
            "origin_ratio",
            "3 of 3 domains in 1 call: www.a.com, www.b.com, www.c.com",
        ),
    ] {
        let block = run.block(endpoint);
        assert!(block.contains(": good\n"), "{block}");
        assert!(block.contains(&format!("asked    {asked}\n")), "{block}");
        assert!(!block.contains("problem"), "{block}");
    }
    let block = run.block("bandwidth_flow");
    assert!(
        [before, after]
            .iter()
            .any(|end| block.contains(&format!("newest   window that ended {end}, "))),
        "{block}"
    );
    assert!(run.out.ends_with("\nall good: 2 checked\n"), "{run:?}");
    for endpoint in Endpoint::ALL {
        assert_eq!(simulator.request_count(endpoint), 1);
    }
    assert_no_signature(&simulator, &run);
}

/// A filter is judged by the first page of the list, and what it selects is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn discovery_tells_what_the_filter_selects_and_the_types() {
    let simulator = simulator().await;
    simulator.restyle_lists(|style| {
        style.kinds.insert(domain("www.b.com"), "图片".to_owned());
        style.others.push("*.a.com".to_owned());
    });
    let check = async |discover: &str| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("exporter.yaml");
        let text = format!(
            "api: {{base_url: \"{}\"}}\naccounts: [{{username: {USERNAME}, secret_key: {SECRET_KEY}, domains: \
             {{discover: {{{discover}}}}}}}]\n",
            simulator.base_url()
        );
        std::fs::write(&path, text).unwrap();
        check_file(&path, &["--live"], &[]).await
    };
    let run = check("exclude: ['^www[.]c']").await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.out.contains(
            "discovers every domain but not \"^www[.]c\", read at bandwidth_flow and origin_ratio: known"
        ),
        "{run:?}"
    );
    let block = run.block("queryDomains");
    for line in [
        ": good\n",
        "asked    the first page of the list in 1 call\n",
        "listed   4 domains in all, 4 on this page\n",
        "types    下载 (2), 图片 (1)\n",
        "matching 2 of 4: www.a.com, www.b.com\n",
        "skipped  1 rows that name no host name",
    ] {
        assert!(block.contains(line), "{line}: {block}");
    }
    assert!(
        run.block("origin_ratio")
            .contains("2 of 2 domains in 1 call: www.a.com, www.b.com"),
        "{run:?}"
    );
    assert!(run.out.ends_with("\nall good: 3 checked\n"), "{run:?}");

    let run = check("types: [download]").await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let block = run.block("queryDomains");
    assert!(
        block.contains("problem  the filter selects none of the account's domains"),
        "{block}"
    );

    simulator.faults().set(Target::List, Fault::Status(7));
    let run = check("").await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let block = run.block("queryDomains");
    assert!(
        block.contains("problem  wrong key: the signature is refused"),
        "{block}"
    );
    assert!(block.contains("in 3 calls"), "{block}");
}

/// Faults that strike one endpoint; the other stays good.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_one_endpoint_is_explained_and_the_other_stays_good() {
    let http = |code| Fault::HttpStatus {
        code,
        retry_after: None,
    };
    for (fault, what, remedy) in [
        (Fault::HtmlPage, "answers with a web page", "correct api.base_url"),
        (Fault::Hang, "no whole reply from 127.0.0.1:", "raise api.timeout"),
        (
            Fault::Drip(Duration::from_secs(1)),
            "within 2s",
            "a firewall that drops packets",
        ),
        (Fault::Redirect, "redirects (HTTP 302)", "https:// above all"),
        (http(502), "a fault at 127.0.0.1:", "again in some minutes"),
        (http(404), "no such API (HTTP 404)", "what stands before /api/"),
        (http(403), "(HTTP 403)", "proxy or gateway"),
        (
            http(429),
            "throttles this account",
            "lower api.max_requests_per_second",
        ),
        (Fault::CutOff, "the reply of 127.0.0.1:", "check again"),
        (Fault::EmptyBody, "is cut off", "check again"),
        (
            Fault::CloseBeforeReply,
            "closed the connection without a reply",
            "scheme and port",
        ),
        (
            Fault::ResetBeforeReply,
            "closed the connection without a reply",
            "scheme and port",
        ),
        (
            Fault::Oversize,
            "is larger than 33554432 bytes",
            "raise api.max_reply_bytes",
        ),
        (Fault::Status(8), "a fault at the provider", "support"),
        (Fault::Status(99), "does not document", "support"),
        (
            Fault::Status(2),
            "refuses the request's parameters",
            "api.time_zone",
        ),
    ] {
        let simulator = simulator().await;
        simulator.faults().set(Endpoint::OriginRatio, fault);
        let run = Setup {
            api: &[match fault {
                Fault::Hang | Fault::Drip(_) => "timeout: 2s",
                _ => "timeout: 20s",
            }],
            ..Setup::of(simulator.base_url())
        };
        let run = run.check().await;
        assert_eq!(run.code, Some(1), "{fault}: {run:?}");
        assert!(
            run.block("bandwidth_flow").contains(": good\n"),
            "{fault}: {run:?}"
        );
        let block = run.block("origin_ratio");
        assert!(block.contains(": NOT GOOD\n"), "{fault}: {block}");
        let line = |label| {
            let mut lines = block.lines().map(str::trim_start);
            lines.find(|line| line.starts_with(label)).unwrap_or_default()
        };
        assert!(line("problem").contains(what), "{fault}: {block}");
        assert!(line("remedy").contains(remedy), "{fault}: {block}");
        assert!(!line("detail").is_empty(), "{fault}: {block}");
        assert!(
            run.out.ends_with("not good: 1 of 2 checked\n"),
            "{fault}: {run:?}"
        );
        assert_eq!(simulator.request_count(Endpoint::OriginRatio), 1, "{fault}");
        assert_eq!(simulator.stray_requests(), 0, "{fault}");
        assert_no_signature(&simulator, &run);
        simulator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_without_a_usable_part_is_no_success() {
    let simulator = simulator().await;
    simulator
        .faults()
        .set(Endpoint::OriginRatio, Fault::DeepNesting(100_000));
    let run = Setup::of(simulator.base_url()).check().await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let block = run.block("origin_ratio");
    assert!(block.contains("answered 0 of 3 domains\n"), "{block}");
    assert!(
        block.contains("problem  nothing in the reply can be used: shape 1\n"),
        "{block}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_told_from_an_unknown_user() {
    let simulator = simulator().await;
    let run = Setup {
        secret_key: "another-made-up-key",
        ..Setup::of(simulator.base_url())
    };
    let run = run.check().await;
    assert_eq!(run.code, Some(1), "{run:?}");
    for endpoint in ["bandwidth_flow", "origin_ratio"] {
        let block = run.block(endpoint);
        assert!(
            block.contains("problem  wrong key: the signature is refused with the date of today"),
            "{block}"
        );
        assert!(block.contains("remedy   compare the secret key"), "{block}");
        assert!(block.contains("detail   status 7: "), "{block}");
    }
    assert_no_signature(&simulator, &run);

    let run = Setup {
        username: "nobody",
        ..Setup::of(simulator.base_url())
    };
    let run = run.check().await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.out
            .contains("problem  unknown user: the provider has none called nobody\n"),
        "{run:?}"
    );
    assert!(run.out.contains("remedy   correct username"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_domain_that_the_provider_refuses_is_named() {
    let simulator = simulator().await;
    let run = Setup {
        domains: vec!["www.a.com", "live.a.com", "www.c.com", "www.b.com"],
        ..Setup::of(simulator.base_url())
    };
    let run = run.check().await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.block("bandwidth_flow").contains(": good\n"), "{run:?}");
    let block = run.block("origin_ratio");
    assert!(
        block.contains(
            "problem  the provider refuses live.a.com: not this account's, or unknown to origin_ratio\n"
        ),
        "{block}"
    );
    assert!(block.contains("\"endpoints: [bandwidth_flow]\""), "{block}");
    assert!(block.contains("answered 3 of 4 domains\n"), "{block}");
    assert_eq!(simulator.request_count(Endpoint::OriginRatio), 5);
    assert_no_signature(&simulator, &run);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_too_long_is_a_note() {
    let simulator = Simulator::start(SimulatorOptions {
        origin_ratio_limit: 2,
        ..options(Clock::System)
    })
    .await
    .unwrap();
    let run = Setup::of(simulator.base_url()).check().await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let block = run.block("origin_ratio");
    assert!(block.contains("answered 3 of 3 domains\n"), "{block}");
    assert!(
        block.contains("remedy   set origin_ratio_batch: 2 for this account"),
        "{block}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_told_by_how_much() {
    for (seconds, also, said) in [
        (
            9 * 3_600,
            None,
            "this machine's clock is 9h behind the provider's",
        ),
        (
            -9 * 3_600,
            None,
            "this machine's clock is 9h ahead of the provider's",
        ),
        (
            9 * 3_600,
            Some(Fault::Status(7)),
            "this machine's clock is 9h behind the provider's",
        ),
    ] {
        let simulator = simulator().await;
        let faults = simulator.faults();
        faults.add(Endpoint::OriginRatio, Rule::always(Fault::ClockSkew(seconds)));
        if let Some(fault) = also {
            faults.add(Endpoint::OriginRatio, Rule::always(fault));
        }
        let run = Setup::of(simulator.base_url()).check().await;
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.block("bandwidth_flow").contains(": good\n"), "{run:?}");
        let block = run.block("origin_ratio");
        assert!(block.contains(&format!("problem  {said}; it shows ")), "{block}");
        assert!(block.contains("remedy   set this machine's clock"), "{block}");
        assert_eq!(block.contains("wrong key"), also.is_some(), "{block}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_day_off_clears_the_key() {
    let tomorrow = Clock::System.now() + TimeDelta::days(1);
    let clock = Clock::Manual(ManualClock::new(tomorrow));
    let simulator = Simulator::start(options(clock)).await.unwrap();
    let run = Setup::of(simulator.base_url()).check().await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let block = run.block("origin_ratio");
    assert!(
        block.contains("this machine's clock is 1day behind the provider's"),
        "{block}"
    );
    assert!(
        block.contains("the key is right, but the provider takes the signature of "),
        "{block}"
    );
    assert!(!block.contains("wrong key"), "{block}");
    assert_no_signature(&simulator, &run);
}

/// One of two zones in which it is neither close to midnight nor will be soon.
fn calm_zone() -> FixedOffset {
    [8, -4]
        .into_iter()
        .map(|hours| FixedOffset::east_opt(hours * 3_600).unwrap())
        .find(|zone| (4..20).contains(&Clock::System.now().with_timezone(zone).hour()))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_zone_whose_day_is_another_is_told() {
    let zone = calm_zone();
    let simulator = Simulator::start(SimulatorOptions {
        time_zone: zone,
        ..options(Clock::System)
    })
    .await
    .unwrap();
    for endpoint in Endpoint::ALL {
        simulator.faults().set(endpoint, Fault::OtherDay);
    }
    let line = format!("time_zone: \"{zone}\"");
    let run = Setup {
        api: &[&line],
        ..Setup::of(simulator.base_url())
    };
    let run = run.check().await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let block = run.block("origin_ratio");
    assert!(block.contains("problem  the key is right, but"), "{block}");
    assert!(
        block.contains(&format!("the day in the time zone {zone}\n")),
        "{block}"
    );
    assert!(block.contains("remedy   correct api.time_zone"), "{block}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_zone_whose_hours_are_others_is_told() {
    let zone = calm_zone();
    let simulator = Simulator::start(SimulatorOptions {
        time_zone: zone,
        ..options(Clock::System)
    })
    .await
    .unwrap();
    let wrong = FixedOffset::east_opt(zone.local_minus_utc() - 2 * 3_600).unwrap();
    let line = format!("time_zone: \"{wrong}\"");
    let run = Setup {
        api: &[&line],
        ..Setup::of(simulator.base_url())
    };
    let run = run.check().await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let block = run.block("origin_ratio");
    assert!(
        block.contains("windows in the reply lie outside the hour that was asked for\n"),
        "{block}"
    );
    assert!(
        block.contains(&format!("remedy   correct api.time_zone, now {wrong}: ")),
        "{block}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_or_nowhere_is_told() {
    let simulator = simulator().await;
    simulator.go_down().await;
    let run = Setup::of(simulator.base_url()).check().await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.out
            .contains("is not reachable: the connection is refused, so nothing listens there"),
        "{run:?}"
    );

    let run = Setup::of("http://cdn.invalid".to_owned());
    let run = Setup {
        api: &["allow_plain_http: true"],
        ..run
    };
    let run = run.check().await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.out.contains("problem  the host cdn.invalid has no address"),
        "{run:?}"
    );
    assert!(run.out.contains("getent hosts cdn.invalid"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_work_is_told() {
    let simulator = simulator().await;
    // The simulator knows no CONNECT, so it is a proxy that refuses.
    let proxy = simulator.base_url();
    let run = Setup {
        environment: &[("HTTPS_PROXY", &proxy)],
        ..Setup::of("https://cdn.invalid".to_owned())
    };
    let run = run.check().await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.out
            .contains("problem  the proxy that the environment names does not connect to cdn.invalid"),
        "{run:?}"
    );
    assert!(run.out.contains("NO_PROXY=cdn.invalid"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_refused_and_once_allowed_a_note() {
    let simulator = simulator().await;
    // This address reaches the same machine, but is no loopback address.
    let base_url = format!("http://0.0.0.0:{}", simulator.address().port());
    let refused = Setup::of(base_url.clone()).check().await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused
            .err
            .contains("api.base_url: sends the signature, which is valid for a day, in the clear"),
        "{refused:?}"
    );
    assert_eq!(simulator.request_count(Endpoint::OriginRatio), 0);

    let allowed = Setup {
        api: &["allow_plain_http: true"],
        ..Setup::of(base_url)
    };
    let allowed = allowed.check().await;
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
    assert!(
        allowed
            .out
            .contains("\nnote: api.allow_plain_http lets the signature"),
        "{allowed:?}"
    );
}
