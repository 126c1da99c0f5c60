//! `demo`: a simulated provider on a loopback port and the configuration with which the real
//! exporter polls it, over real HTTP with real signatures.

use std::io;
use std::time::Duration;

use chrono::FixedOffset;
use url::Url;

use crate::clock::Clock;
use crate::config::{Account, Api, Config, DomainConfig, Poll};
use crate::model::{AccountName, Endpoint, Units};
use crate::simulator::{Simulator, SimulatorOptions};

/// More often than a real account should ask, so that there is something to watch.
const INTERVAL: Duration = Duration::from_secs(15);

/// A running demo.
pub struct Demo {
    simulator: Simulator,
    options: SimulatorOptions,
    base_url: Url,
}

impl Demo {
    /// Starts the simulated provider.
    ///
    /// # Errors
    /// When no loopback port can be bound.
    pub async fn start() -> io::Result<Self> {
        let options = SimulatorOptions::demo(Clock::System);
        let simulator = Simulator::start(options.clone()).await?;
        let base_url = Url::parse(&simulator.base_url()).map_err(io::Error::other)?;
        Ok(Self { simulator, options, base_url })
    }

    /// Where the simulated provider is.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.base_url.as_str().trim_end_matches('/')
    }

    /// How many domains it has.
    #[must_use]
    pub fn domain_count(&self) -> usize {
        self.options.accounts.iter().map(|account| account.domains.len()).sum()
    }

    /// A configuration for the simulated account, with the defaults for all that can stay.
    #[must_use]
    pub fn config(&self) -> Config {
        Config {
            api: Api { base_url: self.base_url.clone(), ..Api::with_time_zone(self.options.time_zone) },
            poll: Poll { interval: INTERVAL, ..Poll::default() },
            accounts: self.options.accounts.iter().map(account).collect(),
        }
    }

    /// Stops the simulated provider.
    pub async fn stop(self) {
        self.simulator.stop().await;
    }
}

fn account(simulated: &crate::simulator::SimulatedAccount) -> Account {
    Account {
        name: AccountName::new(&simulated.username),
        username: simulated.username.clone(),
        secret_key: simulated.secret_key.clone(),
        units: Units::Decimal,
        bandwidth_flow_batch: Account::BANDWIDTH_FLOW_BATCH,
        origin_ratio_batch: Account::ORIGIN_RATIO_BATCH,
        domains: simulated
            .domains
            .iter()
            .map(|domain| DomainConfig {
                name: domain.name.clone(),
                endpoints: if domain.live_only {
                    vec![Endpoint::BandwidthFlow]
                } else {
                    Endpoint::ALL.to_vec()
                },
            })
            .collect(),
    }
}
