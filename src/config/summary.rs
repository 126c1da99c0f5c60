//! What `--config.check` prints about a valid configuration: sizes, call rates and rules, no secrets.

use std::fmt;

use crate::model::{Endpoint, LabelledBy, Units};
use crate::plan::Shard;

use super::parse::show;
use super::{Account, Config, Settle};

/// Displays a configuration for people, in a few lines without a final line break.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a>(pub &'a Config);

impl Summary<'_> {
    fn calls_per_minute(self, calls: usize) -> f64 {
        // No list of domains is long enough to lose digits here.
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        f64::from(calls) * 60.0 / self.0.poll.interval.as_secs_f64()
    }
}

/// The calls that one poll of all domains takes.
fn calls_per_poll(account: &Account) -> usize {
    Endpoint::ALL
        .into_iter()
        .map(|endpoint| {
            let domains = account.domains_of(endpoint).count();
            domains.div_ceil(account.batch(endpoint).max(1))
        })
        .sum()
}

/// A number with its noun.
fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// In the largest unit that it is a whole number of, as it would be written in the file.
fn bytes(number: usize) -> String {
    [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .into_iter()
        .find(|(_, bits)| number > 0 && number.trailing_zeros() >= *bits)
        .map_or_else(
            || counted(number, "byte"),
            |(unit, bits)| format!("{} {unit}", number >> bits),
        )
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config {
            api, poll, accounts, ..
        } = self.0;
        let domains: usize = accounts.iter().map(|account| account.domains.len()).sum();
        let calls: usize = accounts.iter().map(calls_per_poll).sum();
        let listed = if self.0.discovers() {
            " (listed, and others are discovered)"
        } else {
            ""
        };
        writeln!(
            f,
            "accounts: {}, domains: {domains}{listed}, calls per minute: {:.1}",
            accounts.len(),
            self.calls_per_minute(calls)
        )?;
        for account in accounts {
            let units = match account.units {
                Units::Decimal => "decimal",
                Units::Binary => "binary",
            };
            let calls_per_minute = self.calls_per_minute(calls_per_poll(account));
            write!(f, "  {}:", account.name.as_str().escape_debug())?;
            for endpoint in Endpoint::ALL {
                let domains = account.domains_of(endpoint).count();
                let batch = account.batch(endpoint);
                write!(
                    f,
                    " {endpoint} of {} ({batch} a call),",
                    counted(domains, "domain")
                )?;
            }
            if account.origin_ratio_label == LabelledBy::Start {
                write!(f, " origin_ratio labelled by start,")?;
            }
            writeln!(f, " {units} units, {calls_per_minute:.1} calls per minute")?;
            let budget = self.0.budget(account, Shard::WHOLE);
            if let Some(discovered) = self.0.discovered(account, std::iter::once(&budget), "") {
                writeln!(f, "    and {discovered}")?;
            }
        }
        writeln!(
            f,
            "provider: {}, time zone {}; for each account at most {} at once and {} per second; a request \
             may take {} and its reply {}",
            api.base_url,
            api.time_zone,
            counted(api.max_concurrency, "request"),
            api.max_requests_per_second,
            show(api.timeout),
            bytes(api.max_reply_bytes)
        )?;
        let settle = match poll.settle {
            Settle::Fixed(settle) => format!("{} old", show(settle)),
            Settle::Auto => "as old as the provider's habits ask (1m to 30m)".to_owned(),
        };
        write!(
            f,
            "polls: every {}, the last {} each time; a window is shown once it is {} and vanishes when it is \
             {} old",
            show(poll.interval),
            show(poll.window),
            settle,
            show(poll.stale_after)
        )
    }
}
