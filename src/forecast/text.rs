//! PURE: a forecast in words and aligned numbers, for people.

use std::fmt;
use std::time::Duration;

use super::table::Table;
use super::{Forecast, Share, totals};
use crate::config::{Config, counted, show};
use crate::model::Endpoint;
use crate::plan::Budget;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Displays a forecast, each line with its line break.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// What is forecast.
    pub forecast: &'a Forecast,
    /// Of what.
    pub config: &'a Config,
    /// Adds which domain belongs to which shard.
    pub domains: bool,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: usize = self
            .config
            .accounts
            .iter()
            .map(|account| account.domains.len())
            .sum();
        let domains = counted(all, "domain");
        let own: usize = self.forecast.shares.iter().map(|share| share.domains).sum();
        match self.forecast.shares.as_slice() {
            [share] if !share.shard.is_whole() => write!(f, "shard {}: {own} of {domains}", share.shard)?,
            [_] => write!(f, "{domains}")?,
            shares => write!(f, "{} shards of {domains}", shares.len())?,
        }
        if self.config.discovers() {
            write!(f, " (listed, and others are discovered)")?;
        }
        writeln!(
            f,
            "; polled every {}, the last {} each time; for each account at most {} requests per second{} and {} at \
             once",
            show(self.config.poll.interval),
            show(self.config.poll.window),
            self.config.api.max_requests_per_second,
            if self.forecast.shares.len() > 1 {
                " and shard"
            } else {
                ""
            },
            self.config.api.max_concurrency
        )?;
        for place in 0..self.config.accounts.len() {
            self.account(f, place)?;
        }
        if self.forecast.shares.len() > 1 {
            self.shards(f)?;
        }
        self.together(f)?;
        if self.domains {
            self.owners(f)?;
        }
        Ok(())
    }
}

impl Text<'_> {
    /// The calls of one account, at all shards together.
    fn account(&self, f: &mut fmt::Formatter<'_>, place: usize) -> fmt::Result {
        let Some(account) = self.config.accounts.get(place) else {
            return Ok(());
        };
        let budgets = || {
            self.forecast
                .shares
                .iter()
                .filter_map(|share| share.budgets.get(place))
        };
        let Some(first) = budgets().next() else {
            return Ok(());
        };
        let mut table = Table::new(&[
            "endpoint",
            "domains",
            "batch",
            "calls a poll",
            "a minute",
            "an hour",
        ]);
        let totals = totals(budgets());
        for (endpoint, (domains, calls)) in Endpoint::ALL.into_iter().zip(totals) {
            table.row(
                [
                    endpoint.to_string(),
                    domains.to_string(),
                    first.batch(endpoint).to_string(),
                ]
                .into_iter()
                .chain(rates(first, calls)),
            );
        }
        let calls = totals.iter().map(|(_, calls)| calls).sum();
        let blank = String::new;
        table.row(
            ["together".to_owned(), blank(), blank()]
                .into_iter()
                .chain(rates(first, calls)),
        );
        write!(f, "\naccount {}\n{table}", account.name.as_str().escape_debug())?;
        let at = match self.forecast.shares.as_slice() {
            [share] if share.shard.is_whole() => "",
            [_] => " at this shard",
            _ => " at each shard",
        };
        if let Some(discovered) = self.config.discovered(account, budgets(), at) {
            writeln!(f, "  and {discovered}")?;
        }
        let Some(busiest) = budgets().max_by(|a, b| a.share().total_cmp(&b.share())) else {
            return Ok(());
        };
        let verdict = if busiest.fits() {
            ""
        } else {
            ": MORE THAN IS ALLOWED"
        };
        let of = if self.forecast.shares.len() > 1 {
            " at the busiest shard"
        } else {
            ""
        };
        writeln!(f, "  {} of the rate limit{of}{verdict}", percent(busiest.share()))?;
        let latency = self.latency(busiest);
        // A call that takes longer is given up anyway.
        if latency < self.config.api.timeout.as_secs_f64() {
            writeln!(
                f,
                "  {latency:.3} s is what a call may take on average before api.max_concurrency: {} delays polls",
                self.config.api.max_concurrency
            )?;
        }
        Ok(())
    }

    /// With so many calls at once, all of an interval's calls fit if each takes at most this many seconds.
    fn latency(&self, budget: &Budget) -> f64 {
        let at_once = u32::try_from(self.config.api.max_concurrency).unwrap_or(u32::MAX);
        // Calls of a second each, by the same formula: how many intervals they fill.
        f64::from(at_once) / budget.per(Duration::from_secs(1), budget.calls_per_poll())
    }

    fn shards(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            "shard",
            "domains",
            "calls a minute",
            "of the rate limit",
            "series",
            "samples on /windows",
            "memory",
        ]);
        for share in &self.forecast.shares {
            table.row([
                share.shard.to_string(),
                share.domains.to_string(),
                Self::per(share, MINUTE),
                percent(share.busiest()),
                (share.domain_series + share.own_series).to_string(),
                share.window_samples.to_string(),
                megabytes(share.memory),
            ]);
        }
        write!(
            f,
            "\nshards; of the rate limit what the busiest account uses\n{table}"
        )
    }

    fn per(share: &Share, span: Duration) -> String {
        share.budgets.first().map_or_else(
            || "0".to_owned(),
            |any| format!("{:.1}", any.per(span, share.calls_per_poll())),
        )
    }

    fn together(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = &self.forecast.shares;
        let sum = |number: fn(&Share) -> usize| shares.iter().map(number).sum::<usize>();
        let calls = sum(Share::calls_per_poll);
        let any = shares.iter().find_map(|share| share.budgets.first());
        let per = |span| any.map_or(0.0, |any| any.per(span, calls));
        let memory = shares
            .iter()
            .map(|share| share.memory)
            .fold(0, u64::saturating_add);
        let (about, own) = (sum(|share| share.domain_series), sum(|share| share.own_series));
        if self.config.discovers() {
            writeln!(f, "\ntogether, without what is discovered")?;
        } else {
            writeln!(f, "\ntogether")?;
        }
        for (what, value) in [
            ("domains", sum(|share| share.domains).to_string()),
            ("calls a poll", calls.to_string()),
            ("calls a minute", format!("{:.1}", per(MINUTE))),
            ("calls an hour", format!("{:.1}", per(HOUR))),
            (
                "series on /metrics",
                format!(
                    "{} ({about} about domains, {own} of the exporter itself)",
                    about + own
                ),
            ),
            (
                "samples on /windows",
                sum(|share| share.window_samples).to_string(),
            ),
            ("memory, at most about", megabytes(memory)),
        ] {
            writeln!(f, "  {what:<23}{value}")?;
        }
        writeln!(
            f,
            "Retries of failed calls come on top: over time at most one for five calls."
        )
    }

    fn owners(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (only, first) = match self.forecast.shares.as_slice() {
            [share] => (true, share.shard),
            [first, ..] => (false, first.shard),
            [] => return Ok(()),
        };
        let shard_of = |domain| Some(first.owner_of(domain)).filter(|owner| !only || *owner == first);
        writeln!(f, "\ndomains by shard")?;
        let mut owned: Vec<_> = self
            .config
            .accounts
            .iter()
            .flat_map(|account| &account.domains)
            .filter_map(|domain| Some((shard_of(&domain.name)?, &domain.name)))
            .collect();
        owned.sort_by_key(|(shard, domain)| (shard.ordinal(), *domain));
        for (shard, domain) in owned {
            writeln!(f, "  {shard}  {domain}")?;
        }
        Ok(())
    }
}

fn rates(any: &Budget, calls: usize) -> [String; 3] {
    [
        calls.to_string(),
        format!("{:.1}", any.per(MINUTE, calls)),
        format!("{:.1}", any.per(HOUR, calls)),
    ]
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}
