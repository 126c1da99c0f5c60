//! What `check` and `--config.check` print about a valid configuration: sizes, call rates and rules, no secrets.

use std::fmt;
use std::iter;
use std::time::Duration;

use crate::model::{Endpoint, LabelledBy, Units};
use crate::plan::{Budget, Shard};

use super::parse::show;
use super::{Config, Settle};

const MINUTE: Duration = Duration::from_secs(60);

/// Displays what a shard has to do for people, in a few lines without a final line break.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// All that is configured: `max_domains` is about the whole list.
    pub config: &'a Config,
    /// Whose part of it is shown.
    pub shard: Shard,
}

/// A number with its noun.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

fn calls_per_minute(budget: &Budget) -> f64 {
    budget.per(MINUTE, budget.calls_per_poll())
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
        let Self { config, shard } = *self;
        let Config {
            api, poll, accounts, ..
        } = config;
        let all = || accounts.iter().flat_map(|account| &account.domains);
        let domains = all().filter(|domain| shard.owns(&domain.name)).count();
        let at = if shard.is_whole() {
            ""
        } else {
            let all = counted(all().count(), "domain");
            writeln!(f, "shard: {shard} of {all}; its own:")?;
            " at this shard"
        };
        let budgets: Vec<Budget> = accounts
            .iter()
            .map(|account| config.budget(account, shard))
            .collect();
        let of_all: f64 = budgets.iter().map(calls_per_minute).sum();
        let listed = if config.discovers() {
            " (listed, and others are discovered)"
        } else {
            ""
        };
        writeln!(
            f,
            "accounts: {}, domains: {domains}{listed}, calls per minute: {of_all:.1}",
            accounts.len(),
        )?;
        for (account, budget) in accounts.iter().zip(&budgets) {
            let units = match account.units {
                Units::Decimal => "decimal",
                Units::Binary => "binary",
            };
            write!(f, "  {}:", account.name.as_str().escape_debug())?;
            for endpoint in Endpoint::ALL {
                let domains = counted(budget.domains(endpoint), "domain");
                write!(f, " {endpoint} of {domains} ({} a call),", budget.batch(endpoint))?;
            }
            if account.origin_ratio_label == LabelledBy::Start {
                write!(f, " origin_ratio labelled by start,")?;
            }
            writeln!(
                f,
                " {units} units, {:.1} calls per minute",
                calls_per_minute(budget)
            )?;
            if let Some(discovered) = config.discovered(account, iter::once(budget), at) {
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
