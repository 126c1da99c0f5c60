//! `check --live`: asks the provider once for each account and endpoint, and says in plain words
//! what is wrong and what to do.
//!
//! `probe` makes the calls; `judge`, with its words for failures in `failure`, for data in `data` and for lists
//! of domains in `list`, is pure; `report` prints.

mod data;
mod failure;
mod judge;
mod list;
mod probe;
mod report;

use std::io::{self, Write};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use crate::clock::Clock;
use crate::config::{Account, Config, DomainConfig};
use crate::model::Endpoint;
use crate::observer::Observer;
use crate::provider::{Client, ClientError, Connections, Trust};
use judge::{Circumstances, judge};
use probe::{ClockWatch, Probe, Prober};
use report::Block;

/// Accounts that are asked at once; within an account one call follows the other.
const ACCOUNTS_AT_ONCE: usize = 8;

/// What a live check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every call gave what was asked for.
    Good,
    /// At least one failed, or showed that something is set wrong.
    Trouble,
}

/// The check itself cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The client that would ask.
    #[error("the provider cannot be asked")]
    Client(#[from] ClientError),
    /// Its words cannot be written.
    #[error("the result cannot be written to standard output")]
    Output(#[from] io::Error),
}

/// Asks for the first batch of each account and endpoint, and writes one block for each to `out`, in
/// the order of the configuration.
///
/// # Errors
/// When nothing can be asked, or nothing written; what goes wrong with the provider is the outcome.
pub async fn live(
    config: &Config,
    trust: &Trust,
    clock: &Clock,
    out: &mut impl Write,
) -> Result<Outcome, CheckError> {
    let connections = Connections::new(&config.api, trust)?;
    let mut accounts = stream::iter(&config.accounts)
        .map(|account| check_account(config, account, &connections, clock))
        .buffered(ACCOUNTS_AT_ONCE);
    if config.api.base_url.scheme() == "http" && config.api.allow_plain_http {
        writeln!(
            out,
            "\nnote: api.allow_plain_http lets the signature, which is valid for a day, travel in the clear"
        )?;
    }
    let (mut checked, mut in_trouble) = (0_usize, 0_usize);
    while let Some(blocks) = accounts.next().await {
        for block in blocks {
            writeln!(out, "\n{block}")?;
            checked += 1;
            in_trouble += usize::from(!block.is_good());
        }
    }
    let outcome = if checked == 0 {
        writeln!(out, "\nnothing was asked: this shard owns no domain")?;
        Outcome::Good
    } else if in_trouble == 0 {
        writeln!(out, "\nall good: {checked} checked")?;
        Outcome::Good
    } else {
        writeln!(out, "\nnot good: {in_trouble} of {checked} checked")?;
        Outcome::Trouble
    };
    out.flush()?;
    Ok(outcome)
}

/// One after the other, so that the account's limits hold.
async fn check_account(
    config: &Config,
    account: &Account,
    connections: &Connections,
    clock: &Clock,
) -> Vec<Block> {
    let watch = Arc::new(ClockWatch::default());
    let observer: Arc<dyn Observer> = Arc::<ClockWatch>::clone(&watch);
    let client = Client::new(
        connections.clone(),
        Arc::new(config.api.clone()),
        account,
        clock.clone(),
        observer,
    );
    let mut prober = Prober::new(client, watch, clock.clone(), config.api.max_requests_per_second);
    let mut blocks = Vec::new();
    let mut account = account.clone();
    if let Some(discover) = account.discover.clone() {
        let (probe, page) = prober.list().await;
        let circumstances = circumstances(config, &account, Endpoint::OriginRatio);
        let (judgement, matching) = list::judge(&probe, page, &discover, &circumstances, account.max_domains);
        blocks.push(Block {
            account: account.name.clone(),
            endpoint: None,
            listed: 0,
            judgement,
            asked: Vec::new(),
            calls: probe.calls,
        });
        // What would be read of it is asked for too.
        for name in matching {
            if !account.domains.iter().any(|domain| domain.name == name) {
                account.domains.push(DomainConfig {
                    name,
                    endpoints: discover.endpoints.clone(),
                });
            }
        }
    }
    for endpoint in Endpoint::ALL {
        let domains: Vec<_> = account.domains_of(endpoint).cloned().collect();
        if domains.is_empty() {
            continue;
        }
        let batch = account.batch(endpoint).min(domains.len());
        let asked = domains.get(..batch).unwrap_or(&domains).to_vec();
        let probe: Probe = prober.probe(endpoint, asked).await;
        let circumstances = circumstances(config, &account, endpoint);
        blocks.push(Block {
            account: account.name.clone(),
            endpoint: Some(endpoint),
            listed: domains.len(),
            judgement: judge(&probe, &circumstances),
            asked: probe.asked,
            calls: probe.calls,
        });
    }
    blocks
}

fn circumstances<'a>(config: &'a Config, account: &'a Account, endpoint: Endpoint) -> Circumstances<'a> {
    Circumstances {
        endpoint,
        api: &config.api,
        settle: config.poll.visibility().rule.settle,
        stale_after: config.poll.stale_after,
        username: &account.username,
    }
}
