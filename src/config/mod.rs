//! The validated configuration: what holds here has been checked, with every problem reported at
//! once. The shape of the file is in `config/exporter.yaml`.

mod accounts;
mod budget;
mod discover;
mod environment;
mod file;
mod key_table;
mod keys;
mod load;
mod parse;
mod placeholder;
mod problems;
mod secret;
mod slips;
mod summary;
#[cfg(test)]
mod tests;
mod text;
mod walk;
mod yaml;

pub use budget::admit;
pub use discover::{Discover, Pattern};
pub use environment::{Environment, PREFIX};
pub(crate) use key_table::{Key, KeyTable, key, nearest};
pub use load::{load, parse};
pub(crate) use parse::show;
pub use placeholder::placeholders;
pub use problems::{Problem, Problems};
pub use summary::Summary;
pub(crate) use summary::counted;
pub(crate) use text::{Unreadable, text_of};
pub(crate) use yaml::{Dialect, mapping};

use std::time::Duration;

use chrono::FixedOffset;
use secrecy::SecretString;
use url::Url;

use crate::model::{AccountName, Domain, Endpoint, LabelledBy, Settling, Units, Visibility, VisibilityRule};

/// The commented sample with every key.
pub const EXAMPLE: &str = include_str!("../../config/exporter.yaml");

/// Everything that the exporter is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// How to talk to the provider.
    pub api: Api,
    /// When to ask, and what may be shown.
    pub poll: Poll,
    /// Where all shards serve, `host:port` in the order of their ordinals, each once; empty where the
    /// configuration does not say.
    pub shards: Vec<String>,
    /// Whose domains; at least one, names unique, no domain twice.
    pub accounts: Vec<Account>,
    /// Variables of the environment that look like settings and were not read; nothing is wrong but the spelling.
    pub unheard: Vec<Problem>,
}

/// How to talk to the provider; the limits hold for each account on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// Scheme, host and an optional path prefix, without query, fragment or credentials; https, or
    /// loopback, or allowed explicitly.
    pub base_url: Url,
    /// Allows plain http to other hosts than loopback: the signature is a day-long bearer token.
    pub allow_plain_http: bool,
    /// One request, from connecting to the last byte.
    pub timeout: Duration,
    /// Requests under way at once.
    pub max_concurrency: usize,
    /// Requests started per second.
    pub max_requests_per_second: f64,
    /// The largest reply that is read, in bytes once expanded.
    pub max_reply_bytes: usize,
    /// Of the signature's date, of request times and of reply labels.
    pub time_zone: FixedOffset,
}

/// When to ask, and what may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// From one poll of a domain to the next.
    pub interval: Duration,
    /// How far back every poll reads.
    pub window: Duration,
    /// How old a window must be to be shown.
    pub settle: Settle,
    /// How old the newest settled window may become before its values disappear.
    pub stale_after: Duration,
}

/// `poll.settle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// As written.
    Fixed(Duration),
    /// Learned from the provider's habits, from 1 to 30 minutes.
    Auto,
}

impl Settle {
    /// The longest that it may become.
    #[must_use]
    pub const fn longest(self) -> Duration {
        match self {
            Self::Fixed(settle) => settle,
            Self::Auto => Settling::LONGEST,
        }
    }
}

impl Poll {
    /// The same as a rule of what may be shown; the settle that is learned replaces the rule's.
    #[must_use]
    pub fn visibility(&self) -> Visibility {
        Visibility {
            rule: self.rule(),
            learns: self.settle == Settle::Auto,
        }
    }

    fn rule(&self) -> VisibilityRule {
        // The durations are bounded by validation (7 days), so the conversions cannot fail.
        let delta = |duration| chrono::TimeDelta::from_std(duration).unwrap_or(chrono::TimeDelta::MAX);
        VisibilityRule {
            settle: match self.settle {
                Settle::Fixed(settle) => delta(settle),
                Settle::Auto => Settling::default().chosen(),
            },
            stale_after: delta(self.stale_after),
            horizon: delta(self.window),
        }
    }
}

/// One set of credentials and the domains read through it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The `account` label.
    pub name: AccountName,
    /// The provider's "pin".
    pub username: String,
    /// Issued by the provider's support.
    pub secret_key: SecretString,
    /// What the provider's "M" means for this account.
    pub units: Units,
    /// Which end of a window the labels of `origin_ratio` name for this account.
    pub origin_ratio_label: LabelledBy,
    /// Most domains in one call of `bandwidth_flow`.
    pub bandwidth_flow_batch: usize,
    /// Most domains in one call of `origin_ratio`.
    pub origin_ratio_batch: usize,
    /// Most domains, whatever they come from and before they are shared out to shards.
    pub max_domains: usize,
    /// The listed ones: at least one in the file unless `discover` is there; none may be left of them
    /// for one of several shards.
    pub domains: Vec<DomainConfig>,
    /// Which of those that the provider lists are read too.
    pub discover: Option<Discover>,
}

impl Account {
    /// Most domains in one call of an endpoint.
    #[must_use]
    pub const fn batch(&self, endpoint: Endpoint) -> usize {
        match endpoint {
            Endpoint::BandwidthFlow => self.bandwidth_flow_batch,
            Endpoint::OriginRatio => self.origin_ratio_batch,
        }
    }

    /// The domains read through an endpoint, in the order of the file.
    pub fn domains_of(&self, endpoint: Endpoint) -> impl Iterator<Item = &Domain> {
        self.domains
            .iter()
            .filter(move |domain| domain.endpoints.contains(&endpoint))
            .map(|domain| &domain.name)
    }
}

/// A domain and where it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainConfig {
    /// The host name.
    pub name: Domain,
    /// At least one, each once.
    pub endpoints: Vec<Endpoint>,
}
