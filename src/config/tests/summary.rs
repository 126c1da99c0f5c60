//! What is printed about a valid configuration.

use super::super::Summary;
use super::*;

#[test]
fn the_summary_counts_calls_by_batch_and_interval() {
    let text = "poll: {interval: 30s}\naccounts:\n  - username: u\n    secret_key: abc\n    \
                origin_ratio_batch: 2\n    domains: [a.com, b.com, c.com, {name: d.com, endpoints: \
                [bandwidth_flow]}]\n";
    let config = load_text(text, &[]).unwrap();
    // Four calls of bandwidth_flow and two of origin_ratio (three domains by two), twice a minute.
    assert_eq!(
        Summary(&config).to_string(),
        "accounts: 1, domains: 4, calls per minute: 12.0\n\
         \x20 u: bandwidth_flow of 4 domains (1 a call), origin_ratio of 3 domains (2 a call), decimal units, 12.0 calls \
         per minute\n\
         provider: https://opencdn.jcloud.com/, time zone +08:00; for each account at most 8 requests at once \
         and 10 per second; a request may take 10s and its reply 32 MiB\n\
         polls: every 30s, the last 1h each time; a window is shown once it is 10m old and vanishes when it is \
         40m old"
    );
}

#[test]
fn the_summary_counts_as_people_do() {
    let summary = |bytes: &str, at_once: usize| {
        let text = with_api(&format!("max_reply_bytes: {bytes}\n  max_concurrency: {at_once}"));
        Summary(&load_text(&text, &[]).unwrap()).to_string()
    };
    for (written, shown) in [
        ("1GiB", "1 GiB"),
        ("1023MiB", "1023 MiB"),
        ("65536", "64 KiB"),
        ("1000000", "1000000 bytes"),
        ("4097", "4097 bytes"),
    ] {
        let written = summary(written, 1);
        assert!(written.contains(&format!("its reply {shown}\n")), "{written}");
        assert!(written.contains("at most 1 request at once"), "{written}");
        assert!(
            written.contains("origin_ratio of 1 domain (20 a call)"),
            "{written}"
        );
    }
}

#[test]
fn the_summary_does_not_pass_over_what_is_discovered() {
    let shown = |lines: &str| {
        let text = format!("accounts: [{{username: u, secret_key: abc, {lines}}}]");
        Summary(&load_text(&text, &[]).unwrap()).to_string()
    };
    // 600 calls a minute are allowed.
    for (lines, told) in [
        (
            "domains: {discover: {endpoints: [bandwidth_flow]}}",
            "at most 2000 (max_domains: 2000); the rate limit has room for 600 of them",
        ),
        (
            "max_domains: 300, domains: {discover: {endpoints: [bandwidth_flow]}, list: [a.com]}",
            "at most 299 (max_domains: 300); the rate limit has room for all of them",
        ),
    ] {
        let shown = shown(lines);
        assert!(
            shown.contains(" (listed, and others are discovered), calls per minute: "),
            "{shown}"
        );
        assert!(
            shown.contains(&format!(
                "\n    and discovers every domain, read at bandwidth_flow: known only once it runs and not counted \
                 here, {told}\n"
            )),
            "{shown}"
        );
    }
    assert!(!shown("domains: [a.com]").contains("discover"));
}
