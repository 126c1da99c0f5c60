//! What the simulator is told at its start.

use std::net::{Ipv4Addr, SocketAddr};

use chrono::FixedOffset;
use secrecy::SecretString;

use crate::clock::Clock;
use crate::model::{Domain, Endpoint, LabelledBy};
use crate::simulator::habits::Habits;
use crate::simulator::reply::IdleRatio;
use crate::simulator::traffic::Traffic;

/// How the simulator behaves, apart from faults.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// The provider's own clock.
    pub clock: Clock,
    /// Of the signature's day, of request times and of reply labels.
    pub time_zone: FixedOffset,
    /// Who may ask.
    pub accounts: Vec<SimulatedAccount>,
    /// What is true.
    pub traffic: Traffic,
    /// Most domains in one call of `bandwidth_flow`; beyond it status 22.
    pub bandwidth_flow_limit: usize,
    /// Most domains in one call of `origin_ratio`; beyond it status 22.
    pub origin_ratio_limit: usize,
    /// How `originRatio` is printed at zero bandwidth.
    pub idle_ratio: IdleRatio,
    /// Which end of a window the labels of `origin_ratio` name, in requests as in replies.
    pub origin_ratio_label: LabelledBy,
    /// What is always odd about replies.
    pub habits: Habits,
    /// How many requests the log keeps, the newest ones; 0 for a bench.
    pub log_limit: usize,
}

/// One set of credentials.
#[derive(Clone, Debug)]
pub struct SimulatedAccount {
    /// The provider's "pin".
    pub username: String,
    /// What the signature is made with.
    pub secret_key: SecretString,
    /// The account's domains.
    pub domains: Vec<OwnedDomain>,
}

/// A domain of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedDomain {
    /// The host name.
    pub name: Domain,
    /// Whether `origin_ratio` refuses it as foreign, as a live domain may be.
    pub live_only: bool,
}

impl OwnedDomain {
    /// A domain that both endpoints know.
    #[must_use]
    pub const fn new(name: Domain) -> Self {
        Self {
            name,
            live_only: false,
        }
    }
}

impl SimulatorOptions {
    /// The username of [`SimulatorOptions::demo`].
    pub const DEMO_USERNAME: &'static str = "demo";

    /// The secret key of [`SimulatorOptions::demo`]; it opens nothing but the simulator.
    pub const DEMO_SECRET_KEY: &'static str = "made-up-key-of-the-demo-account";

    /// The domains of [`SimulatorOptions::demo`] that only `bandwidth_flow` knows.
    pub const DEMO_LIVE_DOMAINS: [&'static str; 2] = ["live.example.com", "play.example.com"];

    /// The other domains of [`SimulatorOptions::demo`].
    pub const DEMO_DOMAINS: [&'static str; 10] = [
        "www.example.com",
        "img.example.com",
        "static.example.com",
        "video.example.com",
        "download.example.com",
        "api.example.com",
        "fonts.example.com",
        "news.example.com",
        "shop.example.com",
        "m.example.com",
    ];

    /// No accounts, typical traffic, a free port of the loopback address, Beijing time.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            clock,
            time_zone: beijing(),
            accounts: Vec::new(),
            traffic: Traffic::new(1),
            bandwidth_flow_limit: 100,
            origin_ratio_limit: 100,
            idle_ratio: IdleRatio::Dash,
            origin_ratio_label: LabelledBy::End,
            habits: Habits::NONE,
            log_limit: 10_000,
        }
    }

    /// One account with a dozen domains, two of them live only.
    #[must_use]
    pub fn demo(clock: Clock) -> Self {
        let owned = |live_only| {
            move |name: &str| {
                // The names are constants, and a test parses them all.
                Domain::parse(name)
                    .ok()
                    .map(|name| OwnedDomain { name, live_only })
            }
        };
        let mut domains: Vec<OwnedDomain> = Self::DEMO_DOMAINS.into_iter().filter_map(owned(false)).collect();
        domains.extend(Self::DEMO_LIVE_DOMAINS.into_iter().filter_map(owned(true)));
        Self {
            accounts: vec![SimulatedAccount {
                username: Self::DEMO_USERNAME.to_owned(),
                secret_key: SecretString::from(Self::DEMO_SECRET_KEY),
                domains,
            }],
            ..Self::new(clock)
        }
    }

    /// Most domains in one call of an endpoint.
    #[must_use]
    pub const fn limit(&self, endpoint: Endpoint) -> usize {
        match endpoint {
            Endpoint::BandwidthFlow => self.bandwidth_flow_limit,
            Endpoint::OriginRatio => self.origin_ratio_limit,
        }
    }
}

fn beijing() -> FixedOffset {
    // 8 hours are in range, so the fallback to UTC is never taken; a test holds it.
    FixedOffset::east_opt(8 * 3_600).unwrap_or(chrono::offset::Offset::fix(&chrono::Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_a_dozen_domains_in_beijing_time() {
        let options = SimulatorOptions::demo(Clock::System);
        let [account] = &options.accounts[..] else {
            panic!("one account")
        };
        assert_eq!(account.domains.len(), 12);
        assert_eq!(account.domains.iter().filter(|d| d.live_only).count(), 2);
        assert_eq!(options.time_zone.local_minus_utc(), 28_800);
    }
}
