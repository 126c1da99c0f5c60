//! Whole runs: what is written, what is missing, what is refused, and what an interruption costs.

use std::process::Command;
use std::time::Duration;

use jdcloud_cdn_exporter::model::{Domain, Endpoint, Window};
use jdcloud_cdn_exporter::simulator::{Effect, Fault, Rule, Script, Target, Traffic};

use crate::support::{Site, finish, read, samples, until};

/// 2025-03-01 00:00 and the next day in Beijing, as Unix time: 17:00 + 7 h before and after.
const DAY_START: i64 = 1_740_758_400;
const DAY_END: i64 = DAY_START + 86_400;

const DAY: [&str; 2] = ["--start=2025-03-01", "--end=2025-03-02T00:00"];

#[tokio::test]
async fn a_day_is_written_window_by_window() {
    let site = Site::start(3, Traffic::prompt(1)).await;
    let ran = site.run(&DAY).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.ends_with("\n# EOF\n"));
    for domain in &site.domains {
        let name = format!("jdcloud_cdn_window_flow_bytes{{domain=\"{domain}\"}}");
        let written: Vec<(i64, f64)> = samples(&ran.out)
            .filter(|(series, ..)| *series == name)
            .map(|(_, value, time)| (time.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let truth: Vec<(i64, f64)> = site
            .truth(domain, DAY_START, DAY_END)
            .into_iter()
            .map(|(time, truth)| (time, (truth.flow_mb * 100.0).round() * 10_000.0))
            .collect();
        assert_eq!(written.len(), 288);
        for (written, truth) in written.iter().zip(&truth) {
            assert_eq!(written.0, truth.0);
            assert!(
                (written.1 - truth.1).abs() < 1e-3,
                "{domain}: {written:?} for {truth:?}"
            );
        }
    }
    let ratio_of_live = format!("ratio{{domain=\"{}\"}}", site.domains[2]);
    assert!(!ran.out.contains(&ratio_of_live), "it is not read there");
    let sum = ran.err.lines().find(|line| line.starts_with("all ")).unwrap();
    assert_eq!(
        sum.split_whitespace().collect::<Vec<_>>(),
        ["all", "1440", "1440", "0"]
    );
}

/// What the provider lists is discovered first, once; only what is listed needs no discovery.
#[tokio::test]
async fn discovered_domains_are_written_like_listed_ones() {
    let site = Site::start(4, Traffic::prompt(1)).await;
    let discovering = |lines: &str| {
        let text = format!(
            "api:\n  base_url: {}\n  max_requests_per_second: 1000\naccounts:\n  - username: someone\n    \
             secret_key: a made-up key\n    domains: {{discover: {{exclude: [d2]}}, list: [d1.example.com]}}\n{lines}",
            site.provider.base_url()
        );
        std::fs::write(site.path("exporter.yaml"), text).unwrap();
    };
    discovering("");
    let ran = site.run(&DAY).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let written = |name: &str| ran.out.contains(&format!("flow_bytes{{domain=\"{name}\"}}"));
    // d4 is a live domain, which is not listed.
    assert_eq!(
        [1, 2, 3, 4].map(|i| written(&format!("d{i}.example.com"))),
        [true, false, true, false]
    );
    assert_eq!(site.provider.list_requests().len(), 1);

    site.provider.faults().set(Target::List, Fault::Status(20));
    let ran = site.run(&[DAY[0], DAY[1], "--domain=d1.example.com"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(site.provider.list_requests().len(), 1);
    let ran = site.run(&DAY).await;
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(
        ran.err
            .contains("the domains of account someone cannot be discovered: status 20"),
        "{}",
        ran.err
    );
    assert!(ran.out.is_empty());

    site.provider.faults().clear(Target::List);
    discovering("    max_domains: 1\n");
    let ran = site.run(&DAY).await;
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("write max_domains: 2"), "{}", ran.err);
}

/// Whatever is told stands on standard error, and nothing is left behind in the folder.
#[tokio::test]
async fn a_hyphen_is_standard_output() {
    let site = Site::start(2, Traffic::prompt(1)).await;
    let without = site.run(&DAY).await;
    for output in [&["--output=-"][..], &["--output", "-"]] {
        let ran = site.run(&[&DAY[..], output].concat()).await;
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(ran.out == without.out && ran.out.ends_with("\n# EOF\n"));
        assert!(ran.err.contains("864 "), "the summary: {}", ran.err);
    }
    let files: Vec<_> = std::fs::read_dir(site.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files, ["exporter.yaml"]);
}

#[tokio::test]
async fn the_text_format_differs_in_its_times_only() {
    let site = Site::start(2, Traffic::prompt(1)).await;
    let seconds = site.run(&DAY).await;
    let millis = site
        .run(&[DAY[0], DAY[1], "--format=text", "--domain=D1.example.com"])
        .await;
    assert_eq!((seconds.code, millis.code), (Some(0), Some(0)), "{}", millis.err);
    let of_first: Vec<_> = samples(&seconds.out)
        .filter(|(series, ..)| series.contains("d1.example.com"))
        .map(|(series, value, time)| (series, value, format!("{time}000")))
        .collect();
    let text: Vec<_> = samples(&millis.out)
        .map(|(series, value, time)| (series, value, time.to_owned()))
        .collect();
    assert!(of_first.len() > 1000);
    assert_eq!(text, of_first);
    assert!(!millis.out.contains("# EOF"));
}

#[tokio::test]
async fn windows_that_the_provider_lacks_are_counted_and_end_in_1() {
    let mut traffic = Traffic::prompt(1);
    let first = Window::ending_at(DAY_START + 3_000).unwrap();
    traffic.scripts.push(Script {
        domain: Domain::parse("d1.example.com").unwrap(),
        first,
        last: first.plus(6),
        effect: Effect::AppearsAfter(u32::MAX),
    });
    let site = Site::start(2, traffic).await;
    let ran = site
        .run(&[DAY[0], DAY[1], "--domain=d1.example.com", "--output=day.om"])
        .await;
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    for endpoint in ["bandwidth_flow", "origin_ratio  "] {
        let line = format!("d1.example.com  {endpoint}        288        281          7");
        assert!(ran.err.contains(&line), "{}", ran.err);
    }
    assert!(read(&site.path("day.om")).ends_with("# EOF\n"));
    assert!(
        !site.path("day.om.partial").exists(),
        "nothing is left to ask for"
    );
}

#[tokio::test]
async fn calls_that_failed_are_made_again_by_the_next_run() {
    let site = Site::start(2, Traffic::prompt(1)).await;
    site.provider
        .faults()
        .set(Endpoint::OriginRatio, Fault::Status(2));
    let arguments = [DAY[0], DAY[1], "--output=day.om"];
    let failed = site.run(&arguments).await;
    assert_eq!(failed.code, Some(1));
    assert!(
        failed.err.contains("day.om.partial: run the same command again"),
        "{}",
        failed.err
    );
    assert!(
        failed
            .err
            .contains("d1.example.com  origin_ratio          288          0        288"),
        "{}",
        failed.err
    );
    site.provider.faults().clear_all();
    let flow_calls = site.provider.request_count(Endpoint::BandwidthFlow);
    let again = site.run(&arguments).await;
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert_eq!(site.provider.request_count(Endpoint::BandwidthFlow), flow_calls);
    assert!(!site.path("day.om.partial").exists());
    let direct = site.run(&DAY).await;
    assert_eq!(read(&site.path("day.om")), direct.out);
}

#[tokio::test]
async fn transient_failures_leave_no_trace() {
    let site = Site::start(2, Traffic::prompt(1)).await;
    for endpoint in Endpoint::ALL {
        let fault = Fault::HttpStatus {
            code: 503,
            retry_after: None,
        };
        site.provider.faults().add(endpoint, Rule::always(fault).times(1));
    }
    let ran = site.run(&DAY).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("(2 of them repeated)"), "{}", ran.err);
}

#[tokio::test]
async fn a_refused_account_is_not_asked_again_and_again() {
    let site = Site::start(20, Traffic::prompt(1)).await;
    for endpoint in Endpoint::ALL {
        site.provider.faults().set(endpoint, Fault::Status(20));
    }
    let ran = site.run(&[DAY[0], DAY[1], "--output=day.om"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("check username"), "{}", ran.err);
    // At most what is under way at once by default.
    assert!(site.requests() <= 8, "{}", site.requests());
    assert!(!site.path("day.om.partial").exists(), "nothing was read");
}

#[tokio::test]
async fn the_accounts_limits_are_kept() {
    let site = Site::start(12, Traffic::prompt(1)).await;
    site.configure(20, 1);
    let ran = site.run(&DAY).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let starts: Vec<_> = site
        .provider
        .requests()
        .iter()
        .map(|request| request.at)
        .collect();
    assert_eq!(starts.len(), 12 + 11);
    // 22 spaces of 50 ms, less one for what the network does to the first and the last.
    let took = starts[22].duration_since(starts[0]);
    assert!(took >= Duration::from_millis(21 * 50), "{took:?}");
    assert!(site.provider.max_concurrency() <= 8);
}

#[tokio::test]
async fn an_interrupted_run_continues_where_it_was() {
    let site = Site::start(3, Traffic::prompt(1)).await;
    let forty_days = ["--start=2025-03-01", "--end=2025-04-10"];
    site.configure(1000, 1);
    let reference = site.run(&forty_days).await;
    assert_eq!(reference.code, Some(0), "{}", reference.err);
    let calls = site.requests();
    // 30 and 10 days for three domains; 5 times 7 and 5 days for two.
    assert_eq!(calls, 3 * 2 + 2 * 6);

    site.configure(4, 1);
    let arguments = [forty_days[0], forty_days[1], "--output=out.om"];
    let program = site.begin(&arguments);
    until("some calls are made", async || site.requests() >= calls + 6).await;
    let killed = Command::new("kill")
        .args(["-INT", &program.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let stopped = finish(program).await;
    assert_eq!(stopped.code, Some(1), "{}", stopped.err);
    assert!(
        stopped.err.contains("Interrupted.")
            && stopped.err.contains("out.om.partial: run the same command again"),
        "{}",
        stopped.err
    );
    assert!(!site.path("out.om").exists());
    assert!(!site.path("out.om.unfinished").exists());

    // The power fails too: the last record is cut off.
    let partial = site.path("out.om.partial");
    let kept = std::fs::read(&partial).unwrap();
    std::fs::write(&partial, &kept[..kept.len() - 3]).unwrap();

    // Another request must not be continued with these readings.
    let other = site
        .run(&["--start=2025-03-02", "--end=2025-04-10", "--output=out.om"])
        .await;
    assert_eq!(other.code, Some(2));
    assert!(
        other.err.contains("out.om.partial was begun by another backfill"),
        "{}",
        other.err
    );

    let before = site.requests();
    site.configure(1000, 1);
    let continued = site.run(&arguments).await;
    assert_eq!(continued.code, Some(0), "{}", continued.err);
    let made = site.requests() - before;
    assert!(made < calls && made > 0, "{made} of {calls}");
    assert!(
        !continued.err.contains("; 0 windows were kept"),
        "{}",
        continued.err
    );
    assert_eq!(read(&site.path("out.om")), reference.out);
    assert!(!partial.exists());
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_2_and_asks_for_nothing() {
    let site = Site::start(1, Traffic::prompt(1)).await;
    for (arguments, message) in [
        (
            vec!["--start=2025-03-01T00:01", "--end=2025-03-02"],
            "--start 2025-03-01T00:01:00 is not on a 5-minute boundary: write 2025-03-01T00:00+08:00 or",
        ),
        (
            vec!["--start=2025-03-02", "--end=2025-03-01"],
            "--start 2025-03-02T00:00:00 is not before --end",
        ),
        (
            vec!["--start=2025-03-01", "--end=2525-03-02"],
            "is after the end of the newest settled window, ",
        ),
        (
            vec![DAY[0], DAY[1], "--domain=other.example.com"],
            "--domain other.example.com is not in the configuration",
        ),
        (
            vec![DAY[0], DAY[1], "--output=none/out.om"],
            "none/out.om.partial cannot be used; check that its folder exists",
        ),
        (
            vec![DAY[0], DAY[1], "--output=/dev/null"],
            "--output /dev/null is not a regular file",
        ),
        (
            vec!["--start=1970-01-02", "--end=9970-01-02"],
            "is after the end of the newest settled window",
        ),
    ] {
        let ran = site.run(&arguments).await;
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(message), "{arguments:?}: {}", ran.err);
        assert_eq!(ran.out, "");
    }
    assert_eq!(site.requests(), 0);
}
