//! The accounts of a configuration and their domains, checked one by one and against each other.

use std::collections::BTreeMap;

use crate::model::{AccountName, Domain, Endpoint, LabelledBy, Units};

use super::discover::{Discover, discover};
use super::environment::Environment;
use super::parse::{Given, integer, name, one_of, quote, raw_text};
use super::secret::secret_key;
use super::walk::{Node, Walk};
use super::{Account, DomainConfig};

/// The most domains in one call; the provider's own limit is not documented (status 22 tells).
pub(super) const MAX_BATCH: usize = 1000;

/// The most that `max_domains` may be: the names alone take some 100 MB then and seconds to read, and
/// at 2 KB for each domain's hour the readings take 2 GB. More belongs into several configurations.
const MAX_MAX_DOMAINS: usize = 1_000_000;

const UNITS: &[(&str, Units)] = &[("decimal", Units::Decimal), ("binary", Units::Binary)];

const LABELS: &[(&str, LabelledBy)] = &[("end", LabelledBy::End), ("start", LabelledBy::Start)];

const ENDPOINTS: &[(&str, Endpoint)] = &[
    (Endpoint::BandwidthFlow.name(), Endpoint::BandwidthFlow),
    (Endpoint::OriginRatio.name(), Endpoint::OriginRatio),
];

const ACCOUNT_REMEDY: &str =
    "start it with \"- username: …\" and put the other keys below, each as \"key: value\"";

/// Every account; `None` once a problem is noted.
pub(super) fn accounts(
    walk: &mut Walk<'_>,
    root: &Node<'_>,
    environment: &Environment,
) -> Option<Vec<Account>> {
    let items = walk.list(
        root,
        "accounts",
        "list at least one account, each as \"- username: …\"",
    )?;
    let mut taken = Taken::default();
    let accounts: Vec<Option<Account>> = items
        .iter()
        .map(|item| account(walk, item, environment, &mut taken))
        .collect();
    accounts.into_iter().collect()
}

/// Where each name was first given.
#[derive(Default)]
struct Taken {
    accounts: BTreeMap<String, String>,
    domains: BTreeMap<Domain, String>,
}

fn account(
    walk: &mut Walk<'_>,
    node: &Node<'_>,
    environment: &Environment,
    taken: &mut Taken,
) -> Option<Account> {
    if !walk.section(node, ACCOUNT_REMEDY) {
        return None;
    }
    let username = walk.required(node, "username", "write the account's name at the provider", name);
    let label = if node.child("name").is_present() {
        walk.setting(node, "name", name)
    } else {
        username.clone()
    };
    let label = label.filter(|label| unused_name(walk, node, label, taken));
    let secret_key = secret_key(walk, node, environment);
    let units = walk.setting(node, "units", one_of(UNITS));
    let origin_ratio_label = walk.setting(node, "origin_ratio_label", one_of(LABELS));
    let bandwidth_flow_batch = walk.setting(node, "bandwidth_flow_batch", integer(1..=MAX_BATCH));
    let origin_ratio_batch = walk.setting(node, "origin_ratio_batch", integer(1..=MAX_BATCH));
    let max_domains = walk.setting(node, "max_domains", integer(1..=MAX_MAX_DOMAINS));
    let domains = domains(walk, node, taken);
    if let (Some(max_domains), Some((domains, _))) = (max_domains, &domains)
        && domains.len() > max_domains
    {
        let count = domains.len();
        let remedy = if count <= MAX_MAX_DOMAINS {
            format!("write max_domains: {count} for this account, or shorten the list")
        } else {
            format!("divide the list between configurations of at most {MAX_MAX_DOMAINS}")
        };
        let text = format!("lists {count} domains, and max_domains allows {max_domains}; {remedy}");
        walk.problem(&node.child("domains"), text);
    }
    let (domains, discover) = domains?;
    Some(Account {
        name: AccountName::new(&label?),
        username: username?,
        secret_key: secret_key?,
        units: units?,
        origin_ratio_label: origin_ratio_label?,
        bandwidth_flow_batch: bandwidth_flow_batch?,
        origin_ratio_batch: origin_ratio_batch?,
        max_domains: max_domains?,
        domains,
        discover,
    })
}

fn unused_name(walk: &mut Walk<'_>, node: &Node<'_>, label: &str, taken: &mut Taken) -> bool {
    let Some(first) = taken.accounts.get(label) else {
        taken.accounts.insert(label.to_owned(), node.path().to_owned());
        return true;
    };
    let text = format!(
        "has the same name as {first}, {}; give one of them another with name:",
        quote(label)
    );
    walk.problem(node, text);
    false
}

const LIST_REMEDY: &str = "list at least one domain, each as \"- www.example.com\"";

/// The listed domains, and which others are read: a list, or a mapping of `discover` and `list`.
fn domains(
    walk: &mut Walk<'_>,
    account: &Node<'_>,
    taken: &mut Taken,
) -> Option<(Vec<DomainConfig>, Option<Discover>)> {
    let node = account.child("domains");
    if !node.is_table() {
        return Some((listed(walk, account, "domains", LIST_REMEDY, taken)?, None));
    }
    walk.section(&node, LIST_REMEDY);
    let domains = if node.child("list").is_present() {
        let remedy = format!("{LIST_REMEDY}, or remove the line");
        listed(walk, &node, "list", &remedy, taken)
    } else {
        Some(Vec::new())
    };
    let filter = node.child("discover");
    if !filter.is_present() {
        walk.problem(
            &node,
            "is a mapping without discover; write the domains as a list, each as \"- www.example.com\", or \
             add discover: below it",
        );
        return None;
    }
    let filter = discover(walk, &filter);
    Some((domains?, Some(filter?)))
}

fn listed(
    walk: &mut Walk<'_>,
    section: &Node<'_>,
    key: &str,
    remedy: &str,
    taken: &mut Taken,
) -> Option<Vec<DomainConfig>> {
    let items = walk.list(section, key, remedy)?;
    let domains: Vec<Option<DomainConfig>> = items.iter().map(|item| domain(walk, item, taken)).collect();
    domains.into_iter().collect()
}

/// A bare host name, read at every endpoint, or a mapping of `name` and `endpoints`.
fn domain(walk: &mut Walk<'_>, item: &Node<'_>, taken: &mut Taken) -> Option<DomainConfig> {
    let (name, endpoints) = if item.is_table() {
        walk.section(item, "write a host name");
        let name = walk.required(item, "name", "write the host name", host_name);
        (name, endpoints(walk, item))
    } else {
        (walk.item(item, host_name), Some(Endpoint::ALL.to_vec()))
    };
    let name = name.filter(|name| unused_domain(walk, item, name, taken));
    Some(DomainConfig {
        name: name?,
        endpoints: endpoints?,
    })
}

fn host_name(given: Given<'_>) -> Result<Domain, String> {
    let text = raw_text(given)?;
    Domain::parse(text).map_err(|error| format!("{} {error}", quote(text)))
}

fn unused_domain(walk: &mut Walk<'_>, item: &Node<'_>, name: &Domain, taken: &mut Taken) -> bool {
    let Some(first) = taken.domains.get(name) else {
        taken.domains.insert(name.clone(), item.path().to_owned());
        return true;
    };
    walk.problem(
        item,
        format!("lists {name} again, already at {first}; remove one of them"),
    );
    false
}

/// Where a domain is read: both endpoints unless it is chosen.
pub(super) fn endpoints(walk: &mut Walk<'_>, domain: &Node<'_>) -> Option<Vec<Endpoint>> {
    if !domain.child("endpoints").is_present() {
        return Some(Endpoint::ALL.to_vec());
    }
    let items = walk.list(
        domain,
        "endpoints",
        "list bandwidth_flow, origin_ratio or both, or leave the key out",
    )?;
    let mut endpoints = Vec::with_capacity(items.len());
    let mut complete = true;
    for item in items {
        match walk.item(&item, one_of(ENDPOINTS)) {
            Some(endpoint) if endpoints.contains(&endpoint) => {
                walk.problem(&item, format!("lists {endpoint} again; remove one of them"));
                complete = false;
            }
            Some(endpoint) => endpoints.push(endpoint),
            None => complete = false,
        }
    }
    complete.then_some(endpoints)
}
