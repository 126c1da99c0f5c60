//! `demo`: a simulated provider on a loopback port and the configuration with which the real
//! exporter polls it, over real HTTP with real signatures.

use std::fmt::Write as _;
use std::io;

use crate::clock::Clock;
use crate::config::{self, Config, Environment, Problems};
use crate::model::Endpoint;
use crate::simulator::{OwnedDomain, Simulator, SimulatorOptions};

/// A running demo.
pub struct Demo {
    simulator: Simulator,
    options: SimulatorOptions,
}

impl Demo {
    /// Starts the simulated provider.
    ///
    /// # Errors
    /// When no loopback port can be bound.
    pub async fn start() -> io::Result<Self> {
        let options = SimulatorOptions::demo(Clock::System);
        let simulator = Simulator::start(options.clone()).await?;
        Ok(Self { simulator, options })
    }

    /// Where the simulated provider is.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.simulator.base_url()
    }

    /// How many domains it has.
    #[must_use]
    pub fn domain_count(&self) -> usize {
        self.options
            .accounts
            .iter()
            .map(|account| account.domains.len())
            .sum()
    }

    /// A whole configuration file for an exporter of one's own: a few of the domains, polled as often as
    /// a real provider would be.
    #[must_use]
    pub fn example(&self) -> String {
        self.text_with("", |domains| {
            let (live, others): (Vec<&OwnedDomain>, Vec<&OwnedDomain>) =
                domains.iter().partition(|domain| domain.live_only);
            others
                .into_iter()
                .take(2)
                .chain(live.into_iter().take(1))
                .collect()
        })
    }

    /// The configuration as an operator would write it for the simulated account. It is polled more
    /// often than a real one should be, so that there is something to watch.
    #[must_use]
    pub fn config_text(&self) -> String {
        self.text_with("poll:\n  interval: 15s\n", |domains| domains.iter().collect())
    }

    /// A configuration with further lines and some domains of each account.
    fn text_with(&self, lines: &str, some: impl Fn(&[OwnedDomain]) -> Vec<&OwnedDomain>) -> String {
        let mut text = format!("api:\n  base_url: {}\n{lines}accounts:\n", self.base_url());
        for account in &self.options.accounts {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "  - username: {}\n    secret_key: {}\n    domains:\n",
                account.username,
                SimulatorOptions::DEMO_SECRET_KEY
            );
            for domain in some(&account.domains) {
                let name = &domain.name;
                let _ = if domain.live_only {
                    writeln!(
                        text,
                        "      - name: {name}\n        endpoints: [{}]",
                        Endpoint::BandwidthFlow
                    )
                } else {
                    writeln!(text, "      - {name}")
                };
            }
        }
        text
    }

    /// The same, read as any configuration file is.
    ///
    /// # Errors
    /// As [`config::parse`]; variables of the environment can override this configuration too.
    pub fn config(&self, environment: &Environment) -> Result<Config, Problems> {
        config::parse(&self.config_text(), "the demo's configuration", environment)
    }

    /// Stops the simulated provider.
    pub async fn stop(self) {
        self.simulator.stop().await;
    }
}
