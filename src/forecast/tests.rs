//! Forecasts against numbers that were worked out by hand, and against each other.

use super::*;
use crate::config::{Environment, parse};

fn config(lines: &str, domains: &str) -> Config {
    let text = format!(
        "{lines}accounts:\n  - username: u\n    secret_key: made-up\n    max_domains: 100000\n    domains: [{domains}]\n"
    );
    parse(&text, "test", &Environment::default()).unwrap()
}

fn many(count: usize) -> String {
    let names: Vec<String> = (0..count).map(|i| format!("d{i}.example.com")).collect();
    names.join(", ")
}

const FIVE: &str = "a.com, b.com, c.com, {name: d.com, endpoints: [bandwidth_flow]}, {name: e.com, endpoints: \
                    [bandwidth_flow]}";

#[test]
fn one_exporter_is_counted_by_hand() {
    let forecast = Forecast::of_shard(&config("", FIVE), Shard::WHOLE).unwrap();
    let [share] = forecast.shares.as_slice() else {
        panic!("one share")
    };
    // Five calls of one domain and one of three.
    assert_eq!((share.domains, share.calls_per_poll()), (5, 6));
    // Values: 2 of five domains and 3 of three; window ends and up: 8 each; accounts: 5; missing: 2; settle,
    // difference and offset.
    assert_eq!(share.domain_series, 19 + 8 + 8 + 5 + 2 + 3);
    // 19 values in the ten windows between an hour and ten minutes ago.
    assert_eq!(share.window_samples, 190);
    assert_eq!(share.memory, 10_000_000 + 5 * 2_000);
    assert!(forecast.fits());
}

#[test]
fn longer_and_uneven_windows_count() {
    // 86,400 - 660 s are 285.8 windows: at times 286 of them are settled. 288 - 12 windows of 19 values more.
    let longer = config("poll: {window: 1d, settle: 11m}\n", FIVE);
    let share = &Forecast::of_shard(&longer, Shard::WHOLE).unwrap().shares[0];
    assert_eq!(share.window_samples, 19 * 286);
    assert_eq!(share.memory, 10_000_000 + 5 * 2_000 + 276 * 19 * 8);
}

#[test]
fn domains_of_one_endpoint_are_compared_with_nothing() {
    let live = config("", "{name: d.com, endpoints: [bandwidth_flow]}");
    let share = &Forecast::of_shard(&live, Shard::WHOLE).unwrap().shares[0];
    assert_eq!(share.domain_series, 2 + 1 + 1 + 1 + 2 + 1);
}

#[test]
fn all_shards_together_are_each_of_them() {
    let config = config("", &many(500));
    let all = Forecast::of_all(&config, 4).unwrap();
    assert_eq!(all.shares.iter().map(|share| share.domains).sum::<usize>(), 500);
    for (ordinal, share) in (0..).zip(&all.shares) {
        let shard = Shard::new(ordinal, 4).unwrap();
        let own = &Forecast::of_shard(&config, shard).unwrap().shares[0];
        assert_eq!(format!("{own:?}"), format!("{share:?}"));
        assert!(share.domains > 0);
    }
}

/// What is printed for 700 domains of which one exporter could poll 600 at most.
#[test]
fn the_text_shows_calls_and_what_is_too_much() {
    let config = config("", &many(700));
    let forecast = Forecast::of_all(&config, 1).unwrap();
    let text = |forecast, domains| {
        Text {
            forecast,
            config: &config,
            domains,
        }
        .to_string()
    };
    assert!(!forecast.fits());
    let own = forecast.shares[0].own_series;
    // 700 + 35 calls a minute of 600; 8 at once, 60 s: 8 * 60 / 735.
    let expected = format!(
        "700 domains; polled every 1m, the last 1h each time; for each account at most 10 requests per second and 8 \
         at once\n\
         \n\
         account u\n\
         \x20 endpoint        domains  batch  calls a poll  a minute  an hour\n\
         \x20 bandwidth_flow      700      1           700     700.0  42000.0\n\
         \x20 origin_ratio        700     20            35      35.0   2100.0\n\
         \x20 together                                 735     735.0  44100.0\n\
         \x20 122.5 % of the rate limit: MORE THAN IS ALLOWED\n\
         \x20 0.653 s is what a call may take on average before api.max_concurrency: 8 delays polls\n\
         \n\
         together\n\
         \x20 domains                700\n\
         \x20 calls a poll           735\n\
         \x20 calls a minute         735.0\n\
         \x20 calls an hour          44100.0\n\
         \x20 series on /metrics     {} (7005 about domains, {own} of the exporter itself)\n\
         \x20 samples on /windows    35000\n\
         \x20 memory, at most about  12 MB\n\
         Retries of failed calls come on top: over time at most one for five calls.\n",
        7_005 + own
    );
    assert_eq!(text(&forecast, false), expected);

    let two = Forecast::of_all(&config, 2).unwrap();
    assert!(two.fits());
    let shown = text(&two, true);
    for part in [
        "2 shards of 700 domains; ",
        "for each account at most 10 requests per second and shard and 8 at once",
        " of the rate limit at the busiest shard\n",
        "\n  0/2  ",
        "\n  1/2  ",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let owners = shown.split("domains by shard\n").nth(1).unwrap();
    assert_eq!(owners.lines().count(), 700);
    // From the literals of plan::shard.
    for line in ["  0/2  d0.example.com", "  1/2  d1.example.com"] {
        assert!(owners.lines().any(|shown| shown == line), "{owners}");
    }
    let one = Forecast::of_shard(&config, Shard::new(1, 2).unwrap()).unwrap();
    let shown = text(&one, true);
    assert!(
        shown.starts_with(&format!("shard 1/2: {} of 700 domains; ", one.shares[0].domains)),
        "{shown}"
    );
    assert!(!shown.contains("0/2"), "{shown}");
}

/// What is discovered is not known beforehand, and that is said.
#[test]
fn discovery_is_told_and_not_counted() {
    let text = "accounts: [{username: u, secret_key: made-up, domains: {discover: {}, list: [a.com]}}]\n";
    let config = parse(text, "test", &Environment::default()).unwrap();
    let forecast = Forecast::of_shard(&config, Shard::WHOLE).unwrap();
    assert_eq!(forecast.shares[0].domains, 1);
    let listed = Forecast::of_shard(&self::config("", "a.com"), Shard::WHOLE).unwrap();
    // Three gauges of the account, and a counter for each of 11 reasons of a call and three of a list.
    assert_eq!(
        forecast.shares[0].own_series,
        listed.shares[0].own_series + 3 + 14
    );
    let shown = Text {
        forecast: &forecast,
        config: &config,
        domains: false,
    }
    .to_string();
    // 571 domains at both endpoints take the 600 calls that are allowed in a minute.
    for line in [
        "1 domain (listed, and others are discovered); ",
        "  and discovers every domain, read at bandwidth_flow and origin_ratio: known only once it runs and not counted \
         here, at most 1999 (max_domains: 2000); the rate limit has room for 570 of them\n",
        "\ntogether, without what is discovered\n",
    ] {
        assert!(shown.contains(line), "{line:?} in {shown}");
    }
    let shown = Text {
        forecast: &Forecast::of_all(&config, 4).unwrap(),
        config: &config,
        domains: false,
    }
    .to_string();
    assert!(
        shown.contains("has room for 570 of them at each shard\n"),
        "{shown}"
    );
}
