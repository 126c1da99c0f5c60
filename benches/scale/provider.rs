//! The simulated provider as a process of its own, with as many domains as a measurement needs.
//!
//!     provider DOMAINS [LATENCY_MS]
//!
//! Prints its address and serves until its standard input ends, so that it cannot outlive whoever
//! started it. One thread, so that it leaves the other core to what is measured.
#![allow(
    clippy::print_stdout,
    reason = "whoever starts it reads its address from there"
)]

use std::io::Read as _;
use std::time::Duration;

use anyhow::Context as _;
use jdcloud_cdn_exporter::clock::Clock;
use jdcloud_cdn_exporter::model::{Domain, Endpoint};
use jdcloud_cdn_exporter::simulator::{
    Fault, OwnedDomain, Rule, SimulatedAccount, Simulator, SimulatorOptions, Traffic,
};
use secrecy::SecretString;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count: u32 = arguments.next().context("how many domains?")?.parse()?;
    let latency = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(count, Duration::from_millis(latency)))
}

async fn serve(count: u32, latency: Duration) -> anyhow::Result<()> {
    let domains = (0..count)
        .map(|n| Ok(OwnedDomain::new(Domain::parse(&name(n))?)))
        .collect::<anyhow::Result<_>>()?;
    let options = SimulatorOptions {
        accounts: vec![SimulatedAccount {
            username: SimulatorOptions::DEMO_USERNAME.to_owned(),
            secret_key: SecretString::from(SimulatorOptions::DEMO_SECRET_KEY),
            domains,
        }],
        traffic: Traffic::prompt(1),
        log_limit: 0,
        ..SimulatorOptions::new(Clock::System)
    };
    let simulator = Simulator::start(options).await?;
    if !latency.is_zero() {
        for endpoint in Endpoint::ALL {
            simulator
                .faults()
                .add(endpoint, Rule::always(Fault::Latency(latency)));
        }
    }
    println!("{}", simulator.base_url());
    // Standard input is no socket: reading it takes a thread.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    simulator.stop().await;
    Ok(())
}

/// The same names as in the configurations that the measurements write.
fn name(n: u32) -> String {
    format!("cdn{n}.customer{}.example.com", n % 97)
}
