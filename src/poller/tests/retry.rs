//! What is asked again, and how fast: failures, throttles, outages, and signatures near midnight.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_tried_again_within_the_poll() {
    let mut left = 2;
    let stage = Stage::start(
        &Plan::new(1, 1),
        FAST,
        Scripted::new(move |call| {
            if left == 0 {
                return good(call);
            }
            left -= 1;
            failure(Reason::Timeout, Disposition::Retry { after: None })
        }),
    );
    pass(Duration::from_secs(2)).await;
    assert_eq!(stage.provider.take().len(), 3);
    assert_eq!(*stage.seen.retries.lock().unwrap(), 2);
    assert_eq!(stage.down(), []);
}

#[tokio::test(start_paused = true)]
async fn other_failures_are_not_tried_again() {
    for disposition in [Disposition::Stop, Disposition::Isolate, Disposition::Halve] {
        let refuse = move |_: &Call| failure(Reason::BadRequest, disposition);
        let stage = Stage::start(&Plan::new(1, 1), FAST, Scripted::new(refuse));
        // Up to the end of the first interval there is one more place, and two in the next.
        pass(MINUTE * 3).await;
        let calls = stage.provider.take().len();
        assert!((3..=4).contains(&calls), "{calls} calls after {disposition:?}");
        assert_eq!(*stage.seen.retries.lock().unwrap(), 0);
        assert_eq!(stage.progress.view().failing, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_asks_to_wait_is_waited() {
    for (asked, least, most) in [
        // Within the poll: by a retry.
        (20, Duration::from_secs(20), Duration::from_millis(20_501)),
        // Beyond it: by the next poll, at the batch's place.
        (300, Duration::from_secs(300), Duration::from_secs(361)),
    ] {
        let mut first = true;
        let answering = move |call: &Call| {
            if std::mem::take(&mut first) {
                failure(
                    Reason::Throttled,
                    Disposition::Retry {
                        after: Some(Duration::from_secs(asked)),
                    },
                )
            } else {
                good(call)
            }
        };
        let stage = Stage::start(&Plan::new(1, 1), FAST, Scripted::new(answering));
        pass(Duration::from_secs(400)).await;
        let calls = stage.provider.take();
        let waited = since(calls[0].at, calls[1].at);
        assert!(
            waited >= least && waited <= most,
            "{asked} s asked, {waited:?} waited"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_answered_with_a_flood() {
    let down = |_: &Call| failure(Reason::Connect, Disposition::Retry { after: None });
    let stage = Stage::start(&Plan::new(100, 1), FAST, Scripted::new(down));
    pass(MINUTE * 10).await;
    let calls = stage.provider.take().len();
    let retries = usize::try_from(*stage.seen.retries.lock().unwrap()).unwrap();
    // Ten in reserve, and a fifth of the first attempts.
    let firsts = calls - retries;
    assert!((900..=1_100).contains(&firsts), "{firsts}");
    assert!(
        retries > 100 && retries <= firsts / 5 + 10,
        "{retries} retries of {firsts} calls"
    );
}

#[tokio::test(start_paused = true)]
async fn a_throttle_halves_the_rate_for_a_while() {
    let mut first = true;
    let stage = Stage::start(
        &Plan::new(1, 1),
        8.0,
        Scripted::new(move |call| {
            if std::mem::take(&mut first) {
                failure(Reason::Throttled, Disposition::Retry { after: None })
            } else {
                good(call)
            }
        }),
    );
    pass(MOMENT).await;
    let rate = || *stage.seen.rate.lock().unwrap();
    assert!((rate() - 4.0).abs() < 0.1, "{}", rate());
    pass(MINUTE * 3).await;
    assert!((4.5..7.5).contains(&rate()), "{}", rate());
    pass(MINUTE * 4).await;
    assert!((rate() - 8.0).abs() < 1e-9, "{}", rate());
}

#[tokio::test(start_paused = true)]
async fn near_midnight_one_more_call_is_signed_with_the_other_date() {
    for other_works in [true, false] {
        let refuse = move |call: &Call| match call.shift {
            DateShift::Yesterday if other_works => good(call),
            DateShift::Today => failure(Reason::Signature, Disposition::SignAgain(DateShift::Yesterday)),
            _ => failure(Reason::Signature, Disposition::Stop),
        };
        let stage = Stage::start(&Plan::new(1, 1), FAST, Scripted::new(refuse));
        pass(MOMENT * 100).await;
        let shifts: Vec<_> = stage.provider.take().iter().map(|call| call.shift).collect();
        assert_eq!(shifts, [DateShift::Today, DateShift::Yesterday]);
        assert_eq!(stage.down().is_empty(), other_works);
    }
}
