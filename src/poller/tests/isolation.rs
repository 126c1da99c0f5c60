//! Domains that sink their calls, and lists that are too long: found, left out, and taken back.

use std::collections::BTreeSet;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_foreign_domain_is_found_isolated_and_taken_back() {
    let plan = Plan::new(20, 20);
    let bad = plan.domains[7].clone();
    let stage = Stage::start(&plan, FAST, Scripted::new(foreign(vec![bad.clone()])));
    pass(MOMENT * 100).await;
    let calls = stage.provider.take();
    // Both halves at each of five levels, and the whole.
    assert!(calls.len() <= 11, "{} calls", calls.len());
    assert_eq!(stage.down(), std::slice::from_ref(&bad));
    assert_eq!(stage.last_polls()[&bad], LastPoll::Failed(Reason::ForeignDomain));

    // The steady state: one call a minute without it, one call for it in ten minutes.
    pass(MINUTE * 60).await;
    let (probes, batches): (Vec<_>, Vec<_>) = stage
        .provider
        .take()
        .into_iter()
        .partition(|call| call.asks_for(&bad));
    assert!(probes.iter().all(|call| call.domains.len() == 1));
    assert!((5..=6).contains(&probes.len()), "{} probes", probes.len());
    for pair in probes.windows(2) {
        assert!(since(pair[0].at, pair[1].at) >= MINUTE * 10);
    }
    assert!((59..=61).contains(&batches.len()), "{} batches", batches.len());
    assert_eq!(stage.down(), std::slice::from_ref(&bad));

    stage.provider.now_answers(good);
    pass(MINUTE * 12).await;
    stage.provider.take();
    assert_eq!(stage.down(), []);
    assert_eq!(stage.progress.view().failing, 0);
    pass(MINUTE * 30).await;
    let calls = stage.provider.take();
    assert!(
        calls.iter().all(|call| call.domains.len() == 20),
        "it is in its batch again, and not probed"
    );
}

#[tokio::test(start_paused = true)]
async fn several_foreign_domains_are_all_found_in_one_poll() {
    let plan = Plan::new(20, 20);
    let bad: Vec<Domain> = [0, 9, 19].map(|place| plan.domains[place].clone()).into();
    let stage = Stage::start(&plan, FAST, Scripted::new(foreign(bad.clone())));
    pass(MOMENT * 100).await;
    assert!(stage.provider.take().len() <= 31);
    let mut sorted = bad;
    sorted.sort();
    assert_eq!(stage.down(), sorted);
    pass(MINUTE * 9).await;
    let calls = stage.provider.take();
    assert!((8..=10).contains(&calls.len()), "{} calls", calls.len());
    assert!(calls.iter().all(|call| call.domains.len() == 17));
}

#[tokio::test(start_paused = true)]
async fn when_all_are_refused_one_call_a_poll_sees_the_end_of_it() {
    for count in [20, 1] {
        let plan = Plan::new(count, 20);
        let stage = Stage::start(&plan, FAST, Scripted::new(foreign(plan.domains.clone())));
        pass(MOMENT * 100).await;
        assert_eq!(stage.provider.take().len(), 2 * count - 1);
        pass(MINUTE * 8).await;
        let calls = stage.provider.take();
        assert!((7..=9).contains(&calls.len()), "{} calls", calls.len());
        assert!(calls.iter().all(|call| call.domains.len() == count));
        assert_eq!(stage.down().len(), count);

        stage.provider.now_answers(good);
        pass(MINUTE).await;
        assert_eq!(stage.down(), []);
        pass(MINUTE * 30).await;
        assert!(
            stage
                .provider
                .take()
                .iter()
                .all(|call| call.domains.len() == count),
            "no probes are left"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_domain_that_is_a_batch_of_its_own_is_asked_every_ten_minutes() {
    let plan = Plan::new(3, 1);
    let bad = plan.domains[1].clone();
    let stage = Stage::start(&plan, FAST, Scripted::new(foreign(vec![bad.clone()])));
    pass(MINUTE * 2).await;
    stage.provider.take();
    pass(MINUTE * 60).await;
    let calls = stage.provider.take();
    let probes = calls.iter().filter(|call| call.asks_for(&bad)).count();
    assert!((5..=6).contains(&probes), "{probes} probes");
    assert!(
        (118..=122).contains(&(calls.len() - probes)),
        "{} calls",
        calls.len()
    );

    // All refused, and back: one is asked at every poll, and when it works the others are too.
    for outage in [MINUTE * 2, MINUTE * 15, MINUTE * 3] {
        stage.provider.now_answers(foreign(plan.domains.clone()));
        pass(outage).await;
        assert_eq!(stage.down().len(), 3);
        stage.provider.now_answers(good);
        pass(MINUTE * 2).await;
        assert_eq!(stage.down(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_too_long_is_halved_and_the_size_sticks() {
    let mut plan = Plan::new(40, 20);
    let stage = Stage::start(&plan, FAST, Scripted::new(at_most(7)));
    pass(MOMENT * 100).await;
    assert_eq!(stage.down(), []);
    pass(MINUTE * 2).await;
    stage.provider.take();
    plan.interval = MINUTE / 2;
    for _ in 0..2 {
        pass(MINUTE * 4).await;
        let calls = stage.provider.take();
        assert!(
            calls.iter().all(|call| call.domains.len() <= 5),
            "nothing is refused any more"
        );
        let asked: usize = calls.iter().map(|call| call.domains.len()).sum();
        let domains: BTreeSet<_> = calls.iter().flat_map(|call| &call.domains).collect();
        assert_eq!(domains.len(), 40);
        assert_eq!(asked % 5, 0);
        // A reload that changes something else does not forget it.
        stage.reassign(&plan);
    }
    assert_eq!(stage.down(), []);
}

#[tokio::test(start_paused = true)]
async fn a_size_is_learned_only_from_a_smaller_call_that_works() {
    let plan = Plan::new(20, 20);
    let stage = Stage::start(&plan, FAST, Scripted::new(at_most(0)));
    pass(MINUTE * 3).await;
    assert_eq!(stage.down().len(), 20);
    stage.provider.now_answers(good);
    pass(MINUTE).await;
    assert_eq!(stage.down(), []);
    stage.provider.take();
    pass(MINUTE * 5).await;
    assert!(stage.provider.take().iter().all(|call| call.domains.len() == 20));
}
