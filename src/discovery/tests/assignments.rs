//! Another source, a reload, another account: what makes a discovery ask at once.

use super::*;

/// Also while an attempt hangs.
#[tokio::test(start_paused = true)]
async fn another_source_is_asked_at_once_and_the_same_one_in_its_time() {
    let script = Script::new(|call, wanted| match call {
        1 => Reply::Hangs,
        _ => faithful(5, wanted),
    });
    let running = Running::start(&script, 2_000);
    running.until(100).await;
    running.assignments.send_replace(assignment(&script, 1, 3_000));
    running.until(101).await;
    assert_eq!(script.asked().len(), 1, "nothing has changed that matters");
    running.assignments.send_replace(assignment(&script, 2, 3_000));
    running.until(102).await;
    assert_eq!(script.asked().len(), 2, "and it hangs");
    running.assignments.send_replace(assignment(&script, 3, 3_000));
    running.until(103).await;
    assert_eq!(script.asked().len(), 3);
    let sources: Vec<u64> = running
        .shelf
        .taken
        .lock()
        .unwrap()
        .iter()
        .map(|taken| taken.1)
        .collect();
    assert_eq!(sources, [1, 3]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_a_reload_is_reason_enough_to_try_again() {
    let script = Script::new(|call, wanted| match call {
        0 => failure(Reason::Signature, Disposition::Stop),
        _ => faithful(5, wanted),
    });
    let running = Running::start(&script, 2_000);
    running.until(2).await;
    running.assignments.send_replace(reloaded(&script, 1));
    running.until(3).await;
    assert_eq!(running.taken(), [5]);
    running.end().await;
}

/// All are assigned anew when the list of any account is taken over.
#[tokio::test(start_paused = true)]
async fn a_list_of_another_account_does_not_cut_a_pause_short() {
    let after = Some(Duration::from_secs(300));
    let script = Script::new(move |call, wanted| match call {
        0 => failure(Reason::Throttled, Disposition::Retry { after }),
        _ => faithful(1, wanted),
    });
    let running = Running::start(&script, 2_000);
    for seconds in [100, 200] {
        running.until(seconds).await;
        running.assignments.send_replace(assignment(&script, 1, 2_000));
    }
    running.until(299).await;
    assert_eq!(script.asked().len(), 1);
    running.until(301).await;
    assert_eq!(running.taken(), [1]);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_asks_for_the_list_at_once_and_for_no_other_reason_again() {
    let script = Script::new(|call, wanted| faithful(5 + call, wanted));
    let running = Running::start(&script, 2_000);
    running.until(100).await;
    running.assignments.send_replace(reloaded(&script, 1));
    running.until(101).await;
    assert_eq!(running.taken(), [5, 6]);
    // The list of another account was taken over, and all are assigned anew.
    running.assignments.send_replace(reloaded(&script, 1));
    running.until(700).await;
    assert_eq!(running.taken(), [5, 6]);
    running.until(702).await;
    assert_eq!(running.taken(), [5, 6, 7], "and in its time");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_nobody_wants_any_more_is_no_failure() {
    let script = Script::new(|_, wanted| faithful(5, wanted));
    let shelf = Shelf {
        stale: true.into(),
        ..Shelf::default()
    };
    let running = Running::start_with(&script, 2_000, shelf);
    running.until(5_000).await;
    assert_eq!(script.asked().len(), 1);
    assert!(running.ends().is_empty());
    running.assignments.send_replace(assignment(&script, 2, 2_000));
    running.until(5_001).await;
    assert_eq!(script.asked().len(), 2);
    running.end().await;
}
