//! What the log says of failing polls and of their end.

use super::*;
use crate::telemetry::kept::{Sink, keep};

/// The lines about polls that fail or succeed again; the first round and isolation have their own.
fn lines(log: &Sink) -> Vec<String> {
    let mut lines = log.take();
    lines.retain(|line| line.contains("poll failed") || line.contains("succeed again"));
    lines
}

#[tokio::test(start_paused = true)]
async fn a_failed_poll_is_told_with_its_first_domain_and_how_many_more() {
    let (log, _guard) = keep(clock());
    let down = |_: &Call| failure(Reason::HttpStatus, Disposition::Stop);
    for (count, fields) in [
        (1, "domain=d0.example.com"),
        (3, "domain=d0.example.com more_domains=2"),
    ] {
        let stage = Stage::start(&Plan::new(count, 20), FAST, Scripted::new(down));
        pass(MOMENT).await;
        let expected = format!(
            "level=warn msg=\"poll failed: scripted\" account=main \
             endpoint=bandwidth_flow {fields} reason=http_status"
        );
        assert_eq!(lines(&log), std::slice::from_ref(&expected));

        // Told again after five minutes, with the polls at minutes 0 to 4 of its place.
        pass(MINUTE * 6).await;
        assert_eq!(lines(&log), [format!("{expected} unlogged=5")]);

        stage.provider.now_answers(good);
        pass(MINUTE).await;
        assert_eq!(
            lines(&log),
            ["level=info msg=\"all polls succeed again\" account=main endpoint=bandwidth_flow"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_domain_is_no_end_of_trouble() {
    let (log, _guard) = keep(clock());
    let plan = Plan::new(5, 20);
    let bad = vec![plan.domains[1].clone(), plan.domains[3].clone()];
    let stage = Stage::start(&plan, FAST, Scripted::new(foreign(bad.clone())));
    pass(MINUTE * 3).await;
    // That the others are read is no news: they were read in the poll that found the two.
    let told = lines(&log);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains(" domain=d1.example.com more_domains=1 reason=foreign_domain"),
        "{told:?}"
    );

    // An outage in between ends, and the two are still refused.
    stage
        .provider
        .now_answers(|_| failure(Reason::HttpStatus, Disposition::Stop));
    pass(MINUTE).await;
    lines(&log);
    stage.provider.now_answers(foreign(bad));
    pass(MINUTE).await;
    assert_eq!(
        lines(&log),
        [
            "level=info msg=\"polls succeed again, except for what the provider refuses\" account=main \
          endpoint=bandwidth_flow domain=d1.example.com more_domains=1"
        ]
    );

    // Once both are taken back, an outage ends for all of them.
    stage.provider.now_answers(good);
    pass(MINUTE * 20).await;
    assert_eq!(stage.down(), []);
    lines(&log);
    stage
        .provider
        .now_answers(|_| failure(Reason::HttpStatus, Disposition::Stop));
    pass(MINUTE).await;
    stage.provider.now_answers(good);
    pass(MINUTE).await;
    assert!(
        lines(&log)
            .last()
            .unwrap()
            .contains("\"all polls succeed again\"")
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_though_a_refused_domain_is_still_asked_for() {
    let (log, _guard) = keep(clock());
    let plan = Plan::new(5, 20);
    let bad = vec![plan.domains[1].clone()];
    let stage = Stage::start(&plan, FAST, Scripted::new(foreign(bad.clone())));
    // Its probe has failed since, so that one unit of the schedule goes on failing.
    pass(MINUTE * 12).await;
    assert_eq!(stage.progress.view().failing, 1);
    stage
        .provider
        .now_answers(|_| failure(Reason::HttpStatus, Disposition::Stop));
    pass(MINUTE).await;
    lines(&log);
    stage.provider.now_answers(foreign(bad));
    pass(MINUTE).await;
    let told = lines(&log);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("except for what the provider refuses")
            && told[0].ends_with("domain=d1.example.com"),
        "{told:?}"
    );
}
