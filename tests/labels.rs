//! A provider that labels the windows of `origin_ratio` by their start: noticed, and corrected by a
//! setting, through the real client and real HTTP.
#![cfg(test)]

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use jdcloud_cdn_exporter::clock::{Clock, ManualClock};
use jdcloud_cdn_exporter::config::{self, Environment};
use jdcloud_cdn_exporter::exposition::{BuildInfo, SelfMetrics};
use jdcloud_cdn_exporter::model::{
    CrossCheck, DateShift, Domain, Endpoint, Field, LabelledBy, Reading, VisibilityRule, WindowRange,
};
use jdcloud_cdn_exporter::provider::{Client, Connections, Trust};
use jdcloud_cdn_exporter::simulator::{Lateness, Simulator, SimulatorOptions, Traffic};
use jdcloud_cdn_exporter::store::{Report, RosterEntry, Store};

const RULE: VisibilityRule = VisibilityRule {
    settle: TimeDelta::minutes(10),
    stale_after: TimeDelta::minutes(40),
    horizon: TimeDelta::hours(1),
};

/// Twelve windows have ended within the hour, the newest of them two minutes ago.
fn now() -> DateTime<Utc> {
    "2026-11-22T12:02:00Z".parse().unwrap()
}

/// What the exporter reads of every domain of the demo at both endpoints, and the simulated truth.
struct Read {
    traffic: Traffic,
    store: Store,
    readings: Vec<(Domain, Endpoint, Vec<Reading>)>,
}

async fn read(provider: LabelledBy, setting: &str, lateness: Lateness) -> Read {
    let clock = Clock::Manual(ManualClock::new(now()));
    let traffic = Traffic {
        lateness,
        ..Traffic::new(1)
    };
    let simulator = Simulator::start(SimulatorOptions {
        origin_ratio_label: provider,
        traffic: traffic.clone(),
        ..SimulatorOptions::demo(clock.clone())
    })
    .await
    .unwrap();
    let text = format!(
        "api:\n  base_url: {}\naccounts:\n  - username: {}\n    secret_key: {}\n    origin_ratio_label: {setting}\n    \
         domains: [{}]\n",
        simulator.base_url(),
        SimulatorOptions::DEMO_USERNAME,
        SimulatorOptions::DEMO_SECRET_KEY,
        SimulatorOptions::DEMO_DOMAINS.join(", "),
    );
    let nothing: [(&str, &str); 0] = [];
    let environment: Environment = nothing.into_iter().collect();
    let config = config::parse(&text, "a test", &environment).unwrap();
    let observer = SelfMetrics::new(BuildInfo {
        version: "",
        revision: "",
        rustc: "",
    })
    .unwrap();
    let api = Arc::new(config.api.clone());
    let account = &config.accounts[0];
    let client = Client::new(
        Connections::new(&api, &Trust::read(&api).unwrap()).unwrap(),
        api,
        account,
        clock,
        Arc::<SelfMetrics>::clone(&observer),
    );
    let domains: Vec<Domain> = account.domains_of(Endpoint::OriginRatio).cloned().collect();
    let roster: Vec<_> = domains
        .iter()
        .map(|domain| RosterEntry {
            domain: domain.clone(),
            account: account.name.clone(),
            endpoints: Endpoint::ALL.to_vec(),
            source: 0,
        })
        .collect();
    let store = Store::new(RULE, &roster);
    let mut readings = Vec::new();
    for endpoint in Endpoint::ALL {
        let range = WindowRange::last(RULE.horizon, now());
        let answer = client
            .read(endpoint, &domains, range, DateShift::Today)
            .await
            .unwrap();
        for (domain, outcome) in domains.iter().zip(answer.readings) {
            let report = Report {
                domain,
                endpoint,
                source: 0,
                outcome: Ok(&outcome),
            };
            store.report(now(), [report], observer.as_ref());
            readings.push((domain.clone(), endpoint, outcome));
        }
    }
    simulator.stop().await;
    Read {
        traffic,
        store,
        readings,
    }
}

#[tokio::test]
async fn the_setting_puts_every_window_where_it_belongs() {
    for (provider, setting) in [(LabelledBy::End, "end"), (LabelledBy::Start, "start")] {
        let read = read(provider, setting, Lateness::PROMPT).await;
        for (domain, endpoint, readings) in &read.readings {
            assert_eq!(readings.len(), 12, "{domain} {endpoint} {setting}");
            for Reading { window, values } in readings {
                let truth = read.traffic.truth(domain, *window);
                let (field, megabits) = match endpoint {
                    Endpoint::BandwidthFlow => (Field::Bandwidth, truth.bandwidth_mbps),
                    Endpoint::OriginRatio => (Field::EdgeBandwidth, truth.edge_mbps),
                };
                assert_eq!(
                    values.get(field),
                    Some(megabits * 125_000.0),
                    "{domain} {endpoint} {window:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn labels_that_do_not_fit_are_noticed() {
    for lateness in [Lateness::PROMPT, Lateness::TYPICAL] {
        for (provider, setting, offset) in [
            (LabelledBy::End, "end", 0),
            (LabelledBy::Start, "start", 0),
            (LabelledBy::Start, "end", -1),
            (LabelledBy::End, "start", 1),
        ] {
            let read = read(provider, setting, lateness).await;
            let CrossCheck {
                difference,
                offset: found,
            } = read.store.snapshot().cross_check(now());
            assert_eq!(found, Some(offset), "{provider:?} {setting} {lateness:?}");
            let difference = difference.unwrap();
            if lateness == Lateness::PROMPT && offset == 0 {
                // The simulator counts 0.5 to 2 % less at one endpoint, and rounds.
                assert!((0.005..0.021).contains(&difference), "{difference}");
            }
        }
    }
}
