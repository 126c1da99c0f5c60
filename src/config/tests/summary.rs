//! What is printed about a valid configuration.

use std::fmt::Write as _;

use super::super::Summary;
use super::*;
use crate::plan::Shard;

fn summary(config: &Config, shard: Shard) -> String {
    Summary { config, shard }.to_string()
}

#[test]
fn the_summary_counts_calls_by_batch_and_interval() {
    let text = "poll: {interval: 30s}\naccounts:\n  - username: u\n    secret_key: abc\n    \
                origin_ratio_batch: 2\n    domains: [a.com, b.com, c.com, {name: d.com, endpoints: \
                [bandwidth_flow]}]\n";
    let config = load_text(text, &[]).unwrap();
    // Four calls of bandwidth_flow and two of origin_ratio (three domains by two), twice a minute.
    assert_eq!(
        summary(&config, Shard::WHOLE),
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
    let with = |bytes: &str, at_once: usize| {
        let text = with_api(&format!("max_reply_bytes: {bytes}\n  max_concurrency: {at_once}"));
        summary(&load_text(&text, &[]).unwrap(), Shard::WHOLE)
    };
    for (written, shown) in [
        ("1GiB", "1 GiB"),
        ("1023MiB", "1023 MiB"),
        ("65536", "64 KiB"),
        ("1000000", "1000000 bytes"),
        ("4097", "4097 bytes"),
    ] {
        let written = with(written, 1);
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
        summary(&load_text(&text, &[]).unwrap(), Shard::WHOLE)
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

/// `max_domains` is about the whole list, and the rate limit about what the shard owns.
#[test]
fn a_shards_summary_counts_its_own_and_leaves_the_whole_list_its_length() {
    for (per_second, told) in [
        // A quarter of 1,900 domains and 100 more, at both endpoints, are far less than 1,800 calls a minute.
        (30, "the rate limit has room for all of them"),
        // ... and far more than 60.
        (1, "the rate limit has room for none of them at this shard"),
    ] {
        let mut text = format!(
            "api: {{max_requests_per_second: {per_second}}}\naccounts:\n  - username: u\n    secret_key: made-up\n    \
             domains:\n      discover: {{}}\n      list:\n"
        );
        for i in 0..1_900 {
            writeln!(text, "        - d{i}.example.com").unwrap();
        }
        let config = load_text(&text, &[]).unwrap();
        let shard: Shard = "0/4".parse().unwrap();
        let domains = config.accounts[0].domains.iter();
        let own = domains.filter(|domain| shard.owns(&domain.name)).count();
        let calls = own + own.div_ceil(20);
        let shown = summary(&config, shard);
        assert!(
            shown.starts_with(&format!(
                "shard: 0/4 of 1900 domains; its own:\naccounts: 1, domains: {own} (listed, and others are discovered), \
                 calls per minute: {calls}.0\n  u: bandwidth_flow of {own} domains (1 a call), origin_ratio of {own} \
                 domains (20 a call), decimal units, {calls}.0 calls per minute\n    and discovers every domain, read \
                 at bandwidth_flow and origin_ratio: known only once it runs and not counted here, at most 100 \
                 (max_domains: 2000); {told}\nprovider: "
            )),
            "{shown}"
        );
    }
}
