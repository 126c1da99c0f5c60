//! Every fault at either endpoint, alone and in pairs.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use jdcloud_cdn_exporter::model::Endpoint;
use jdcloud_cdn_exporter::simulator::Fault;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::case::{Case, Scope, refused_connections};
use crate::expect::{Expect, expect};

/// Cases under way at once, in all tests together, so that no call times out for want of a processor.
static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(40)));

/// How much room a case takes: bodies of 80 MiB are work for the simulator.
fn weight(case: &Case) -> u32 {
    let heavy =
        |(_, fault): &(Endpoint, Fault)| matches!(fault, Fault::Bomb | Fault::Oversize | Fault::Endless);
    if case.strikes.iter().any(heavy) { 20 } else { 1 }
}

/// Noon in Beijing, far from the signature's date line.
fn noon() -> DateTime<Utc> {
    "2026-11-22T04:02:00Z".parse().unwrap()
}

/// Half an hour before midnight in Beijing.
fn near_midnight() -> DateTime<Utc> {
    "2026-11-22T15:12:00Z".parse().unwrap()
}

fn case(strikes: &[(Endpoint, Fault)], scope: Scope) -> Case {
    Case {
        strikes: strikes.to_vec(),
        scope,
        start: noon(),
        instead: None,
    }
}

fn singles() -> Vec<Case> {
    let mut cases = Vec::new();
    for fault in Fault::catalogue() {
        for endpoint in Endpoint::ALL {
            for scope in [Scope::Whole, Scope::OneDomain] {
                cases.push(case(&[(endpoint, fault)], scope));
            }
        }
    }
    for endpoint in Endpoint::ALL {
        // Close to midnight the neighbouring date is tried, and is right.
        cases.push(Case {
            start: near_midnight(),
            instead: Some(Expect::Good),
            ..case(&[(endpoint, Fault::OtherDay)], Scope::Whole)
        });
    }
    cases
}

/// Each fault at one endpoint with another at the other, and with a third at the same endpoint.
fn pairs() -> Vec<Case> {
    let all = Fault::catalogue();
    let other = |place: usize, step: usize| all[(place + step) % all.len()];
    let [flow, ratio] = Endpoint::ALL;
    let mut cases = Vec::new();
    for (place, fault) in all.iter().enumerate() {
        cases.push(case(&[(flow, *fault), (ratio, other(place, 23))], Scope::Whole));
        let here = if place % 2 == 0 { flow } else { ratio };
        cases.push(case(&[(here, *fault), (here, other(place, 11))], Scope::Whole));
    }
    cases
}

async fn run(cases: Vec<Case>) -> BTreeMap<usize, Result<usize, String>> {
    let mut running = JoinSet::new();
    for (place, case) in cases.into_iter().enumerate() {
        running.spawn(async move {
            let _room = Arc::clone(&ROOM).acquire_many_owned(weight(&case)).await;
            (place, case.run().await)
        });
    }
    let mut outcomes = BTreeMap::new();
    while let Some(ended) = running.join_next().await {
        let (place, outcome) = ended.unwrap();
        outcomes.insert(place, outcome);
    }
    outcomes
}

/// The outcome of each case in a line, and how many values were held against the truth.
fn judge(cases: &[Case], outcomes: &BTreeMap<usize, Result<usize, String>>) -> usize {
    let failed: Vec<String> = outcomes
        .iter()
        .filter_map(|(place, outcome)| {
            let problem = outcome.as_ref().err()?;
            Some(format!("{}: {problem}", cases[*place].name()))
        })
        .collect();
    assert!(
        failed.is_empty(),
        "{} cases failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
    outcomes.values().flatten().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_at_either_endpoint() {
    let cases = singles();
    let outcomes = run(cases.clone()).await;
    let checked = judge(&cases, &outcomes);
    println!(
        "{:<32} seen at the struck endpoint; everything else untouched",
        "fault"
    );
    for fault in Fault::catalogue() {
        println!("{:<32} {:?}", fault.to_string(), expect(fault));
    }
    println!(
        "{} faults x {} endpoints x all or one domain, and the date line at each: {} cases, {checked} values, all true",
        Fault::catalogue().len(),
        Endpoint::ALL.len(),
        cases.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_in_pairs() {
    let cases = pairs();
    let outcomes = run(cases.clone()).await;
    let checked = judge(&cases, &outcomes);
    println!("{} pairs of faults, {checked} values, all true", cases.len());
}

#[tokio::test]
async fn refused_connections_and_an_outage_beyond_staleness() {
    refused_connections(noon()).await.unwrap();
}
