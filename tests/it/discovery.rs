//! Domains that the provider lists: they come, go, are filtered and counted, and nothing half-read is used.

use std::time::Duration;

use jdcloud_cdn_exporter::discovery::Pace;
use jdcloud_cdn_exporter::model::{Domain, Endpoint};
use jdcloud_cdn_exporter::simulator::{Fault, OwnedDomain, Rule, SimulatedAccount, Target, Total};

use crate::fixture::{Running, SECRET_KEY, Setup, USERNAME, millis};
use crate::truth::{self, Samples, series};

const DOMAINS: [&str; 3] = ["img.a.com", "new.a.com", "www.a.com"];

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// A configuration whose one account has these lines under `domains`.
fn with_domains(base_url: &str, account: &str, domains: &str) -> String {
    format!(
        "api: {{base_url: \"{base_url}\", max_requests_per_second: 1000}}\naccounts:\n  - username: {USERNAME}\n    \
         secret_key: {SECRET_KEY}\n    {account}\n    domains:\n      {domains}\n"
    )
}

fn everything(base_url: &str) -> String {
    with_domains(base_url, "max_domains: 10", "discover: {}")
}

fn discovering(domains: &[&str]) -> Setup {
    let mut setup = Setup::of(domains);
    setup.text = Some(everything);
    setup
}

fn of_account(name: &str) -> String {
    series(&format!("jdcloud_cdn_exporter_{name}"), &[("account", USERNAME)])
}

fn failures(reason: &str) -> String {
    series(
        "jdcloud_cdn_exporter_discovery_failures_total",
        &[("reason", reason)],
    )
}

fn has(samples: &Samples, series: &str, value: f64) -> bool {
    samples
        .get(series)
        .is_some_and(|found| (found - value).abs() < 0.5)
}

/// Waits until two attempts have ended from now on: the second one began after now.
async fn attempted_anew(exporter: &Running) {
    let before = exporter.simulator.list_requests().len();
    exporter.until_lists(before + 3).await;
}

#[tokio::test]
async fn domains_appear_at_the_provider_and_disappear_there() {
    let exporter = discovering(&DOMAINS[..1]).start().await;
    exporter.until_gauges(&exporter.truth(&DOMAINS[..1])).await;
    assert!(exporter.simulator.add_domain(USERNAME, &domain(DOMAINS[1])));
    assert!(exporter.simulator.add_domain(USERNAME, &domain(DOMAINS[2])));
    // Live domains are not listed.
    assert!(
        exporter
            .simulator
            .add_live_domain(USERNAME, &domain("play.live.com"))
    );
    exporter.until_gauges(&exporter.truth(&DOMAINS)).await;
    let counted = of_account("discovered_domains");
    let samples = exporter
        .until_samples("3 domains", |now| has(now, &counted, 3.0))
        .await;
    assert!(has(
        &samples,
        &of_account("discovery_last_attempt_successful"),
        1.0
    ));
    assert!(samples.contains_key(&of_account("discovery_last_success_timestamp_seconds")));

    assert!(exporter.simulator.remove_domain(USERNAME, &domain(DOMAINS[0])));
    exporter.until_gauges(&exporter.truth(&DOMAINS[1..])).await;
    let page = exporter.get("/metrics").await;
    assert!(!page.text().contains(DOMAINS[0]), "{}", page.text());
    exporter.end().await;
}

/// The pollers go on as they were: with polls an hour apart, what stays is not asked for again.
#[tokio::test]
async fn what_stays_is_not_polled_anew_and_what_comes_is_polled_at_once() {
    let mut setup = discovering(&DOMAINS[..2]);
    setup.interval = Duration::from_secs(3_600);
    let exporter = setup.start().await;
    exporter.until_gauges(&exporter.truth(&DOMAINS[..2])).await;
    let asked = |name: &str| {
        let requests = exporter.simulator.requests();
        requests
            .iter()
            .filter(|request| request.domains == [name.to_owned()])
            .count()
    };
    let before = asked(DOMAINS[0]);
    assert!(exporter.simulator.add_domain(USERNAME, &domain(DOMAINS[2])));
    exporter.until_gauges(&exporter.truth(&DOMAINS)).await;
    assert_eq!(asked(DOMAINS[0]), before);
    exporter.end().await;
}

#[tokio::test]
async fn a_list_that_cannot_be_read_changes_nothing() {
    let exporter = discovering(&DOMAINS[..2]).start().await;
    exporter.until_gauges(&exporter.truth(&DOMAINS[..2])).await;
    assert!(exporter.simulator.add_domain(USERNAME, &domain(DOMAINS[2])));
    for (fault, reason) in [
        (Fault::Status(7), "signature"),
        (Fault::HtmlPage, "decode"),
        (
            Fault::HttpStatus {
                code: 404,
                retry_after: None,
            },
            "http_status",
        ),
    ] {
        let before = exporter.scrape().await;
        exporter.simulator.faults().set(Target::List, fault);
        attempted_anew(&exporter).await;
        exporter
            .until_samples(reason, |now| {
                now[&failures(reason)] > before[&failures(reason)]
                    && has(now, &of_account("discovery_last_attempt_successful"), 0.0)
            })
            .await;
        // What was added before the first fault may have been seen; it stays then.
        let shown = exporter.gauges().await;
        for name in &DOMAINS[..2] {
            assert!(shown.contains_key(&series(
                "jdcloud_cdn_bandwidth_bytes_per_second",
                &[("domain", name)]
            )));
        }
    }
    exporter.simulator.faults().clear(Target::List);
    exporter.until_gauges(&exporter.truth(&DOMAINS)).await;
    exporter
        .until_samples("success", |now| {
            has(now, &of_account("discovery_last_attempt_successful"), 1.0)
        })
        .await;
    exporter.end().await;
}

/// 150 domains take two pages; the second one fails while domains are taken away.
#[tokio::test]
async fn half_a_list_is_no_list() {
    let mut setup = Setup::many(150);
    setup.interval = Duration::from_secs(3_600);
    setup.text = Some(|base_url| {
        with_domains(
            base_url,
            "origin_ratio_batch: 50",
            "discover: {endpoints: [origin_ratio]}",
        )
    });
    let exporter = setup.start().await;
    let counted = of_account("discovered_domains");
    exporter
        .until_samples("150 domains", |now| has(now, &counted, 150.0))
        .await;
    let requests = exporter.simulator.list_requests();
    let pages: Vec<_> = requests
        .iter()
        .take(2)
        .map(|r| (r.page_number, r.page_size))
        .collect();
    assert_eq!(pages, [(Some(1), Some(100)), (Some(2), Some(100))]);
    // The total says 150, and the rows end before.
    exporter
        .simulator
        .restyle_lists(|style| style.total = Total::Fixed(150));
    for number in 0..20 {
        let name = format!("d{number}.example.com");
        assert!(exporter.simulator.remove_domain(USERNAME, &domain(&name)));
    }
    exporter
        .until_samples("an incomplete list", |now| now[&failures("incomplete")] > 0.5)
        .await;
    assert!(has(&exporter.scrape().await, &counted, 150.0));
    exporter
        .simulator
        .restyle_lists(|style| style.total = Total::True);
    exporter
        .until_samples("130 domains", |now| has(now, &counted, 130.0))
        .await;
    exporter.end().await;
}

/// Six regular intervals, which are short here, until it is believed; the domain that is listed stays.
#[tokio::test]
async fn an_empty_list_is_a_failure_before_it_is_believed() {
    let mut setup = Setup::of(&DOMAINS);
    setup.text = Some(|base_url| {
        with_domains(
            base_url,
            "max_domains: 10",
            "discover: {include: [www, new]}\n      list: [img.a.com]",
        )
    });
    setup.discovery = Pace {
        every: millis(500),
        after_failure: millis(50),
    };
    let exporter = setup.start().await;
    exporter.until_gauges(&exporter.truth(&DOMAINS)).await;
    exporter
        .simulator
        .restyle_lists(|style| style.total = Total::Empty);
    let counted = of_account("discovered_domains");
    let successful = of_account("discovery_last_attempt_successful");
    let refused = exporter
        .until_samples("an empty list", |now| now[&failures("empty_list")] > 0.5)
        .await;
    assert!(has(&refused, &counted, 2.0) && has(&refused, &successful, 0.0));
    let status = exporter.get("/api/status").await;
    assert!(
        status
            .text()
            .contains("the list of domains is empty, where 2 domains of the last one are selected"),
        "{}",
        status.text()
    );
    exporter
        .until_samples("its end", |now| {
            has(now, &counted, 0.0) && has(now, &successful, 1.0)
        })
        .await;
    exporter.until_gauges(&exporter.truth(&DOMAINS[..1])).await;
    // Believed or not, what comes back is there at once.
    exporter
        .simulator
        .restyle_lists(|style| style.total = Total::True);
    exporter.until_gauges(&exporter.truth(&DOMAINS)).await;
    exporter.end().await;
}

#[tokio::test]
async fn a_runaway_list_is_refused_and_shown() {
    let exporter = discovering(&DOMAINS[..2]).start().await;
    exporter.until_gauges(&exporter.truth(&DOMAINS[..2])).await;
    let refused = failures("too_many_domains");
    // More rows than are read; then few enough to read and more than max_domains allows.
    exporter
        .simulator
        .restyle_lists(|style| style.total = Total::Fixed(1_000_000_000));
    exporter
        .until_samples("a refused list", |now| now[&refused] > 0.5)
        .await;
    exporter
        .simulator
        .restyle_lists(|style| style.total = Total::True);
    for number in 0..9 {
        let name = format!("d{number}.example.com");
        assert!(exporter.simulator.add_domain(USERNAME, &domain(&name)));
    }
    attempted_anew(&exporter).await;
    let before = exporter.scrape().await[&refused];
    exporter
        .until_samples("another", |now| now[&refused] > before + 0.5)
        .await;
    let status = exporter.get("/api/status").await;
    let status: serde_json::Value = serde_json::from_str(status.text()).unwrap();
    let told = status["discoveries"][0]["last_failure"]["message"]
        .as_str()
        .unwrap();
    assert!(
        told.contains("selects 11 domains") && told.contains("max_domains allows 10"),
        "{told}"
    );
    assert_eq!(status["discoveries"][0]["account"], USERNAME);
    assert!(status["discoveries"][0]["last_success"].is_string());
    // A reload with the remedy takes effect.
    let text = exporter
        .text
        .lock()
        .unwrap()
        .replace("max_domains: 10", "max_domains: 11");
    *exporter.text.lock().unwrap() = text;
    assert_eq!(exporter.ask("POST", "/-/reload", &[]).await.status, 200);
    let counted = of_account("discovered_domains");
    exporter
        .until_samples("11 domains", |now| has(now, &counted, 11.0))
        .await;
    exporter.end().await;
}

#[tokio::test]
async fn filters_choose_by_name_and_by_the_providers_words() {
    let mut setup = Setup::of(&["www.a.com", "img.a.com", "test.a.com", "www.b.cn"]);
    setup.text = Some(|base_url| {
        with_domains(
            base_url,
            "units: decimal",
            "discover: {include: ['[.]a[.]com$'], exclude: [^test], types: [图片小文件]}",
        )
    });
    // No attempt comes by itself but the first.
    setup.discovery = Pace::default();
    setup.down = true;
    let exporter = setup.start().await;
    exporter.simulator.restyle_lists(|style| {
        for name in ["img.a.com", "test.a.com", "www.b.cn"] {
            style.kinds.insert(domain(name), "图片小文件".to_owned());
        }
    });
    exporter.simulator.come_back().await.unwrap();
    exporter.until_gauges(&exporter.truth(&["img.a.com"])).await;
    let lists = exporter.simulator.list_requests().len();

    // Another filter takes effect at once, from the list that is there.
    *exporter.text.lock().unwrap() = with_domains(
        &exporter.base_url,
        "units: decimal",
        "discover: {exclude: [^test, cn$]}",
    );
    assert_eq!(exporter.ask("POST", "/-/reload", &[]).await.status, 200);
    assert!(has(
        &exporter.scrape().await,
        &of_account("discovered_domains"),
        2.0
    ));
    exporter
        .until_gauges(&exporter.truth(&["img.a.com", "www.a.com"]))
        .await;
    // The reload asked for the list as well: once, and the refused one that follows does not.
    exporter.until_lists(lists + 1).await;
    // One that selects more than max_domains is refused, with the account and the remedy.
    *exporter.text.lock().unwrap() = with_domains(&exporter.base_url, "max_domains: 3", "discover: {}");
    let reply = exporter.ask("POST", "/-/reload", &[]).await;
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("write max_domains: 4"), "{}", reply.text());
    let unchanged = exporter.truth(&["img.a.com", "www.a.com"]);
    assert_eq!(truth::differences(&unchanged, &exporter.gauges().await), [""; 0]);

    // Without discovery its metrics go, and with it they come again.
    *exporter.text.lock().unwrap() = with_domains(&exporter.base_url, "units: decimal", "- www.a.com");
    assert_eq!(exporter.ask("POST", "/-/reload", &[]).await.status, 200);
    exporter.until_gauges(&exporter.truth(&["www.a.com"])).await;
    let samples = exporter.scrape().await;
    for name in [
        "discovered_domains",
        "discovery_last_success_timestamp_seconds",
        "discovery_last_attempt_successful",
    ] {
        assert!(!samples.contains_key(&of_account(name)), "{name}");
    }
    assert_eq!(exporter.simulator.list_requests().len(), lists + 1);
    exporter.end().await;
}

/// The list of another account, which is taken over later, must not be what the refused reload asked for.
#[tokio::test]
async fn a_refused_reload_asks_for_no_list_later() {
    const OTHER: &str = "other";
    fn with_limit(base_url: &str, limit: usize) -> String {
        let account = |username: &str, limit: usize| {
            format!(
                "  - {{username: {username}, secret_key: {SECRET_KEY}, max_domains: {limit}, domains: {{discover: \
                 {{}}}}}}\n"
            )
        };
        format!(
            "api: {{base_url: \"{base_url}\", max_requests_per_second: 1000}}\naccounts:\n{}{}",
            account(USERNAME, limit),
            account(OTHER, 1),
        )
    }
    let mut setup = Setup::of(&DOMAINS[..2]);
    // The other account's list is too long, and tried again and again.
    setup.others = vec![SimulatedAccount {
        username: OTHER.to_owned(),
        secret_key: SECRET_KEY.into(),
        domains: ["www.b.com", "img.b.com"]
            .map(|name| OwnedDomain::new(domain(name)))
            .to_vec(),
    }];
    setup.text = Some(|base_url| with_limit(base_url, 2));
    setup.discovery.every = Duration::from_secs(600);
    let exporter = setup.start().await;
    let counted = |account| series("jdcloud_cdn_exporter_discovered_domains", &[("account", account)]);
    let refused = failures("too_many_domains");
    exporter
        .until_samples("one list and a refused one", |now| {
            has(now, &counted(USERNAME), 2.0) && now[&refused] > 0.5
        })
        .await;
    let asked = || {
        let lists = exporter.simulator.list_requests();
        lists.iter().filter(|list| list.username == USERNAME).count()
    };
    let before = asked();
    *exporter.text.lock().unwrap() = with_limit(&exporter.base_url, 1);
    let reply = exporter.ask("POST", "/-/reload", &[]).await;
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("write max_domains: 2"), "{}", reply.text());
    assert!(exporter.simulator.remove_domain(OTHER, &domain("img.b.com")));
    let polls = series(
        "jdcloud_cdn_exporter_polls_total",
        &[("endpoint", "bandwidth_flow")],
    );
    let taken = exporter
        .until_samples("the other list", |now| has(now, &counted(OTHER), 1.0))
        .await;
    // A list is asked for at once, so before the polls of some intervals have ended.
    exporter
        .until_samples("ten rounds", |now| now[&polls] > taken[&polls] + 30.0)
        .await;
    assert_eq!(asked(), before);
    *exporter.text.lock().unwrap() = with_limit(&exporter.base_url, 2);
    let lists = exporter.simulator.list_requests().len();
    assert_eq!(exporter.ask("POST", "/-/reload", &[]).await.status, 200);
    exporter.until_lists(lists + 2).await;
    assert_eq!(asked(), before + 1);
    exporter.end().await;
}

#[tokio::test]
async fn what_is_listed_is_joined_and_wins() {
    let mut setup = Setup::of(&["www.a.com", "img.a.com"]);
    setup.domains.extend(Setup::of(&["play.live.com"]).live().domains);
    setup.text = Some(|base_url| {
        with_domains(
            base_url,
            "units: decimal",
            "discover: {endpoints: [origin_ratio]}\n      list:\n        - {name: play.live.com, endpoints: \
             [bandwidth_flow]}\n        - www.a.com",
        )
    });
    let exporter = setup.start().await;
    let end = truth::newest_settled(exporter.clock.now().timestamp(), crate::fixture::SETTLE);
    let mut expected = exporter.truth(&["www.a.com"]);
    expected.extend(truth::origin_ratio(
        &exporter.simulator,
        "img.a.com",
        end,
        truth::DECIMAL,
    ));
    expected.extend(truth::bandwidth_flow(
        &exporter.simulator,
        "play.live.com",
        end,
        truth::DECIMAL,
    ));
    for name in ["img.a.com", "play.live.com"] {
        expected.extend(truth::domain_info(name, USERNAME));
    }
    exporter.until_gauges(&expected).await;
    exporter.end().await;
}

#[tokio::test]
async fn names_that_are_no_host_names_are_passed_over() {
    let exporter = discovering(&DOMAINS).start().await;
    exporter
        .simulator
        .restyle_lists(|style| style.others = vec!["*.a.com".to_owned(), "全部".to_owned()]);
    attempted_anew(&exporter).await;
    exporter.until_gauges(&exporter.truth(&DOMAINS)).await;
    assert!(has(
        &exporter.scrape().await,
        &of_account("discovered_domains"),
        3.0
    ));
    exporter.end().await;
}

/// Whatever the outcome: a provider that lists nothing for this account must not keep the listed ones off.
#[tokio::test]
async fn readiness_waits_for_the_first_attempt_and_not_for_its_success() {
    let mut setup = Setup::of(&DOMAINS[..1]);
    setup.text = Some(|base_url| {
        with_domains(
            base_url,
            "units: decimal",
            "discover: {}\n      list: [img.a.com]",
        )
    });
    setup.down = true;
    setup.discovery = Pace {
        every: millis(100),
        after_failure: millis(100),
    };
    let exporter = setup.start().await;
    exporter
        .simulator
        .faults()
        .set(Target::List, Fault::Latency(millis(700)));
    exporter
        .simulator
        .faults()
        .add(Target::List, Rule::always(Fault::Status(20)));
    exporter.simulator.come_back().await.unwrap();
    exporter.until_gauges(&exporter.truth(&DOMAINS[..1])).await;
    let failed = failures("unknown_user");
    loop {
        // The order matters: what a later scrape does not show had not ended when readiness was asked for.
        let ready = exporter.get("/-/ready").await;
        let ended = exporter.scrape().await[&failed] > 0.5;
        if ready.status == 200 {
            assert!(ended, "ready before the first attempt had ended");
            break;
        }
    }
    exporter.end().await;
}

/// The listed domain has long been read when the list comes, and the discovered one takes its time.
#[tokio::test]
async fn readiness_waits_for_the_first_round_of_what_the_first_list_brings() {
    let mut setup = Setup::of(&DOMAINS[..2]);
    setup.text = Some(|base_url| {
        format!(
            "api: {{base_url: \"{base_url}\", max_requests_per_second: 1000, timeout: 1s}}\naccounts:\n  - username: \
             {USERNAME}\n    secret_key: {SECRET_KEY}\n    domains: {{discover: {{}}, list: [img.a.com]}}\n"
        )
    });
    setup.interval = Duration::from_secs(3_600);
    setup.discovery = Pace::default();
    setup.down = true;
    let exporter = setup.start().await;
    let faults = exporter.simulator.faults();
    faults.set(Target::List, Fault::Latency(millis(700)));
    faults.add(
        Endpoint::BandwidthFlow,
        Rule::always(Fault::Hang).for_domain(&domain(DOMAINS[1])),
    );
    exporter.simulator.come_back().await.unwrap();
    let counted = of_account("discovered_domains");
    let samples = exporter
        .until_samples("the list", |now| now.contains_key(&counted))
        .await;
    let up = series(
        "jdcloud_cdn_up",
        &[("domain", DOMAINS[0]), ("endpoint", "bandwidth_flow")],
    );
    assert!(has(&samples, &up, 1.0), "the listed domain has been read");
    let both_polled = |now: &Samples| {
        let labels = [("endpoint", "bandwidth_flow")];
        now[&series("jdcloud_cdn_exporter_polls_total", &labels)] > 1.5
    };
    let began = tokio::time::Instant::now();
    loop {
        // The order matters: what a later scrape does not show had not ended when readiness was asked for.
        let ready = exporter.get("/-/ready").await;
        let ended = both_polled(&exporter.scrape().await);
        if ready.status == 200 {
            assert!(ended, "ready before the discovered domain had been asked");
            break;
        }
        let told = "1 of 2 domains of account jcloud_00 at bandwidth_flow has not been asked for yet";
        assert!(ended || ready.text().contains(told), "{}", ready.text());
        assert!(began.elapsed() < millis(20_000), "{}", ready.text());
    }
    exporter.end().await;
}
