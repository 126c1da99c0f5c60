//! Discovers once, for what polls nothing and only needs to know the domains.

use std::sync::Arc;

use futures_util::future::join_all;

use super::lists::{Lists, joined, list_source};
use crate::clock::Clock;
use crate::config::{Account, Config};
use crate::discovery::{self, Assignment};
use crate::observer::Observer;
use crate::poller::Lane;
use crate::provider::{Client, Connections, Trust};
use crate::telemetry::chain;

/// Nobody cares for its events.
struct Unobserved;

impl Observer for Unobserved {}

/// The configuration with the domains that the provider lists now behind the listed ones.
///
/// # Errors
/// What is wrong with each account whose list cannot be read or is too long, with the remedy.
pub async fn discover_once(config: &Config, trust: &Trust, clock: &Clock) -> Result<Config, Vec<String>> {
    let connections = Connections::new(&config.api, trust).map_err(|error| vec![chain(&error)])?;
    let api = Arc::new(config.api.clone());
    let observer: Arc<dyn Observer> = Arc::new(Unobserved);
    let assignment = |account: &Account| Assignment {
        account: account.name.clone(),
        source: list_source(&config.api, account),
        reload: 0,
        max_domains: account.max_domains,
        catalogue: Client::new(
            connections.clone(),
            Arc::clone(&api),
            account,
            clock.clone(),
            Arc::clone(&observer),
        ),
        lane: Arc::new(Lane::new(
            account.name.clone(),
            config.api.max_concurrency,
            config.api.max_requests_per_second,
            Arc::clone(&observer),
        )),
    };
    let discovering = config
        .accounts
        .iter()
        .filter(|account| account.discover.is_some());
    let attempts = discovering.map(assignment).map(async |assignment| {
        let list = discovery::once(&assignment).await;
        (assignment, list)
    });
    let mut lists = Lists::default();
    let mut problems = Vec::new();
    for (assignment, list) in join_all(attempts).await {
        let Assignment { account, source, .. } = &assignment;
        match list {
            Ok(list) => lists = lists.with(account, *source, Arc::new(list)),
            Err(unlisted) => problems.push(format!(
                "the domains of account {account} cannot be discovered: {unlisted}"
            )),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    joined(config, &lists)
        .map(|joined| joined.config.into_owned())
        .map_err(|too_many| too_many.iter().map(ToString::to_string).collect())
}
