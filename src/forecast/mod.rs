//! `plan`: what a configuration costs before it runs, in calls, series, samples and memory, and which
//! shard owns what.

mod table;
mod text;

use std::borrow::Cow;
use std::time::Duration;

use crate::config::{Account, Config, DomainConfig};
use crate::exposition::families::samples_of;
use crate::exposition::{SelfMetrics, SelfMetricsError};
use crate::model::{AccountName, Endpoint};
use crate::plan::{Budget, ByEndpoint, Shard, owner};

pub use text::Text;

/// What the process takes without any domain, in bytes: what this program is to stay within, as
/// `docs/sharding.md` says.
const BASE_MEMORY: u64 = 10_000_000;

/// What a domain takes at both endpoints with an hour of windows, and its part of the rendered pages, in
/// bytes.
const DOMAIN_MEMORY: u64 = 2_000;

/// The windows of an hour, which [`DOMAIN_MEMORY`] includes.
const WINDOWS_INCLUDED: u64 = 12;

/// What one field of one more window takes: see [`crate::model::Series`].
const VALUE_MEMORY: u64 = 8;

/// One window of the provider's data.
const WINDOW_LENGTH: Duration = Duration::from_secs(300);

/// What one exporter, or several that share the domains, will do.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// Each shard that was asked for, by its ordinal.
    pub shares: Vec<Share>,
}

/// What one shard will do.
#[derive(Clone, Debug)]
pub struct Share {
    /// Which.
    pub shard: Shard,
    /// How many domains it owns.
    pub domains: usize,
    /// The calls of each account, in the order of the configuration.
    pub budgets: Vec<Budget>,
    /// Samples about the domains on `/metrics`, once every domain shows all that it can.
    pub domain_series: usize,
    /// Samples of the exporter itself on `/metrics`, once every account has been polled.
    pub own_series: usize,
    /// Samples on `/windows`, once every settled window is known.
    pub window_samples: usize,
    /// Memory in bytes, at most.
    pub memory: u64,
}

impl Share {
    /// Whether every account's calls fit its rate limit.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.budgets.iter().all(Budget::fits)
    }

    /// The calls of one poll of everything.
    #[must_use]
    pub fn calls_per_poll(&self) -> usize {
        self.budgets.iter().map(Budget::calls_per_poll).sum()
    }

    /// The share of its rate limit that the busiest account uses.
    #[must_use]
    pub fn busiest(&self) -> f64 {
        self.budgets.iter().map(Budget::share).fold(0.0, f64::max)
    }
}

impl Forecast {
    /// Of one exporter of several, or of the only one.
    ///
    /// # Errors
    /// The exporter's own metrics could not be set up: a defect.
    pub fn of_shard(config: &Config, shard: Shard) -> Result<Self, SelfMetricsError> {
        let own = Config::of_shard(Cow::Borrowed(config), shard);
        Ok(Self {
            shares: vec![share(&own, shard)?],
        })
    }

    /// Of all shards, 1 to [`crate::plan::MAX_SHARDS`].
    ///
    /// # Errors
    /// As [`Forecast::of_shard`].
    pub fn of_all(config: &Config, count: u32) -> Result<Self, SelfMetricsError> {
        // Each domain's owner is asked for once, instead of each shard for every domain.
        let empty = Config {
            accounts: config.accounts.iter().map(without_domains).collect(),
            ..config.clone()
        };
        let mut parts: Vec<Config> = (0..count).map(|_| empty.clone()).collect();
        for (place, account) in config.accounts.iter().enumerate() {
            for domain in &account.domains {
                let part = usize::try_from(owner(&domain.name, count))
                    .ok()
                    .and_then(|ordinal| parts.get_mut(ordinal))
                    .and_then(|part| part.accounts.get_mut(place));
                if let Some(account) = part {
                    account.domains.push(domain.clone());
                }
            }
        }
        let shares = (0..count)
            .zip(&parts)
            .filter_map(|(ordinal, part)| Some(share(part, Shard::new(ordinal, count).ok()?)))
            .collect::<Result<_, _>>()?;
        Ok(Self { shares })
    }

    /// Whether every account's calls fit its rate limit at every shard.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.shares.iter().all(Share::fits)
    }

    /// For each account whose calls do not fit everywhere, the shard at which it uses most of its rate
    /// limit; each shard once.
    #[must_use]
    pub fn too_busy(&self) -> Vec<Shard> {
        let accounts = self.shares.first().map_or(0, |share| share.budgets.len());
        let busiest = |place: usize| {
            self.shares
                .iter()
                .filter_map(|share| Some((share.budgets.get(place)?, share.shard)))
                .filter(|(budget, _)| !budget.fits())
                .max_by(|(a, _), (b, _)| a.share().total_cmp(&b.share()))
                .map(|(_, shard)| shard)
        };
        let mut shards: Vec<Shard> = (0..accounts).filter_map(busiest).collect();
        shards.sort_by_key(|shard| shard.ordinal());
        shards.dedup();
        shards
    }
}

fn without_domains(account: &Account) -> Account {
    Account {
        domains: Vec::new(),
        ..account.clone()
    }
}

/// Of a configuration that has the shard's own domains only.
fn share(own: &Config, shard: Shard) -> Result<Share, SelfMetricsError> {
    let budgets = own
        .accounts
        .iter()
        .map(|account| own.budget(account, Shard::WHOLE))
        .collect();
    let domains = || own.accounts.iter().flat_map(|account| &account.domains);
    let fields: usize = domains().map(fields).sum();
    let windows = settled_windows(own);
    Ok(Share {
        shard,
        domains: domains().count(),
        budgets,
        domain_series: samples_of(&domains().map(|domain| domain.endpoints.as_slice())),
        own_series: SelfMetrics::samples(&polled(own), &discovering(own))?,
        window_samples: fields.saturating_mul(windows),
        memory: memory(own, domains().count(), fields),
    })
}

/// The accounts, each with the endpoints at which it has domains.
fn polled(own: &Config) -> Vec<(AccountName, Vec<Endpoint>)> {
    let endpoints = |account: &Account| {
        Endpoint::ALL
            .into_iter()
            .filter(|endpoint| account.domains_of(*endpoint).next().is_some())
            .collect()
    };
    own.accounts
        .iter()
        .map(|account| (account.name.clone(), endpoints(account)))
        .collect()
}

fn discovering(own: &Config) -> Vec<AccountName> {
    own.accounts
        .iter()
        .filter(|account| account.discover.is_some())
        .map(|account| account.name.clone())
        .collect()
}

fn fields(domain: &DomainConfig) -> usize {
    domain.endpoints.iter().map(|endpoint| endpoint.width()).sum()
}

/// The windows of `poll.window` that are settled, where the two do not differ by whole windows the larger
/// number of the two that come in turn.
fn settled_windows(config: &Config) -> usize {
    let rule = config.poll.visibility().rule;
    let span = rule.horizon - rule.settle;
    let windows = span
        .to_std()
        .unwrap_or_default()
        .as_millis()
        .div_ceil(WINDOW_LENGTH.as_millis());
    usize::try_from(windows).unwrap_or(usize::MAX)
}

fn memory(config: &Config, domains: usize, fields: usize) -> u64 {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let windows = config.poll.window.as_millis().div_ceil(WINDOW_LENGTH.as_millis());
    let more = u64::try_from(windows)
        .unwrap_or(u64::MAX)
        .saturating_sub(WINDOWS_INCLUDED);
    let values = number(fields).saturating_mul(more).saturating_mul(VALUE_MEMORY);
    BASE_MEMORY
        .saturating_add(number(domains).saturating_mul(DOMAIN_MEMORY))
        .saturating_add(values)
}

/// The sums of several budgets at each endpoint: domains and calls.
fn totals<'a>(budgets: impl Iterator<Item = &'a Budget>) -> ByEndpoint<(usize, usize)> {
    let mut totals = Endpoint::ALL.map(|_| (0, 0));
    for budget in budgets {
        for ((domains, calls), endpoint) in totals.iter_mut().zip(Endpoint::ALL) {
            *domains += budget.domains(endpoint);
            *calls += budget.calls(endpoint);
        }
    }
    totals
}

#[cfg(test)]
mod tests;
