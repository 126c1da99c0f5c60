//! The lists that were discovered, and a configuration joined with them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::config::{Account, Api, Config, Discover, DomainConfig};
use crate::model::{AccountName, Domain, DomainList, stable_hash};

/// The last good list of each account that discovers.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists(HashMap<AccountName, (u64, Arc<DomainList>)>);

impl Lists {
    /// The same with another list of an account, read from a source.
    pub(super) fn with(&self, account: &AccountName, source: u64, list: Arc<DomainList>) -> Self {
        let mut lists = self.0.clone();
        lists.insert(account.clone(), (source, list));
        Self(lists)
    }

    /// The list of an account, if it is of the source that the account has now.
    pub(super) fn of(&self, account: &Account, api: &Api) -> Option<&Arc<DomainList>> {
        let (source, list) = self.0.get(&account.name)?;
        (*source == list_source(api, account)).then_some(list)
    }

    /// Forgets the lists of which a configuration knows nothing.
    pub(super) fn retain(&mut self, config: &Config) {
        let kept: HashSet<&AccountName> = config
            .accounts
            .iter()
            .filter(|account| account.discover.is_some() && self.of(account, &config.api).is_some())
            .map(|account| &account.name)
            .collect();
        let gone: Vec<AccountName> = self
            .0
            .keys()
            .filter(|name| !kept.contains(name))
            .cloned()
            .collect();
        for name in gone {
            self.0.remove(&name);
        }
    }
}

/// What decides whose list it is: a new key reads the same one, another user or address another.
pub(super) fn list_source(api: &Api, account: &Account) -> u64 {
    stable_hash(format!("{}\n{}\n{}", account.name, account.username, api.base_url).as_bytes())
}

/// What is to be polled, before it is shared out.
#[derive(Debug)]
pub(super) struct Joined<'a> {
    /// The configuration, with the discovered domains of each account behind the listed ones. Accounts
    /// without any stay: their limits and names do not depend on lists. Without lists it is no copy, which
    /// a hundred thousand domains would show.
    pub(super) config: Cow<'a, Config>,
    /// How many domains the filter of an account selects of its list, where it has one.
    pub(super) selected: Vec<(AccountName, usize)>,
    /// Accounts whose filter selects nothing, each with what it is and what there was to select from.
    pub(super) barren: Vec<(AccountName, String)>,
    /// Discovered domains that stay with another account.
    pub(super) contested: Vec<Contested>,
}

/// Domains that one account discovers and another has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contested {
    /// Who reads them.
    pub(super) account: AccountName,
    /// Who discovers them too.
    pub(super) other: AccountName,
    /// How many.
    pub(super) domains: usize,
    /// One of them.
    pub(super) example: Domain,
}

/// An account has more domains than it may have. `Display` says it with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    pub(super) account: AccountName,
    domains: usize,
    listed: usize,
    max_domains: usize,
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "domains.discover of account {} selects {} domains beside {} listed ones, {} in all, and max_domains \
             allows {}; narrow the filter, or write max_domains: {} for this account",
            self.account,
            self.domains - self.listed,
            self.listed,
            self.domains,
            self.max_domains,
            self.domains
        )
    }
}

/// Joins what is listed with what is discovered.
///
/// A domain is read through one account: through the one that lists it, or else through the first in the
/// configuration that discovers it. So who reads it does not depend on who was asked first.
pub(super) fn joined<'a>(config: &'a Config, lists: &Lists) -> Result<Joined<'a>, Vec<TooMany>> {
    let mut config = Cow::Borrowed(config);
    if lists.0.is_empty() {
        return Ok(Joined {
            config,
            selected: Vec::new(),
            barren: Vec::new(),
            contested: Vec::new(),
        });
    }
    let mut taken: HashMap<Domain, AccountName> = HashMap::new();
    for account in &config.accounts {
        let listed = account.domains.iter().map(|domain| domain.name.clone());
        taken.extend(listed.map(|domain| (domain, account.name.clone())));
    }
    let mut selected = Vec::new();
    let mut barren = Vec::new();
    let mut contested: BTreeMap<(AccountName, AccountName), (usize, Domain)> = BTreeMap::new();
    let mut too_many = Vec::new();
    let api = config.api.clone();
    for account in &mut config.to_mut().accounts {
        let (Some(discover), Some(list)) = (&account.discover, lists.of(account, &api)) else {
            continue;
        };
        let listed: HashSet<Domain> = account.domains.iter().map(|domain| domain.name.clone()).collect();
        let chosen = list.domains.iter().filter(|domain| discover.selects(domain));
        let chosen: Vec<&Domain> = chosen.map(|domain| &domain.name).collect();
        selected.push((account.name.clone(), chosen.len()));
        if chosen.is_empty() {
            barren.push((account.name.clone(), nothing(discover, list)));
        }
        let fresh: Vec<&Domain> = chosen
            .into_iter()
            .filter(|domain| !listed.contains(*domain))
            .collect();
        let domains = listed.len() + fresh.len();
        if domains > account.max_domains {
            too_many.push(TooMany {
                account: account.name.clone(),
                domains,
                listed: listed.len(),
                max_domains: account.max_domains,
            });
            continue;
        }
        for domain in fresh {
            if let Some(owner) = taken.get(domain) {
                contested
                    .entry((owner.clone(), account.name.clone()))
                    .or_insert_with(|| (0, domain.clone()))
                    .0 += 1;
                continue;
            }
            taken.insert(domain.clone(), account.name.clone());
            account.domains.push(DomainConfig {
                name: domain.clone(),
                endpoints: discover.endpoints.clone(),
            });
        }
    }
    if !too_many.is_empty() {
        return Err(too_many);
    }
    let contested = contested
        .into_iter()
        .map(|((account, other), (domains, example))| Contested {
            account,
            other,
            domains,
            example,
        });
    Ok(Joined {
        config,
        selected,
        barren,
        contested: contested.collect(),
    })
}

/// Why a filter selects nothing of a list.
fn nothing(discover: &Discover, list: &DomainList) -> String {
    if list.domains.is_empty() {
        "the provider lists none".to_owned()
    } else {
        let tally = discover.tally(&list.domains);
        format!("{tally}; it is to select {discover}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, parse};
    use crate::model::{Endpoint, ListedDomain};

    fn config(text: &str) -> Config {
        parse(text, "test", &Environment::default()).unwrap()
    }

    fn account(name: &str, lines: &str) -> String {
        format!("  - {{username: {name}, secret_key: made-up, {lines}}}\n")
    }

    fn list(names: &[&str]) -> Arc<DomainList> {
        Arc::new(DomainList {
            domains: names
                .iter()
                .map(|name| ListedDomain {
                    name: Domain::parse(name).unwrap(),
                    kind: String::new(),
                })
                .collect(),
            ..DomainList::default()
        })
    }

    fn lists(config: &Config, of: &[(usize, &[&str])]) -> Lists {
        of.iter().fold(Lists::default(), |lists, (place, names)| {
            let account = &config.accounts[*place];
            lists.with(&account.name, list_source(&config.api, account), list(names))
        })
    }

    fn names<'a>(joined: &'a Joined<'_>, place: usize) -> Vec<&'a str> {
        let domains = joined.config.accounts[place].domains.iter();
        domains.map(|domain| domain.name.as_str()).collect()
    }

    #[test]
    fn what_is_listed_wins_and_then_the_first_account_that_discovers() {
        let text = format!(
            "accounts:\n{}{}{}",
            account(
                "a",
                "domains: {discover: {endpoints: [bandwidth_flow]}, list: [{name: own.com, endpoints: [origin_ratio]}]}"
            ),
            account("b", "domains: {discover: {}}"),
            account("c", "domains: [third.com]"),
        );
        let config = config(&text);
        let lists = lists(
            &config,
            &[
                (0, &["both.com", "one.com", "own.com", "third.com"]),
                (1, &["both.com", "own.com", "two.com"]),
            ],
        );
        let joined = joined(&config, &lists).unwrap();
        assert_eq!(names(&joined, 0), ["own.com", "both.com", "one.com"]);
        assert_eq!(names(&joined, 1), ["two.com"]);
        assert_eq!(names(&joined, 2), ["third.com"]);
        let endpoints: Vec<_> = joined.config.accounts[0]
            .domains
            .iter()
            .map(|domain| domain.endpoints.clone())
            .collect();
        let flow = vec![Endpoint::BandwidthFlow];
        assert_eq!(endpoints, [vec![Endpoint::OriginRatio], flow.clone(), flow]);
        let told: Vec<(&str, &str, usize, &str)> = joined
            .contested
            .iter()
            .map(|c| {
                (
                    c.account.as_str(),
                    c.other.as_str(),
                    c.domains,
                    c.example.as_str(),
                )
            })
            .collect();
        assert_eq!(told, [("a", "b", 2, "both.com"), ("c", "a", 1, "third.com")]);
        let selected: Vec<usize> = joined.selected.iter().map(|(_, count)| *count).collect();
        assert_eq!(selected, [4, 3]);
    }

    /// Beside what is listed, which has nothing to do with the filter.
    #[test]
    fn a_filter_that_selects_nothing_is_noticed_with_its_reason() {
        let text = format!(
            "accounts:\n{}{}{}{}",
            account("a", "domains: {discover: {include: [nowhere]}, list: [a.com]}"),
            account("b", "domains: {discover: {}}"),
            account("c", "domains: {discover: {include: [c]}}"),
            account("d", "domains: {discover: {}}"),
        );
        let config = config(&text);
        // d has no list yet.
        let lists = lists(&config, &[(0, &["a.com", "b.com"]), (1, &[]), (2, &["c.com"])]);
        let joined = joined(&config, &lists).unwrap();
        let barren = joined.barren.iter();
        let told: Vec<(&str, &str)> = barren
            .map(|(account, why)| (account.as_str(), why.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (
                    "a",
                    "of 2 domains that the provider lists 0 match include; it is to select every domain that matches \
                     \"nowhere\""
                ),
                ("b", "the provider lists none")
            ]
        );
    }

    #[test]
    fn listed_and_discovered_together_are_held_to_max_domains() {
        let with = |max_domains: usize| {
            config(&format!(
                "accounts:\n{}",
                account(
                    "a",
                    &format!(
                        "max_domains: {max_domains}, domains: {{discover: {{exclude: [^x]}}, list: [a.com, b.com]}}"
                    )
                )
            ))
        };
        // b.com is both; x.com is not selected.
        let names: &[&str] = &["b.com", "c.com", "d.com", "x.com"];
        let config = with(4);
        let four = joined(&config, &lists(&config, &[(0, names)])).unwrap();
        assert_eq!(four.config.accounts[0].domains.len(), 4);
        let config = with(3);
        let refused = joined(&config, &lists(&config, &[(0, names)])).unwrap_err();
        assert_eq!(
            refused[0].to_string(),
            "domains.discover of account a selects 2 domains beside 2 listed ones, 4 in all, and max_domains allows 3; \
             narrow the filter, or write max_domains: 4 for this account"
        );
    }

    #[test]
    fn a_list_of_another_user_or_address_is_not_used() {
        let mine = config(&format!(
            "accounts:\n{}",
            account("a", "name: n, domains: {discover: {}}")
        ));
        let theirs = config(&format!(
            "accounts:\n{}",
            account("b", "name: n, domains: {discover: {}}")
        ));
        let elsewhere = config(&format!(
            "api: {{base_url: https://example.com}}\naccounts:\n{}",
            account("a", "name: n, domains: {discover: {}}")
        ));
        let without = config(&format!(
            "accounts:\n{}",
            account("a", "name: n, domains: [b.com]")
        ));
        let lists = lists(&mine, &[(0, &["a.com"])]);
        for (config, domains) in [(&mine, 1), (&theirs, 0), (&elsewhere, 0)] {
            let joined = joined(config, &lists).unwrap();
            assert_eq!(names(&joined, 0).len(), domains);
            let mut kept = lists.clone();
            kept.retain(config);
            assert_eq!(kept.0.len(), domains);
        }
        let mut kept = lists;
        kept.retain(&without);
        assert!(kept.0.is_empty());
    }
}
