//! From pages to a whole list: what does not add up is none.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_list_that_changes_while_it_is_read_is_read_once_more() {
    // A domain appears between the first two pages, and then the list stays.
    let script = Script::new(|call, wanted| faithful(if call == 0 { 150 } else { 151 }, wanted));
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert_eq!(running.taken(), [151]);
    assert_eq!(script.asked().len(), 4);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn totals_that_never_add_up_keep_the_last_list() {
    let script = Script::new(|_, wanted| match faithful(150, wanted) {
        Reply::Page(_, names) => Reply::Page(Some(160), names),
        other => other,
    });
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert!(running.taken().is_empty());
    assert_eq!(running.ends(), [Some(DiscoveryReason::Incomplete)]);
    // Two readings of two pages and the one that brings nothing.
    assert_eq!(script.asked().len(), 6);
    let (_, told) = running.progress.view().last_failure.unwrap();
    assert!(told.contains("its total is 160, and 150 domains came"), "{told}");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn repeated_names_are_taken_if_two_readings_agree() {
    let repeating = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Reply::Page(Some(3), names)
    };
    let script = Script::new(move |_, _| repeating(&["a.com", "b.com", "a.com"]));
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert_eq!((running.taken(), script.asked().len()), (vec![2], 2));
    running.end().await;

    let script = Script::new(move |call, _| match call {
        0 => repeating(&["a.com", "b.com", "a.com"]),
        _ => repeating(&["a.com", "c.com", "c.com"]),
    });
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert!(running.taken().is_empty());
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_needs_its_total_or_a_second_look() {
    for (total, calls) in [(Some(0), 1), (None, 2)] {
        let script = Script::new(move |_, _| Reply::Page(total, Vec::new()));
        let running = Running::start(&script, 2_000);
        running.until(1).await;
        assert_eq!(
            (running.taken(), script.asked().len()),
            (vec![0], calls),
            "{total:?}"
        );
        running.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_runaway_list_ends_the_attempt_at_once() {
    let billion = Script::new(|_, wanted| match faithful(100, wanted) {
        Reply::Page(_, names) => Reply::Page(Some(1_000_000_000), names),
        other => other,
    });
    let endless = Script::new(|_, wanted| {
        let start = (wanted.number - 1) * wanted.size;
        Reply::Page(None, names(start..start + wanted.size))
    });
    // 250 domains and a hundred rows more end on the fourth page.
    for (script, calls) in [(billion, 1), (endless, 4)] {
        let running = Running::start(&script, 250);
        running.until(1).await;
        assert!(running.taken().is_empty());
        assert_eq!(running.ends(), [Some(DiscoveryReason::TooManyDomains)]);
        assert_eq!(script.asked().len(), calls);
        running.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_with_shorter_pages_is_read_in_those() {
    // It gives ten rows at most, and counts pages by what is asked for.
    let script = Script::new(|_, wanted| match faithful(35, wanted) {
        Reply::Page(total, mut names) => {
            names.truncate(10);
            Reply::Page(total, names)
        }
        other => other,
    });
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert_eq!(running.taken(), [35]);
    running.end().await;
}

/// Ten rows of each hundred that are asked for, and no total: what is between must not be passed over.
#[tokio::test(start_paused = true)]
async fn shorter_pages_without_a_total_are_not_taken_for_the_list() {
    let script = Script::new(|_, wanted| match faithful(250, wanted) {
        Reply::Page(_, mut names) => {
            names.truncate(10);
            Reply::Page(None, names)
        }
        other => other,
    });
    let running = Running::start(&script, 2_000);
    running.until(1).await;
    assert_eq!(running.taken(), [250]);
    // Two pages tell, and 25 of ten rows and an empty one follow.
    assert_eq!(script.asked().len(), 2 + 26);
    running.end().await;
}

/// The document gives no maximum, and ten as the default.
#[tokio::test(start_paused = true)]
async fn a_provider_that_refuses_pages_of_a_hundred_is_asked_for_ten() {
    for reason in [Reason::BadRequest, Reason::ForeignDomain] {
        let script = Script::new(move |_, wanted| match wanted.size {
            0..=50 => faithful(35, wanted),
            _ => failure(reason, Disposition::Stop),
        });
        let running = Running::start(&script, 2_000);
        running.until(1).await;
        assert_eq!((running.taken(), script.asked().len()), (vec![35], 5));
        running.end().await;
    }
    // A refusal of another kind, or of pages of ten as well, is one.
    for (reason, calls) in [(Reason::BadRequest, 2), (Reason::UnknownUser, 1)] {
        let script = Script::new(move |_, _| failure(reason, Disposition::Stop));
        let running = Running::start(&script, 2_000);
        running.until(1).await;
        assert_eq!(running.ends(), [Some(DiscoveryReason::Call(reason))]);
        assert_eq!(script.asked().len(), calls);
        running.end().await;
    }
}
