//! Who makes trouble, and who watches. Each ends at its time, or with what went wrong.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use jdcloud_cdn_exporter::model::{Domain, Endpoint};
use jdcloud_cdn_exporter::simulator::{Fault, Rule};
use tokio::time::{Instant, sleep};

use crate::rig::{self, Form, VALUES};
use crate::world::{SETTLE, STALE_AFTER, STEP, TICK, World, count};

type Outcome = Result<(), String>;

/// Scrapes in every form, and holds every sample against the truth.
pub(crate) async fn observe(world: Arc<World>, until: Instant) -> Outcome {
    let mut scrapes = 0;
    while Instant::now() < until {
        let before = world.clock.now();
        let scrape = world.exporter.scrape(Form::nth(scrapes)).await?;
        scrapes += 1;
        let earliest = before.min(world.clock.now());
        let latest = *world.latest.lock().unwrap();
        let checked = scrape.check(&world.domains, |domain, window| world.given(domain, window))?;
        for domain in &world.domains {
            for (family, endpoint, true_value) in VALUES {
                let (Some(window), Some(shown)) =
                    (scrape.window(domain, endpoint), scrape.value(family, domain))
                else {
                    continue;
                };
                let settled = window.end() + SETTLE <= latest;
                // The clock may have stood a little earlier in between.
                let fresh = window.end() + STALE_AFTER + STEP * 4 >= earliest;
                if !(settled && fresh) {
                    return Err(format!(
                        "{domain:?} at {endpoint} shows {window:?} between {earliest} and {latest}"
                    ));
                }
                let final_value = true_value(&world.simulator.truth(domain, window)).unwrap_or_default();
                if (shown - final_value).abs() > final_value * 0.1 {
                    count(&world.counted.preliminary);
                }
            }
        }
        count(&world.counted.scrapes);
        world
            .counted
            .values
            .fetch_add(u64::try_from(checked).unwrap(), Ordering::Relaxed);
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Health and the landing page answer throughout.
pub(crate) async fn observe_health(world: Arc<World>, until: Instant) -> Outcome {
    while Instant::now() < until {
        for path in ["/-/healthy", "/"] {
            let (status, _) = rig::ask(world.exporter.address, "GET", path, "")
                .await
                .map_err(|error| format!("{path}: {error}"))?;
            if status != 200 {
                return Err(format!("{path} got status {status}"));
            }
            count(&world.counted.health);
        }
        sleep(Duration::from_millis(40)).await;
    }
    Ok(())
}

/// Time passes 600 times as fast as it does; now and then it jumps.
pub(crate) async fn turn_the_clock(world: Arc<World>, until: Instant) -> Outcome {
    let mut dice = world.dice(1);
    while Instant::now() < until {
        let step = match dice.next() % 100 {
            0 => TimeDelta::minutes(-10),
            1 => TimeDelta::hours(1),
            _ => STEP,
        };
        if step != STEP {
            count(&world.counted.clock_jumps);
        }
        let now = world.clock.now() + step;
        {
            // Told before it is true, so that no scrape can be ahead of what is told.
            let mut latest = world.latest.lock().unwrap();
            *latest = (*latest).max(now);
        }
        world.clock.set(now);
        sleep(TICK).await;
    }
    Ok(())
}

/// Any fault, at any endpoint, for a while; at times no connection at all.
pub(crate) async fn break_the_provider(world: Arc<World>, until: Instant) -> Outcome {
    let mut dice = world.dice(2);
    let catalogue = Fault::catalogue();
    while Instant::now() < until {
        let fault = *dice.pick(&catalogue);
        let endpoint = *dice.pick(&Endpoint::ALL);
        // 80 MiB each: they are work for the simulator, not for the exporter.
        let heavy = matches!(fault, Fault::Bomb | Fault::Oversize | Fault::Endless);
        let rule = match dice.next() % 4 {
            _ if heavy => Rule::always(fault).times(1),
            0 => Rule::always(fault),
            1 => Rule::always(fault).with_probability(0.5, dice.next()),
            2 => Rule::always(fault).for_domain(dice.pick(&world.domains)),
            _ => Rule::always(fault).times(3),
        };
        world.simulator.faults().add(endpoint, rule);
        count(&world.counted.faults);
        sleep(Duration::from_millis(dice.between(20, 250))).await;
        if !dice.one_in(3) {
            world.simulator.faults().clear(endpoint);
        }
        if dice.one_in(20) {
            world.simulator.go_down().await;
            count(&world.counted.outages);
            sleep(Duration::from_millis(dice.between(20, 400))).await;
            while world.simulator.come_back().await.is_err() {
                sleep(TICK).await;
            }
        }
    }
    Ok(())
}

/// Domains come and go, intervals change, and some files are wrong.
pub(crate) async fn reload(world: Arc<World>, until: Instant) -> Outcome {
    let mut dice = world.dice(3);
    while Instant::now() < until {
        sleep(Duration::from_millis(dice.between(50, 500))).await;
        if dice.one_in(4) {
            world.exporter.set_config("poll:\n  interval: never\n");
            let status = world.exporter.reload().await;
            if status != 500 {
                return Err(format!("a wrong configuration got status {status}"));
            }
            count(&world.counted.refused_reloads);
            continue;
        }
        let mut chosen: Vec<Domain> = world
            .domains
            .iter()
            .filter(|_| !dice.one_in(3))
            .cloned()
            .collect();
        if chosen.is_empty() {
            chosen.push(world.domains[0].clone());
        }
        let interval = dice.between(150, 400);
        world.exporter.set_config(&world.config(&chosen, interval));
        let status = world.exporter.reload().await;
        if status != 200 {
            return Err(format!("a good configuration got status {status}"));
        }
        count(&world.counted.reloads);
        // Only this actor reloads, so exactly these domains are shown from now on.
        let scrape = world.exporter.scrape(Form::default()).await?;
        for domain in &world.domains {
            if scrape.up(domain, Endpoint::OriginRatio).is_some() != chosen.contains(domain) {
                return Err(format!(
                    "{domain:?} is shown, or is not, against the configuration"
                ));
            }
        }
    }
    Ok(())
}
