//! Judges a call as the provider would: parameters, account, signature, domains, range.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeDelta, Utc};
use md5::{Digest as _, Md5};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::model::{Domain, Endpoint, Window, WindowRange};
use crate::simulator::options::SimulatedAccount;
use crate::simulator::reply::Question;

/// The parameters of a call, none of them checked. Unknown ones are ignored.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Parameters {
    pub(super) username: String,
    pub(super) signature: String,
    pub(super) domain: String,
    pub(super) start_time: String,
    pub(super) end_time: Option<String>,
    #[serde(rename = "pageNumber")]
    pub(super) page_number: Option<usize>,
    #[serde(rename = "pageSize")]
    pub(super) page_size: Option<usize>,
}

impl Parameters {
    /// The `domain` list, parted at commas, without the blanks that the documents' example carries.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.domain
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
    }

    /// Those of them that are host names.
    pub(super) fn domains(&self) -> Vec<Domain> {
        self.names().filter_map(|name| Domain::parse(name).ok()).collect()
    }
}

/// Why a call is refused: the `status` of the reply.
///
/// The sources give 2, 3, 4, 12, 13 and 14 only as "parameter missing or malformed"; which is
/// which is this simulator's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) i64);

impl Refusal {
    /// No JSON object, or no `username`.
    pub(super) const BODY: Self = Self(2);
    const SIGNATURE_MISSING: Self = Self(3);
    const DOMAIN_MALFORMED: Self = Self(4);
    const WRONG_SIGNATURE: Self = Self(7);
    const START_MISSING: Self = Self(12);
    const START_MALFORMED: Self = Self(13);
    const END_MALFORMED: Self = Self(14);
    const FOREIGN_DOMAIN: Self = Self(15);
    const START_AFTER_END: Self = Self(19);
    const UNKNOWN_USER: Self = Self(20);
    const TOO_MANY_DOMAINS: Self = Self(22);
    const OVER_SEVEN_DAYS: Self = Self(42);
    const OVER_THIRTY_DAYS: Self = Self(45);
}

/// The accounts as they are now.
#[derive(Debug, Default)]
pub(super) struct Accounts(HashMap<String, AccountState>);

#[derive(Debug)]
struct AccountState {
    secret_key: SecretString,
    /// Each domain and whether it is live only.
    domains: HashMap<Domain, bool>,
}

impl Accounts {
    pub(super) fn new(accounts: &[SimulatedAccount]) -> Self {
        let state = |account: &SimulatedAccount| AccountState {
            secret_key: account.secret_key.clone(),
            domains: account
                .domains
                .iter()
                .map(|domain| (domain.name.clone(), domain.live_only))
                .collect(),
        };
        Self(accounts.iter().map(|a| (a.username.clone(), state(a))).collect())
    }

    /// What a user lists, whether or not a call is signed.
    pub(super) fn listed(&self, username: &str) -> Vec<Domain> {
        self.0.get(username.trim()).map(listed).unwrap_or_default()
    }

    /// Gives a domain to an account; `false` if there is no such account.
    pub(super) fn add_domain(&mut self, username: &str, domain: &Domain, live_only: bool) -> bool {
        self.0
            .get_mut(username)
            .map(|account| account.domains.insert(domain.clone(), live_only))
            .is_some()
    }

    /// Takes a domain from an account; `false` if it had none of that name.
    pub(super) fn remove_domain(&mut self, username: &str, domain: &Domain) -> bool {
        self.0
            .get_mut(username)
            .is_some_and(|account| account.domains.remove(domain).is_some())
    }
}

fn listed(account: &AccountState) -> Vec<Domain> {
    let mut domains: Vec<Domain> = account
        .domains
        .iter()
        .filter(|(_, live_only)| !**live_only)
        .map(|(domain, _)| domain.clone())
        .collect();
    domains.sort();
    domains
}

/// The provider's rules at this moment.
pub(super) struct Rules<'a> {
    pub(super) accounts: &'a Accounts,
    pub(super) domain_limit: usize,
    pub(super) time_zone: FixedOffset,
    pub(super) now: DateTime<Utc>,
    /// Takes the signatures of the neighbouring days and not that of the day itself.
    pub(super) other_day: bool,
}

impl Rules<'_> {
    /// What the call asks for, or the status that refuses it.
    pub(super) fn judge(&self, endpoint: Endpoint, call: &Parameters) -> Result<Question, Refusal> {
        let account = self.account(call)?;
        let range = self.range(endpoint, call)?;
        let domains = self.domains(endpoint, account, call)?;
        Ok(Question {
            endpoint,
            domains,
            range,
        })
    }

    /// The domains that the call's account lists, static ones only, in the order of their names.
    pub(super) fn judge_list(&self, call: &Parameters) -> Result<Vec<Domain>, Refusal> {
        Ok(listed(self.account(call)?))
    }

    fn account(&self, call: &Parameters) -> Result<&AccountState, Refusal> {
        let username = call.username.trim();
        if username.is_empty() {
            return Err(Refusal::BODY);
        }
        if call.signature.trim().is_empty() {
            return Err(Refusal::SIGNATURE_MISSING);
        }
        let account = self.accounts.0.get(username).ok_or(Refusal::UNKNOWN_USER)?;
        if !self.signed(username, account, call.signature.trim()) {
            return Err(Refusal::WRONG_SIGNATURE);
        }
        Ok(account)
    }

    fn signed(&self, username: &str, account: &AccountState, given: &str) -> bool {
        let days: &[i64] = if self.other_day { &[-1, 1] } else { &[0] };
        days.iter().any(|days| {
            let day = (self.now + TimeDelta::days(*days)).with_timezone(&self.time_zone);
            let date = day.format("%Y%m%d").to_string();
            signature(&date, username, account.secret_key.expose_secret()) == given
        })
    }

    fn domains(
        &self,
        endpoint: Endpoint,
        account: &AccountState,
        call: &Parameters,
    ) -> Result<Vec<Domain>, Refusal> {
        let mut seen = HashSet::new();
        let mut domains: Vec<Domain> = Vec::new();
        for name in call.names() {
            let domain = Domain::parse(name).map_err(|_| Refusal::DOMAIN_MALFORMED)?;
            if seen.insert(domain.clone()) {
                domains.push(domain);
            }
        }
        if domains.is_empty() {
            return Err(Refusal::DOMAIN_MALFORMED);
        }
        if domains.len() > self.domain_limit {
            return Err(Refusal::TOO_MANY_DOMAINS);
        }
        let known = |domain| match (account.domains.get(domain), endpoint) {
            (None, _) | (Some(true), Endpoint::OriginRatio) => false,
            (Some(_), _) => true,
        };
        if domains.iter().all(known) {
            Ok(domains)
        } else {
            Err(Refusal::FOREIGN_DOMAIN)
        }
    }

    fn range(&self, endpoint: Endpoint, call: &Parameters) -> Result<WindowRange, Refusal> {
        if call.start_time.trim().is_empty() {
            return Err(Refusal::START_MISSING);
        }
        let start = self.instant(&call.start_time).ok_or(Refusal::START_MALFORMED)?;
        let end = match call.end_time.as_deref().map(str::trim) {
            None | Some("") => self.now,
            Some(text) => self.instant(text).ok_or(Refusal::END_MALFORMED)?,
        };
        if start > end {
            return Err(Refusal::START_AFTER_END);
        }
        let (longest, refusal) = match endpoint {
            Endpoint::BandwidthFlow => (TimeDelta::days(30), Refusal::OVER_THIRTY_DAYS),
            Endpoint::OriginRatio => (TimeDelta::days(7), Refusal::OVER_SEVEN_DAYS),
        };
        if end - start > longest {
            return Err(refusal);
        }
        // The first window whose end is not before the start, since both ends are inclusive.
        let first = Window::newest_ended(start + TimeDelta::seconds(Window::SECONDS - 1));
        let last = Window::newest_ended(end);
        Ok(WindowRange { first, last })
    }

    /// `yyyy-mm-dd hh:mi`, with any number of blanks between: the documents' example has two.
    fn instant(&self, text: &str) -> Option<DateTime<Utc>> {
        let mut parts = text.split_whitespace();
        let (date, time) = (parts.next()?, parts.next()?);
        if parts.next().is_some() || date.len() != "yyyy-mm-dd".len() || time.len() != "hh:mi".len() {
            return None;
        }
        NaiveDateTime::parse_from_str(&format!("{date} {time}"), "%Y-%m-%d %H:%M")
            .ok()?
            .and_local_timezone(self.time_zone)
            .single()
            .map(|local| local.with_timezone(&Utc))
    }
}

/// Lower-case hex of `md5(date + username + secret_key)` (both documents, section 2).
fn signature(date: &str, username: &str, secret_key: &str) -> String {
    let digest = Md5::new()
        .chain_update(date)
        .chain_update(username)
        .chain_update(secret_key)
        .finalize();
    digest.iter().fold(String::with_capacity(32), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
