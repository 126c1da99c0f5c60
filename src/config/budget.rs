//! What a configuration costs in calls, and the refusal of one that no rate limit would let be polled in
//! time: the numbers, and the settings that would do.

use std::borrow::Cow;
use std::time::Duration;

use super::accounts::MAX_BATCH;
use super::load::{MAX_INTERVAL, MAX_REQUESTS_PER_SECOND, WINDOW_LENGTH};
use super::parse::show;
use super::problems::{Problem, Problems};
use super::{Account, Config};
use crate::model::{AccountName, Domain, Endpoint};
use crate::plan::{Budget, ByEndpoint, Shard, Terms, fewest_shards};

impl Config {
    /// The settings that decide how many calls an account takes and may make.
    #[must_use]
    pub fn terms(&self, account: &Account) -> Terms {
        Terms {
            interval: self.poll.interval,
            per_second: self.api.max_requests_per_second,
            batches: Endpoint::ALL.map(|endpoint| account.batch(endpoint)),
        }
    }

    /// What the domains of an account that a shard owns cost.
    #[must_use]
    pub fn budget(&self, account: &Account, shard: Shard) -> Budget {
        let mut domains: ByEndpoint<usize> = Endpoint::ALL.map(|_| 0);
        for domain in account.domains.iter().filter(|domain| shard.owns(&domain.name)) {
            for endpoint in &domain.endpoints {
                if let Some(count) = domains.get_mut(endpoint.index()) {
                    *count += 1;
                }
            }
        }
        Budget::new(self.terms(account), domains)
    }

    /// Whether an account of it reads the provider's list of domains.
    #[must_use]
    pub fn discovers(&self) -> bool {
        self.accounts.iter().any(|account| account.discover.is_some())
    }

    /// What an account discovers beside what is listed, in words: which domains, how many at most, and for
    /// how many of them the rate limit has room at the shard with the least; `at` names it.
    #[must_use]
    pub fn discovered<'a>(
        &self,
        account: &Account,
        budgets: impl Iterator<Item = &'a Budget>,
        at: &str,
    ) -> Option<String> {
        let discover = account.discover.as_ref()?;
        let most = account.max_domains.saturating_sub(account.domains.len());
        let endpoints = Endpoint::ALL.map(|endpoint| discover.endpoints.contains(&endpoint));
        let room = budgets.map(|budget| budget.room(endpoints, most)).min();
        let room = match room.unwrap_or(0) {
            room if room == most => "all of them".to_owned(),
            0 => format!("none of them{at}"),
            room => format!("{room} of them{at}"),
        };
        let names: Vec<&str> = discover.endpoints.iter().map(|at| at.name()).collect();
        Some(format!(
            "discovers {discover}, read at {}: known only once it runs and not counted here, at most {most} \
             (max_domains: {}); the rate limit has room for {room}",
            names.join(" and "),
            account.max_domains
        ))
    }

    /// The configuration with only the domains that a shard owns. Accounts that are left without any
    /// stay: their limits and names do not depend on how many shards there are.
    /// What is a copy already is not copied again.
    #[must_use]
    pub fn of_shard(mut config: Cow<'_, Self>, shard: Shard) -> Cow<'_, Self> {
        if !shard.is_whole() {
            for account in &mut config.to_mut().accounts {
                account.domains.retain(|domain| shard.owns(&domain.name));
            }
        }
        config
    }

    /// The accounts of which this shard's domains cannot be polled within `poll.interval` at the rate
    /// limit, each with the numbers and what would do.
    #[must_use]
    pub fn over_budget(&self, shard: Shard) -> Vec<(AccountName, String)> {
        let over = self.over(shard);
        over.map(|(place, account, budget)| {
            (account.name.clone(), self.explain(place, account, &budget, shard))
        })
        .collect()
    }

    fn over(&self, shard: Shard) -> impl Iterator<Item = (usize, &Account, Budget)> {
        self.accounts
            .iter()
            .enumerate()
            .map(move |(place, account)| (place, account, self.budget(account, shard)))
            .filter(|(_, _, budget)| !budget.fits())
    }

    fn explain(&self, place: usize, account: &Account, budget: &Budget, shard: Shard) -> String {
        let costs: Vec<String> = Endpoint::ALL
            .into_iter()
            .filter(|endpoint| budget.domains(*endpoint) > 0)
            .map(|endpoint| {
                let (domains, batch) = (budget.domains(endpoint), budget.batch(endpoint));
                format!("{endpoint} of {domains} by {batch}")
            })
            .collect();
        let of_shard = if shard.is_whole() {
            String::new()
        } else {
            format!(" in shard {shard}")
        };
        format!(
            "take {} calls every {}{of_shard} ({}), and api.max_requests_per_second: {} allows {}; {}",
            budget.calls_per_poll(),
            show(self.poll.interval),
            costs.join(", "),
            self.api.max_requests_per_second,
            whole_calls(budget.allowed()),
            self.remedies(place, account, budget)
        )
    }

    fn remedies(&self, place: usize, account: &Account, budget: &Budget) -> String {
        let remedies = budget.remedies(MAX_BATCH);
        let mut ways = Vec::new();
        if remedies.interval <= MAX_INTERVAL {
            ways.push(format!(
                "poll.interval: {}{}",
                show(remedies.interval),
                self.with_longer_memory(remedies.interval)
            ));
        }
        if remedies.per_second <= MAX_REQUESTS_PER_SECOND {
            ways.push(format!("api.max_requests_per_second: {}", remedies.per_second));
        }
        if let Some(batches) = remedies.batches {
            let larger: Vec<String> = Endpoint::ALL
                .into_iter()
                .zip(batches)
                .filter(|(endpoint, batch)| *batch > account.batch(*endpoint))
                .map(|(endpoint, batch)| {
                    // Its documents name one domain, though its reply has room for several.
                    let doubt = match endpoint {
                        Endpoint::BandwidthFlow => " if the provider takes lists there",
                        Endpoint::OriginRatio => "",
                    };
                    format!("accounts[{place}].{endpoint}_batch: {batch}{doubt}")
                })
                .collect();
            ways.push(larger.join(" and "));
        }
        let domains = account.domains.iter().map(read_at);
        if let Some(count) = fewest_shards(self.terms(account), domains) {
            ways.push(format!(
                "{count} shards as in --shard=0/{count}, each of which asks at this rate"
            ));
        }
        if ways.is_empty() {
            "no setting would do; shorten the list".to_owned()
        } else {
            format!("what would do: {}", ways.join("; or "))
        }
    }

    /// Between two polls values must not vanish, nor windows be passed over: one is up to settle + 5m old
    /// when it is first shown, and the next poll comes an interval later.
    fn with_longer_memory(&self, interval: Duration) -> String {
        let needed = self.poll.settle.longest() + WINDOW_LENGTH + interval;
        [
            ("poll.window", self.poll.window),
            ("poll.stale_after", self.poll.stale_after),
        ]
        .into_iter()
        .filter(|(_, present)| *present < needed)
        .fold(String::new(), |text, (key, _)| {
            format!("{text} and {key}: {}", show(needed))
        })
    }
}

fn read_at(domain: &super::DomainConfig) -> (&Domain, ByEndpoint<bool>) {
    let endpoints = Endpoint::ALL.map(|endpoint| domain.endpoints.contains(&endpoint));
    (&domain.name, endpoints)
}

/// A fraction of a call is of use to nobody.
fn whole_calls(calls: f64) -> String {
    if calls < 1.0 {
        "less than one".to_owned()
    } else {
        calls.floor().to_string()
    }
}

/// Whether a shard may poll what a checked configuration lists.
///
/// # Errors
/// `shards` lists another number of them, and each account of which the shard's domains cannot be polled
/// within `poll.interval` at the rate limit.
pub fn admit(config: &Config, place: &str, shard: Shard) -> Result<(), Problems> {
    let mut problems: Vec<Problem> = other_number(config, place, shard).into_iter().collect();
    for (index, account, budget) in config.over(shard) {
        let text = config.explain(index, account, &budget, shard);
        problems.push(Problem::at(place, format!("accounts[{index}].domains"), text));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.into())
    }
}

fn other_number(config: &Config, place: &str, shard: Shard) -> Option<Problem> {
    let listed = config.shards.len();
    let same = u32::try_from(listed).is_ok_and(|listed| listed == shard.count());
    if listed == 0 || same {
        return None;
    }
    let remedy = if shard.is_whole() {
        "remove the key".to_owned()
    } else {
        format!("list all {}", shard.count())
    };
    let text = format!(
        "lists {listed}, and this is shard {shard}; start it with --shard=i/{listed}, where i is its place in the \
         list from 0, or {remedy}"
    );
    Some(Problem::at(place, "shards", text))
}
