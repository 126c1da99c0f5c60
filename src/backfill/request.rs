//! What a backfill is asked for, checked against the configuration, and the calls that it takes.

use std::collections::{HashMap, HashSet};

use super::history::History;
use super::range::{self, Moment, RangeError, pieces, show};
use crate::config::{Account, Config};
use crate::model::{Domain, Endpoint, WindowRange};
use crate::plan::batches;
use crate::provider::most_windows;

/// The most memory that readings may take: 31 days of 3,000 domains at both endpoints.
const MOST_BYTES: usize = 1 << 30;

/// The most rows (a domain's window) of one reply: about 10 MB of text, which fits `api.max_reply_bytes`
/// and is read within `api.timeout` as they are unless configured otherwise.
const MOST_ROWS: usize = 80_000;

/// What is asked for on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The windows end after this.
    pub start: Moment,
    /// And at or before this.
    pub end: Moment,
    /// Only these domains; all that are configured if empty.
    pub domains: Vec<Domain>,
}

/// Why a request is refused; each message ends with the remedy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The times.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// A domain that no account reads.
    #[error("--domain {0} is not in the configuration: add it to an account's domains, or correct it")]
    UnknownDomain(Domain),
    /// More than is kept in memory.
    #[error(
        "the readings would take {needed} MiB of memory, and {most} MiB are allowed: divide the range, or the \
         domains with --domain"
    )]
    TooMuch {
        /// Whole MiB.
        needed: usize,
        /// Whole MiB.
        most: usize,
    },
}

/// A checked request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The windows.
    pub range: WindowRange,
    /// One line that is the same whenever the readings can be used: the journal's header.
    pub header: String,
    /// What is to be filled, by account and endpoint as in the configuration.
    pub histories: Vec<History>,
    /// How to fill it.
    pub calls: Vec<Call>,
}

/// Domains that are asked for together, for consecutive windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The account's place in the configuration.
    pub account: usize,
    /// Where.
    pub endpoint: Endpoint,
    /// For which windows.
    pub range: WindowRange,
    /// For which domains, each with the place of its history in the request.
    pub domains: Vec<(Domain, usize)>,
}

impl Call {
    /// How many windows it asks for, each once for every domain.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.range.count() * self.domains.len()
    }

    /// The same without the domains that have been read already; `None` if none is left.
    #[must_use]
    pub fn without(mut self, read: &HashSet<(usize, WindowRange)>) -> Option<Self> {
        let range = self.range;
        self.domains
            .retain(|(_, history)| !read.contains(&(*history, range)));
        (!self.domains.is_empty()).then_some(self)
    }
}

impl Request {
    /// Checks what is wanted; `newest_settled` is the last window that may be asked for.
    ///
    /// # Errors
    /// Every problem at once, each with its remedy.
    pub fn new(
        wanted: &Wanted,
        config: &Config,
        newest_settled: crate::model::Window,
    ) -> Result<Self, Vec<RequestError>> {
        let configured: HashSet<&Domain> = config
            .accounts
            .iter()
            .flat_map(|account| account.domains.iter().map(|domain| &domain.name))
            .collect();
        let mut problems: Vec<RequestError> = wanted
            .domains
            .iter()
            .filter(|domain| !configured.contains(domain))
            .map(|domain| RequestError::UnknownDomain(domain.clone()))
            .collect();
        let range = range::windows(wanted.start, wanted.end, config.api.time_zone, newest_settled);
        match range {
            Ok(range) if problems.is_empty() => {
                Self::plan(&wanted.domains, config, range).map_err(|e| vec![e])
            }
            Ok(_) => Err(problems),
            Err(error) => {
                problems.insert(0, error.into());
                Err(problems)
            }
        }
    }

    fn plan(only: &[Domain], config: &Config, range: WindowRange) -> Result<Self, RequestError> {
        let wanted = |domain: &&Domain| only.is_empty() || only.contains(domain);
        let groups: Vec<(usize, &Account, Endpoint, Vec<Domain>)> = config
            .accounts
            .iter()
            .enumerate()
            .flat_map(|(place, account)| {
                Endpoint::ALL.map(|endpoint| {
                    let domains = account.domains_of(endpoint).filter(wanted).cloned().collect();
                    (place, account, endpoint, domains)
                })
            })
            .collect();
        fits(range, &groups)?;
        let mut header = header_start(config, range);
        let mut histories = Vec::new();
        let mut calls = Vec::new();
        for (account, settings, endpoint, domains) in groups {
            let mut places = HashMap::new();
            for domain in &domains {
                places.insert(domain.clone(), histories.len());
                histories.push(History::new(domain.clone(), endpoint, range));
            }
            let batch = settings.batch(endpoint);
            header.push_str(&header_part(settings, endpoint, batch, &domains));
            for batch in batches(&domains, batch) {
                let batch: Vec<(Domain, usize)> = batch
                    .into_iter()
                    .filter_map(|domain| places.get(&domain).map(|place| (domain, *place)))
                    .collect();
                for range in pieces(range, windows_a_call(endpoint, batch.len())) {
                    calls.push(Call {
                        account,
                        endpoint,
                        range,
                        domains: batch.clone(),
                    });
                }
            }
        }
        Ok(Self {
            range,
            header,
            histories,
            calls,
        })
    }
}

/// How many windows a call asks for: as many as the provider answers for and a reply may hold.
fn windows_a_call(endpoint: Endpoint, domains: usize) -> u32 {
    let rows = u32::try_from(MOST_ROWS / domains.max(1)).unwrap_or(u32::MAX);
    most_windows(endpoint).min(rows)
}

fn fits(range: WindowRange, groups: &[(usize, &Account, Endpoint, Vec<Domain>)]) -> Result<(), RequestError> {
    const MIB: usize = 1 << 20;
    let a_window: usize = groups
        .iter()
        .map(|(_, _, endpoint, domains)| domains.len() * endpoint.width() * size_of::<f64>())
        .sum();
    let needed = range.count().saturating_mul(a_window);
    if needed > MOST_BYTES {
        return Err(RequestError::TooMuch {
            needed: needed.div_ceil(MIB),
            most: MOST_BYTES / MIB,
        });
    }
    Ok(())
}

/// What makes readings usable for another run, on one line and without secrets: JSON strings have no
/// line breaks.
fn header_start(config: &Config, range: WindowRange) -> String {
    let zone = config.api.time_zone;
    format!(
        "jdcloud-cdn-exporter backfill 1 {} {} {}",
        show(range.first, zone),
        show(range.last, zone),
        serde_json::Value::from(config.api.base_url.as_str()),
    )
}

fn header_part(account: &Account, endpoint: Endpoint, batch: usize, domains: &[Domain]) -> String {
    let names: Vec<&str> = domains.iter().map(Domain::as_str).collect();
    format!(
        " {} {:?} {:?} {endpoint} {batch} {}",
        serde_json::Value::from(account.username.as_str()),
        account.units,
        account.origin_ratio_label,
        serde_json::Value::from(names),
    )
}
