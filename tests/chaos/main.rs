//! The chaos run: everything goes wrong at random, and every sample of every scrape is held against
//! the truth. `JDCLOUD_CHAOS_SEED` repeats a run, `JDCLOUD_CHAOS_SECONDS` makes it longer.
#![cfg(test)]

mod actors;
mod dice;
#[path = "../faults/rig.rs"]
mod rig;
mod rude;
mod world;

use std::sync::Arc;
use std::time::Duration;

use rig::PATIENCE;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use world::{Footprint, World};

/// From the environment, where a run is made longer or repeated.
#[allow(
    clippy::disallowed_methods,
    reason = "a test's own setting, not the exporter's"
)]
fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} must be a whole number, not {text:?}")),
        Err(_) => default,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_wrong_is_ever_shown() {
    let seed = setting("JDCLOUD_CHAOS_SEED", 20_261_122);
    let seconds = setting("JDCLOUD_CHAOS_SECONDS", 8);
    println!(
        "seed {seed}, {seconds} s; to repeat: JDCLOUD_CHAOS_SEED={seed} JDCLOUD_CHAOS_SECONDS={seconds}"
    );
    let world = Arc::new(World::begin(seed, seconds).await);
    world.all_well().await.unwrap();
    let before = Footprint::now();

    let until = Instant::now() + Duration::from_secs(seconds);
    let mut running = JoinSet::new();
    running.spawn(actors::observe(Arc::clone(&world), until));
    running.spawn(actors::observe_health(Arc::clone(&world), until));
    running.spawn(actors::turn_the_clock(Arc::clone(&world), until));
    running.spawn(actors::break_the_provider(Arc::clone(&world), until));
    running.spawn(actors::reload(Arc::clone(&world), until));
    for client in 0..4 {
        running.spawn(rude::clients(Arc::clone(&world), until, client));
    }
    let mut warm = None;
    let warm_at = Instant::now() + Duration::from_secs(seconds) / 3;
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(outcome) => outcome.unwrap().unwrap(),
                None => break,
            },
            () = tokio::time::sleep_until(warm_at), if warm.is_none() => warm = Some(Footprint::now()),
        }
    }

    world.calm_down().await;
    world.all_well().await.unwrap();
    let warm = warm.expect("a third of the time passed");
    let give_up = Instant::now() + PATIENCE;
    // Connections of clients that left are noticed in their own time.
    while !Footprint::now().is_within(&before, &warm) && Instant::now() < give_up {
        sleep(Duration::from_millis(100)).await;
    }
    let after = Footprint::now();
    println!("at start {before}\nat a third {warm}\nat the end {after}");
    assert!(after.is_within(&before, &warm), "something grows");
    println!("{}", world.counts());
    Arc::into_inner(world).expect("every actor has ended").end().await;
}
