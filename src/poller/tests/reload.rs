//! Another assignment: what stays is not restarted, and what has gone is forgotten.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_reload_restarts_nothing_that_stays() {
    let mut plan = Plan::new(3, 1);
    let slow = plan.domains[0].clone();
    let answering = {
        let slow = slow.clone();
        move |call: &Call| {
            if call.asks_for(&slow) {
                (Duration::from_secs(90), Ok(()))
            } else {
                good(call)
            }
        }
    };
    let stage = Stage::start(&plan, FAST, Scripted::new(answering));
    pass(MINUTE).await;
    stage.provider.take();
    let places = |calls: &[Call], domain: &Domain| -> Vec<u128> {
        let of_domain = calls.iter().filter(|call| call.asks_for(domain));
        of_domain
            .map(|call| call.at.as_millis() % MINUTE.as_millis())
            .collect()
    };
    pass(MINUTE).await;
    let before = places(&stage.provider.take(), &plan.domains[1]);

    // One leaves, one comes, one is under way, one stays.
    let removed = plan.domains.remove(2);
    let added = names(7..8)[0].clone();
    plan.domains.push(added.clone());
    stage.reassign(&plan);
    pass(MOMENT).await;
    let asked: Vec<_> = stage
        .provider
        .take()
        .into_iter()
        .flat_map(|call| call.domains)
        .collect();
    assert_eq!(
        asked,
        std::slice::from_ref(&added),
        "the new one at once, nothing else"
    );
    pass(MINUTE * 3).await;
    let calls = stage.provider.take();
    assert!(!calls.iter().any(|call| call.asks_for(&removed)));
    let after = places(&calls, &plan.domains[1]);
    assert!(
        after.iter().all(|place| place.abs_diff(before[0]) <= 2),
        "{before:?} {after:?}"
    );
    assert_eq!(after.len(), 3);
    assert_eq!(stage.down(), []);
}

#[tokio::test(start_paused = true)]
async fn what_left_the_configuration_fails_no_more() {
    let mut plan = Plan::new(3, 1);
    let bad = plan.domains[0].clone();
    let stage = Stage::start(&plan, FAST, Scripted::new(foreign(vec![bad])));
    pass(MINUTE).await;
    assert_eq!(stage.progress.view().failing, 1);
    plan.domains.remove(0);
    stage.reassign(&plan);
    pass(MOMENT).await;
    assert_eq!(stage.progress.view().failing, 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_of_another_source_is_discarded() {
    let mut plan = Plan::new(1, 1);
    let stage = Stage::start(&plan, FAST, Scripted::new(|_| (Duration::from_secs(30), Ok(()))));
    pass(Duration::from_secs(1)).await;
    plan.source = 2;
    stage.reassign(&plan);
    pass(Duration::from_secs(31)).await;
    assert_eq!(stage.last_polls()[&plan.domains[0]], LastPoll::Never);
    // The new source is asked as soon as the old call has ended.
    pass(Duration::from_secs(30)).await;
    assert_eq!(stage.down(), []);
    plan.source = 3;
    stage.reassign(&plan);
    pass(Duration::from_secs(31)).await;
    assert_eq!(stage.down(), [], "or at once if none was under way");
}

#[tokio::test(start_paused = true)]
async fn a_reload_during_the_first_round_does_not_end_it() {
    let mut plan = Plan::new(10, 2);
    let stage = Stage::start(&plan, 1.0, Scripted::new(good));
    pass(Duration::from_millis(1_500)).await;
    // Every batch becomes another one.
    plan.batch = 3;
    stage.reassign(&plan);
    pass(MOMENT).await;
    assert!(!stage.progress.view().first_round_done);
    pass(Duration::from_secs(20)).await;
    assert!(stage.progress.view().first_round_done);
    assert_eq!(stage.down(), []);
}

/// As when the right key is given while requests with the wrong one hang.
#[tokio::test(start_paused = true)]
async fn an_answer_of_another_source_does_not_end_the_first_round() {
    let mut plan = Plan::new(1, 1);
    let stage = Stage::start(&plan, FAST, Scripted::new(|_| (Duration::from_secs(30), Ok(()))));
    pass(Duration::from_secs(1)).await;
    plan.source = 2;
    stage.reassign(&plan);
    pass(Duration::from_secs(31)).await;
    assert!(!stage.progress.view().first_round_done);
    pass(Duration::from_secs(30)).await;
    assert!(stage.progress.view().first_round_done);
    assert_eq!(stage.down(), []);
}
