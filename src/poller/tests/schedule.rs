//! When each batch is asked: the first round, its place in the interval, and what a slow poll misses.

use proptest::prelude::*;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_first_round_comes_at_once_within_the_rate() {
    let stage = Stage::start(&Plan::new(5, 1), 10.0, Scripted::new(good));
    assert!(!stage.progress.view().first_round_done);
    pass(Duration::from_millis(390)).await;
    assert!(!stage.progress.view().first_round_done);
    pass(Duration::from_millis(30)).await;
    assert!(stage.progress.view().first_round_done);
    let starts: Vec<_> = stage
        .provider
        .take()
        .iter()
        .map(|call| call.at.as_millis())
        .collect();
    assert_eq!(starts, [0, 100, 200, 300, 400]);
    assert_eq!(stage.down(), []);
}

#[tokio::test(start_paused = true)]
async fn each_batch_keeps_its_place_in_the_interval() {
    let stage = Stage::start(&Plan::new(45, 20), FAST, Scripted::new(good));
    pass(MINUTE * 6).await;
    let mut starts: BTreeMap<Vec<Domain>, Vec<Duration>> = BTreeMap::new();
    for call in stage.provider.take() {
        starts.entry(call.domains).or_default().push(call.at);
    }
    assert_eq!(starts.len(), 3);
    for times in starts.values() {
        let at_places = &times[1..];
        assert!((5..=6).contains(&at_places.len()), "{times:?}");
        for pair in at_places.windows(2) {
            // tokio's timer counts in milliseconds, rounded up.
            assert!(
                since(pair[0], pair[1]).abs_diff(MINUTE) <= 2 * MOMENT,
                "{times:?}"
            );
        }
    }
    assert_eq!(*stage.seen.overruns.lock().unwrap(), 0);
}

/// 600 places in a minute, one in 0.1 s on average, of which several lie in a step of 0.25 s.
#[tokio::test(start_paused = true)]
async fn what_is_due_in_one_step_starts_together() {
    let stage = Stage::start(&Plan::new(600, 1), FAST, Scripted::new(good));
    pass(MINUTE).await;
    stage.provider.take();
    pass(MINUTE).await;
    let calls = stage.provider.take();
    assert_eq!(calls.len(), 600);
    let off = calls
        .iter()
        .filter(|call| call.at.as_millis() % 250 > 3 * MOMENT.as_millis())
        .count();
    assert_eq!(off, 0, "at other times than the ends of steps");
}

#[tokio::test(start_paused = true)]
async fn a_slow_poll_does_not_overlap_itself_and_what_it_missed_is_counted() {
    // The scripted provider refuses overlap.
    let slow = |_: &Call| (Duration::from_secs(150), Ok(()));
    let stage = Stage::start(&Plan::new(1, 1), FAST, Scripted::new(slow));
    pass(Duration::from_secs(1_000)).await;
    let calls = stage.provider.take();
    for pair in calls.windows(2) {
        let between = since(pair[0].at, pair[1].at);
        assert!(
            between > Duration::from_secs(150) && between <= Duration::from_secs(210),
            "{between:?}"
        );
    }
    // Each poll ends 2.5 intervals after it was due.
    let ended = u64::try_from(calls.len()).unwrap() - 1;
    assert_eq!(*stage.seen.overruns.lock().unwrap(), ended * 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever polls take: the next one is at the first place of the batch after the end of the
    /// last, so none is left out and none comes twice.
    #[test]
    fn no_place_is_skipped_or_used_twice(millis in proptest::collection::vec(0_u64..200_000, 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let ends = Arc::new(Mutex::new(Vec::new()));
            let durations = millis.clone();
            let answering = {
                let ends = Arc::clone(&ends);
                move |call: &Call| {
                    let mut ends = ends.lock().unwrap();
                    let took = Duration::from_millis(durations[ends.len() % durations.len()]);
                    ends.push(call.at + took);
                    (took, Ok(()))
                }
            };
            let step = Duration::from_millis(250);
            let plan = Plan::new(1, 1);
            let stage = Stage::start(&plan, FAST, Scripted::new(answering));
            pass(MINUTE * 60).await;
            let calls = stage.provider.take();
            let place = Duration::from_nanos(u64::try_from(
                (MINUTE.as_nanos() * u128::from(plan.domains[0].stable_hash())) >> 64,
            ).unwrap());
            for (call, end) in calls.iter().skip(1).zip(ends.lock().unwrap().iter()) {
                let since_place = since(place, call.at + MINUTE).as_millis() % MINUTE.as_millis();
                // At the end of the step in which the place lies.
                assert!(since_place <= step.as_millis() + 3 || since_place >= MINUTE.as_millis() - 1, "{since_place} ms off its place");
                assert!(call.at + 3 * MOMENT > *end && call.at <= *end + MINUTE + step + 3 * MOMENT);
            }
        });
    }
}
