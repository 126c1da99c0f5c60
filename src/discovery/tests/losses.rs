//! Lists that take domains away are looked at twice, and empty ones must last.

use super::*;

/// What the provider says of itself does not matter: `total: 0`, no total, or rows that name no host.
#[tokio::test(start_paused = true)]
async fn a_list_without_domains_replaces_one_with_domains_only_after_an_hour() {
    let nothing = || Reply::Page(Some(0), Vec::new());
    let wildcards = || Reply::Page(Some(2), vec![String::new(), "*.example.com".to_owned()]);
    let without_total = || Reply::Page(None, Vec::new());
    for empty in [nothing, wildcards, without_total] {
        let script = Script::new(move |call, wanted| if call == 0 { faithful(5, wanted) } else { empty() });
        let running = Running::start(&script, 2_000);
        running.until(600 + 3_599).await;
        assert_eq!(running.taken(), [5]);
        let ends = running.ends();
        assert!(ends.len() > 6, "{ends:?}");
        assert!(
            ends[1..].iter().all(|end| *end == Some(DiscoveryReason::Empty)),
            "{ends:?}"
        );
        let (_, told) = running.progress.view().last_failure.unwrap();
        assert!(
            told.contains("5 domains of the last one are selected") && told.contains("for 1h"),
            "{told}"
        );
        // The next attempt comes within ten minutes.
        running.until(600 + 4_201).await;
        assert_eq!(running.taken(), [5, 0]);
        assert_eq!(running.ends().last(), Some(&None));
        // There is nothing to lose any more.
        running.until(600 + 4_900).await;
        assert_eq!(running.taken(), [5, 0, 0]);
        running.end().await;
    }
}

/// Told once it is so, and not of a list that nobody wants any more.
#[tokio::test(start_paused = true)]
async fn the_log_tells_what_an_empty_list_took_away_once_it_is_taken_over() {
    for stale in [false, true] {
        let (sink, _kept) = keep(Clock::System);
        let script = Script::new(|call, wanted| match call {
            0 => faithful(1, wanted),
            _ => Reply::Page(Some(0), Vec::new()),
        });
        let running = Running::start(&script, 2_000);
        running.until(600 + 3_599).await;
        let waits = sink.take();
        running.shelf.stale.store(stale, Ordering::Relaxed);
        running.until(600 + 4_201).await;
        let dropped = "level=warn msg=\"the list of domains has had none for 1h, so what was selected of the last one \
                       is dropped\" account=a selected=1";
        let told = sink.take().iter().any(|line| line == dropped);
        assert_eq!(
            (told, running.taken()),
            if stale {
                (false, vec![1])
            } else {
                (true, vec![1, 0])
            }
        );
        for line in &waits {
            // Whole milliseconds: `7.824s` and `2m30.001s` are, `7.824123456s` is not.
            let wait = line
                .split_once(" again_in=")
                .unwrap()
                .1
                .split(' ')
                .next()
                .unwrap();
            let fraction = wait.split_once('.').map_or("", |(_, fraction)| fraction);
            assert!(fraction.len() <= "000s".len(), "{line}");
            assert!(
                line.contains("where 1 domain of the last one is selected;"),
                "{line}"
            );
        }
        assert!(waits.len() > 6, "{waits:?}");
        running.end().await;
    }
}

/// Whatever else comes between, a good list or none at all, makes the hour begin anew; reloads, which ask
/// at once, do not make it shorter.
#[tokio::test(start_paused = true)]
async fn only_a_list_that_is_empty_at_every_attempt_is_believed() {
    for fails in [false, true] {
        let between = Arc::new(AtomicBool::new(false));
        let other = Arc::clone(&between);
        let script = Script::new(move |call, wanted| match call {
            0 => faithful(5, wanted),
            _ if !other.swap(false, Ordering::Relaxed) => Reply::Page(Some(0), Vec::new()),
            _ if fails => failure(Reason::Decode, Disposition::Stop),
            _ => faithful(6, wanted),
        });
        let running = Running::start(&script, 2_000);
        for reload in 1..=50 {
            running.until(60 * reload).await;
            running.assignments.send_replace(reloaded(&script, reload));
        }
        between.store(true, Ordering::Relaxed);
        running.until(60 * 51).await;
        running.assignments.send_replace(reloaded(&script, 51));
        let good = if fails { vec![5] } else { vec![5, 6] };
        running.until(60 * 51 + 3_600).await;
        assert_eq!(running.taken(), good);
        running.until(60 * 51 + 5_400).await;
        assert_eq!(running.taken().last(), Some(&0));
        running.end().await;
    }
}

/// One domain leaves and another comes between two pages: the total is the same, and a third one, which
/// slips to the page that has been read, is missing.
#[tokio::test(start_paused = true)]
async fn what_takes_a_domain_away_is_read_twice() {
    let script = Script::new(|call, wanted| {
        // From the fifth call on, which is the second page of the second reading, d0000 is gone.
        let gone = usize::from(call > 3);
        let start = (wanted.number - 1) * wanted.size + gone;
        let end = (start + wanted.size).min(250 + gone);
        Reply::Page(Some(250), names(start..end))
    });
    let running = Running::start(&script, 2_000);
    running.until(601).await;
    assert_eq!(
        running.taken(),
        [250],
        "d0100 is neither on the first page nor on the second"
    );
    assert_eq!(running.ends(), [None, Some(DiscoveryReason::Incomplete)]);
    // Soon after, both readings say the same.
    running.until(612).await;
    assert_eq!(
        (running.taken(), script.asked().len()),
        (vec![250, 250], 3 + 6 + 6)
    );
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_only_brings_domains_is_read_once() {
    let script = Script::new(|call, wanted| faithful(50 + call, wanted));
    let running = Running::start(&script, 2_000);
    running.until(1_201).await;
    assert_eq!((running.taken(), script.asked().len()), (vec![50, 51, 52], 3));
    running.end().await;
}
