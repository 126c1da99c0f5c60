//! What cannot be polled in time, or by the shards that are listed, is refused with what would do.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::super::admit;
use super::*;
use crate::plan::Shard;

/// Problems of a configuration that is to be polled by a shard, without their place.
fn refusals(text: &str, shard: &str) -> Vec<String> {
    let config = load_text(text, &[]).unwrap();
    match admit(&config, "f", shard.parse().unwrap()) {
        Ok(()) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|problem| problem.to_string().replacen("f: ", "", 1))
            .collect(),
    }
}

/// One account of so many domains, `d0.example.com` and so on, read at `bandwidth_flow` only.
fn live(domains: usize, lines: &str) -> String {
    let mut text = format!("{lines}accounts:\n  - username: u\n    secret_key: made-up\n    domains:\n");
    for i in 0..domains {
        writeln!(
            text,
            "      - {{name: d{i}.example.com, endpoints: [bandwidth_flow]}}"
        )
        .unwrap();
    }
    text
}

#[test]
fn what_cannot_be_polled_in_time_is_refused_at_the_first_call_too_many() {
    assert_eq!(refusals(&live(600, ""), "0/1"), Vec::<String>::new());
    // 601 / 10 = 60.1 s; 601 / 60 = 10.016… a second; two domains a call halve the calls. Of 601 names
    // each of two shards owns fewer than 600.
    assert_eq!(
        refusals(&live(601, ""), "0/1"),
        [
            "accounts[0].domains: take 601 calls every 1m (bandwidth_flow of 601 by 1), and \
             api.max_requests_per_second: 10 allows 600; what would do: poll.interval: 1m1s; or \
             api.max_requests_per_second: 10.1; or accounts[0].bandwidth_flow_batch: 2 if the provider takes lists there; or 2 shards as in \
             --shard=0/2, each of which asks at this rate"
        ]
    );
    assert_eq!(refusals(&live(601, ""), "0/2"), Vec::<String>::new());
    assert_eq!(refusals(&live(601, ""), "1/2"), Vec::<String>::new());
}

#[test]
fn a_share_is_refused_by_its_own_numbers() {
    // Owners by the program that computed the literals of plan::shard: 1,993 to 2,563 of 10,000 names.
    let text = live(10_000, "api: {max_requests_per_second: 41}\n")
        .replace("secret_key", "max_domains: 10000\n    secret_key");
    // 41 a second are 2,460 a minute.
    let of_4 = ["0/4", "1/4", "2/4", "3/4"].map(|shard| refusals(&text, shard));
    let refused: Vec<&String> = of_4.iter().flatten().collect();
    assert_eq!(refused.len(), 3, "{refused:?}");
    let sizes = [2422, 2507, 2508, 2563];
    for problem in refused {
        let size = sizes
            .iter()
            .find(|size| problem.contains(&format!("take {size} calls every 1m in shard ")));
        assert!(size.is_some_and(|size| *size > 2460), "{problem}");
        assert!(problem.contains("; or 5 shards as in --shard=0/5"), "{problem}");
    }
}

#[test]
fn an_interval_that_outlives_windows_is_proposed_with_a_longer_memory() {
    // 1,000 calls at 0.5 a second are 2,000 s; a window is 15m old at most when it comes: 2,900 s.
    let problems = refusals(&live(1_000, "api: {max_requests_per_second: 0.5}\n"), "0/1");
    assert!(
        problems[0].contains("poll.interval: 33m20s and poll.stale_after: 48m20s; or"),
        "{problems:?}"
    );
    // 1,800 calls are an hour: the hour that each poll reads must grow as well.
    let problems = refusals(&live(1_800, "api: {max_requests_per_second: 0.5}\n"), "0/1");
    assert!(
        problems[0].contains("poll.interval: 1h and poll.window: 1h15m and poll.stale_after: 1h15m; or"),
        "{problems:?}"
    );
    // 500 fit below 25m.
    let problems = refusals(&live(500, "api: {max_requests_per_second: 0.5}\n"), "0/1");
    assert!(problems[0].contains("poll.interval: 16m40s; or"), "{problems:?}");
}

#[test]
fn the_listed_shards_are_as_many_as_there_are() {
    let listed = |addresses: &str| format!("shards: [{addresses}]\n{}", smallest());
    let three = listed("a.com:1, b.com:1, c.com:1");
    assert_eq!(refusals(&three, "2/3"), Vec::<String>::new());
    assert_eq!(refusals(&listed("a.com:1"), "0/1"), Vec::<String>::new());
    assert_eq!(refusals(&smallest(), "7/9"), Vec::<String>::new());
    for (shard, remedy) in [("0/1", "remove the key"), ("3/4", "list all 4")] {
        assert_eq!(
            refusals(&three, shard),
            [format!(
                "shards: lists 3, and this is shard {shard}; start it with --shard=i/3, where i is its place in \
                 the list from 0, or {remedy}"
            )]
        );
    }
}

#[test]
fn shards_have_every_domain_once_and_all_accounts() {
    let names: Vec<String> = (0..40).map(|i| format!("d{i}.example.com")).collect();
    let text = format!(
        "accounts:\n  - {{username: a, secret_key: made-up, domains: [{}]}}\n  - {{username: b, secret_key: \
         made-up, domains: [{{name: only.example.com, endpoints: [origin_ratio]}}]}}\n",
        names.join(", ")
    );
    let config = load_text(&text, &[]).unwrap();
    let mut owned = Vec::new();
    for ordinal in 0..3 {
        let part = Config::of_shard(Cow::Borrowed(&config), Shard::new(ordinal, 3).unwrap());
        assert_eq!(part.accounts.len(), 2);
        let of_a = part.accounts[0].domains.iter();
        owned.extend(of_a.chain(&part.accounts[1].domains).cloned());
    }
    let mut all = config.accounts[0].domains.clone();
    all.extend(config.accounts[1].domains.clone());
    owned.sort_by(|a, b| a.name.cmp(&b.name));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(owned, all);
    let whole = Config::of_shard(Cow::Borrowed(&config), Shard::WHOLE);
    assert_eq!(whole.accounts[0].domains, config.accounts[0].domains);
    // What has been copied to join it with lists is not copied once more.
    let copy: Cow<'_, Config> = Cow::Owned(config.clone());
    let place = copy.accounts[0].domains.as_ptr();
    let part = Config::of_shard(copy, Shard::new(0, 3).unwrap());
    assert_eq!(part.accounts[0].domains.as_ptr(), place);
}
