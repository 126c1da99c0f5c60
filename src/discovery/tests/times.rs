//! When a list is asked for: its interval, retries, and pauses after failures.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_list_is_read_in_pages_every_ten_minutes() {
    let script = Script::new(|_, wanted| faithful(250, wanted));
    let running = Running::start(&script, 2_000);
    running.until(1_801).await;
    assert_eq!(running.taken(), [250; 4]);
    let asked: Vec<(u64, usize, usize)> = script
        .asked()
        .into_iter()
        .map(|(at, number, size)| ((at - running.began).as_secs(), number, size))
        .collect();
    let round = |at| [(at, 1, 100), (at, 2, 100), (at, 3, 100)];
    assert_eq!(asked, [0, 600, 1_200, 1_800].map(round).concat());
    assert!(running.progress.view().first_attempt_done);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_it_is_tried_again_soon_and_then_ever_more_seldom() {
    let script = Script::new(|_, _| failure(Reason::UnknownUser, Disposition::Stop));
    let running = Running::start(&script, 2_000);
    running.until(5).await;
    assert!(running.progress.view().first_attempt_done);
    running.until(7_200).await;
    let asked = script.asked();
    let pauses: Vec<f64> = asked
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].0).as_secs_f64())
        .collect();
    for (pause, most) in pauses
        .iter()
        .zip([10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0, 600.0])
    {
        // The timer counts in milliseconds.
        assert!((most * 0.75..=most + 0.01).contains(pause), "{pauses:?}");
    }
    assert!(running.taken().is_empty());
    let reason = Some(DiscoveryReason::Call(Reason::UnknownUser));
    assert!(running.ends().iter().all(|end| *end == reason));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_page_gives_nothing_and_the_next_attempt_begins_anew() {
    // The third page fails for good, once.
    let script = Script::new(|call, wanted| match call {
        2 => failure(Reason::Decode, Disposition::Stop),
        _ => faithful(250, wanted),
    });
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert!(running.taken().is_empty());
    running.until(11).await;
    assert_eq!(running.taken(), [250]);
    assert_eq!(
        running.ends(),
        [Some(DiscoveryReason::Call(Reason::Decode)), None]
    );
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_page_is_asked_for_again_within_the_attempt_as_every_call_is() {
    let script = Script::new(|call, wanted| match call {
        1 | 2 => failure(Reason::Connect, Disposition::Retry { after: None }),
        _ => faithful(150, wanted),
    });
    let running = Running::start(&script, 2_000);
    running.until(9).await;
    assert_eq!(running.taken(), [150]);
    assert_eq!(script.asked().len(), 4);
    running.end().await;
}

/// Each page comes in time, and all of them together do not.
#[tokio::test(start_paused = true)]
async fn a_list_that_crawls_is_given_up() {
    let script = Script::new(|call, wanted| match call {
        0..40 => Reply::Late(Duration::from_secs(50), Box::new(faithful(4_100, wanted))),
        _ => faithful(5, wanted),
    });
    let running = Running::start(&script, 5_000);
    // Ten minutes, and two seconds for each of fifty pages.
    running.until(699).await;
    assert_eq!((script.asked().len(), running.ends()), (14, vec![]));
    running.until(701).await;
    let reason = DiscoveryReason::Call(Reason::Timeout);
    assert_eq!(running.ends(), [Some(reason)]);
    let view = running.progress.view();
    assert!(view.first_attempt_done && view.last_failure.unwrap().1.contains("in 11m40s"));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_asks_to_wait_is_waited() {
    let after = Some(Duration::from_secs(300));
    let script = Script::new(move |call, wanted| match call {
        0 => failure(Reason::Throttled, Disposition::Retry { after }),
        _ => faithful(1, wanted),
    });
    let running = Running::start(&script, 2_000);
    running.until(299).await;
    assert_eq!(script.asked().len(), 1);
    running.until(301).await;
    assert_eq!(running.taken(), [1]);
    running.end().await;
}

#[test]
fn a_list_that_never_came_is_not_said_to_stay() {
    assert!(what_stays(None).starts_with("there is no list yet"));
    for domains in [0, 5] {
        assert_eq!(what_stays(Some(domains)), "the last good list stays in use");
    }
}
