//! Asks the provider for one batch, and for parts of it until it is known which domain it refuses.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::discovery::{Catalogue, PAGE_SIZE, SMALL_PAGE_SIZE, may_be_its_size};
use crate::model::{
    DateShift, Disposition, Domain, Endpoint, Failure, ListPage, ListPageWanted, Reading, Reason, Rejects,
    WindowRange,
};
use crate::observer::Observer;
use crate::plan::Pacer;
use crate::poller::Upstream;

/// Most calls for one account and endpoint: enough to find one refused domain among 1,000 (20
/// calls), and one of two among 20.
const MOST_CALLS: usize = 24;

/// How far back is asked for.
const SPAN: TimeDelta = TimeDelta::hours(1);

/// The page of a list of domains that is asked for: as discovery asks first.
const fn first_page(size: usize) -> ListPageWanted {
    ListPageWanted {
        number: 1,
        size,
        keep: size,
    }
}

/// What was asked and what came of it, not yet judged.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    /// The batch.
    pub(super) asked: Vec<Domain>,
    /// How many calls it took.
    pub(super) calls: usize,
    /// When it began.
    pub(super) at: DateTime<Utc>,
    /// The windows that were asked for.
    pub(super) range: WindowRange,
    /// The domains that the provider answered for, with what it gave.
    pub(super) answered: Vec<(Domain, Vec<Reading>)>,
    /// The parts of its replies that were refused.
    pub(super) rejects: Rejects,
    /// The domains that it refused when asked for alone.
    pub(super) refused: Vec<Domain>,
    /// Domains that are neither, since too many calls would have been needed.
    pub(super) undecided: Vec<Domain>,
    /// How many domains it did take in one call after it called a longer list too long.
    pub(super) fewer: Option<usize>,
    /// What ended the probe before its end.
    pub(super) failure: Option<Failure>,
    /// The day whose signature it takes, where that is not today's.
    pub(super) day: Option<AcceptedDay>,
    /// The provider's clock minus ours.
    pub(super) skew: Option<TimeDelta>,
}

/// The signature of today was refused, that of another day taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AcceptedDay {
    /// Which day's.
    pub(super) shift: DateShift,
    /// So close to midnight that the exporter would have tried it by itself.
    pub(super) near_date_line: bool,
}

/// Makes the calls of one account, at most as fast as it may ask.
pub(super) struct Prober<U> {
    upstream: U,
    watch: Arc<ClockWatch>,
    clock: Clock,
    pacer: Pacer,
    origin: Instant,
}

impl<U: Upstream> Prober<U> {
    pub(super) fn new(upstream: U, watch: Arc<ClockWatch>, clock: Clock, per_second: f64) -> Self {
        Self {
            upstream,
            watch,
            clock,
            pacer: Pacer::new(per_second),
            origin: Instant::now(),
        }
    }

    fn begin(&self, asked: Vec<Domain>) -> Probe {
        let at = self.clock.now();
        self.watch.forget();
        Probe {
            asked,
            calls: 0,
            at,
            range: WindowRange::last(SPAN, at),
            answered: Vec::new(),
            rejects: Rejects::default(),
            refused: Vec::new(),
            undecided: Vec::new(),
            fewer: None,
            failure: None,
            day: None,
            skew: None,
        }
    }

    /// Asks for a batch. A call that a domain sinks is divided as the poller does it.
    pub(super) async fn probe(&mut self, endpoint: Endpoint, asked: Vec<Domain>) -> Probe {
        let mut probe = self.begin(asked.clone());
        let mut pieces = vec![asked];
        while let Some(mut piece) = pieces.pop() {
            if probe.calls >= MOST_CALLS {
                probe.undecided.append(&mut piece);
                continue;
            }
            let range = probe.range;
            let domains = piece.clone();
            let call = |upstream: U, shift| {
                let domains = domains.clone();
                async move { upstream.read(endpoint, &domains, range, shift).await }
            };
            match self.call(&mut probe, call).await {
                Ok(answer) => {
                    probe.fewer = probe.fewer.map(|limit| limit.max(piece.len()));
                    probe.rejects.merge(answer.rejects);
                    probe.answered.extend(piece.into_iter().zip(answer.readings));
                }
                Err(Failure {
                    disposition: disposition @ (Disposition::Isolate | Disposition::Halve),
                    ..
                }) if piece.len() > 1 => {
                    if disposition == Disposition::Halve {
                        probe.fewer = probe.fewer.or(Some(1));
                    }
                    let half = piece.split_off(piece.len().div_ceil(2));
                    pieces.extend([half, piece]);
                }
                Err(Failure {
                    disposition: Disposition::Isolate,
                    ..
                }) => probe.refused.append(&mut piece),
                // What concerns no single domain would fail the others alike.
                Err(failure) => {
                    probe.failure = Some(failure);
                    break;
                }
            }
        }
        probe.skew = self.watch.skew();
        probe
    }

    /// One call; a refused signature is tried with the days around as well, since that tells a wrong
    /// key from a wrong clock or time zone.
    async fn call<T, F: Future<Output = Result<T, Failure>>>(
        &mut self,
        probe: &mut Probe,
        call: impl Fn(U, DateShift) -> F,
    ) -> Result<T, Failure> {
        let shift = probe.day.map_or(DateShift::Today, |day| day.shift);
        let result = self.one_call(probe, &call, shift).await;
        let refusal = match result {
            Err(failure) if failure.reason == Reason::Signature && shift == DateShift::Today => failure,
            other => return other,
        };
        for shift in [DateShift::Yesterday, DateShift::Tomorrow] {
            let result = self.one_call(probe, &call, shift).await;
            // Only what the provider says after it has checked the signature says that it took it.
            let taken = match &result {
                Ok(_) => true,
                Err(failure) => failure.reason == Reason::ForeignDomain,
            };
            if taken {
                probe.day = Some(AcceptedDay {
                    shift,
                    near_date_line: refusal.disposition == Disposition::SignAgain(shift),
                });
                return result;
            }
        }
        Err(refusal)
    }

    async fn one_call<T, F: Future<Output = Result<T, Failure>>>(
        &mut self,
        probe: &mut Probe,
        call: impl Fn(U, DateShift) -> F,
        shift: DateShift,
    ) -> Result<T, Failure> {
        probe.calls += 1;
        let start = self.pacer.reserve(self.origin.elapsed());
        tokio::time::sleep_until(self.origin + start).await;
        call(self.upstream.clone(), shift).await
    }
}

impl<U: Upstream + Catalogue> Prober<U> {
    /// Asks for the first page of the account's list of domains.
    pub(super) async fn list(&mut self) -> (Probe, Option<ListPage>) {
        let mut probe = self.begin(Vec::new());
        let call =
            |size| move |upstream: U, shift| async move { upstream.page(first_page(size), shift).await };
        let mut page = self.call(&mut probe, call(PAGE_SIZE)).await;
        if page.as_ref().is_err_and(may_be_its_size) {
            page = self.call(&mut probe, call(SMALL_PAGE_SIZE)).await;
        }
        probe.skew = self.watch.skew();
        match page {
            Ok(page) => (probe, Some(page)),
            Err(failure) => {
                probe.failure = Some(failure);
                (probe, None)
            }
        }
    }
}

/// Keeps the newest comparison of clocks; of everything else the check learns by itself.
#[derive(Debug, Default)]
pub(super) struct ClockWatch(Mutex<Option<TimeDelta>>);

impl ClockWatch {
    fn skew(&self) -> Option<TimeDelta> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Observer for ClockWatch {
    fn clock_skew(&self, skew: TimeDelta) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(skew);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::model::Answer;

    /// Judges a call as the provider would, in its order: signature, length of the list, owner.
    #[derive(Clone)]
    struct Fake {
        day: Option<DateShift>,
        limit: usize,
        foreign: Vec<Domain>,
        down_after: Option<usize>,
        most_rows: usize,
        asked: Arc<Mutex<Vec<(usize, DateShift)>>>,
    }

    impl Default for Fake {
        fn default() -> Self {
            Self {
                day: Some(DateShift::Today),
                limit: 1_000,
                foreign: Vec::new(),
                down_after: None,
                most_rows: 1_000,
                asked: Arc::default(),
            }
        }
    }

    fn fails<T>(reason: Reason, disposition: Disposition) -> Result<T, Failure> {
        Err(Failure {
            reason,
            disposition,
            message: String::new(),
        })
    }

    impl Upstream for Fake {
        async fn read(
            &self,
            _: Endpoint,
            domains: &[Domain],
            _: WindowRange,
            shift: DateShift,
        ) -> Result<Answer, Failure> {
            let calls = {
                let mut asked = self.asked.lock().unwrap();
                asked.push((domains.len(), shift));
                asked.len()
            };
            if self.down_after.is_some_and(|limit| calls > limit) {
                fails(Reason::Connect, Disposition::Retry { after: None })
            } else if self.day != Some(shift) {
                fails(Reason::Signature, Disposition::Stop)
            } else if domains.len() > self.limit {
                fails(Reason::ForeignDomain, Disposition::Halve)
            } else if domains.iter().any(|domain| self.foreign.contains(domain)) {
                fails(Reason::ForeignDomain, Disposition::Isolate)
            } else {
                Ok(Answer {
                    readings: vec![Vec::new(); domains.len()],
                    rejects: Rejects::default(),
                })
            }
        }
    }

    impl Catalogue for Fake {
        async fn page(&self, wanted: ListPageWanted, _: DateShift) -> Result<ListPage, Failure> {
            if wanted.size > self.most_rows {
                return fails(Reason::BadRequest, Disposition::Stop);
            }
            Ok(ListPage {
                total: u64::try_from(wanted.size).ok(),
                ..ListPage::default()
            })
        }
    }

    /// As discovery does.
    #[tokio::test(start_paused = true)]
    async fn a_page_that_is_refused_is_asked_for_in_a_smaller_size() {
        for (most_rows, calls, size) in [(100, 1, Some(100)), (99, 2, Some(10)), (9, 2, None)] {
            let fake = Fake {
                most_rows,
                ..Fake::default()
            };
            let clock = Clock::Manual(ManualClock::new("2026-11-22T12:00:00Z".parse().unwrap()));
            let mut prober = Prober::new(fake, Arc::new(ClockWatch::default()), clock, 100_000.0);
            let (probe, page) = prober.list().await;
            assert_eq!((probe.calls, page.and_then(|page| page.total)), (calls, size));
            assert_eq!(probe.failure.is_some(), size.is_none());
        }
    }

    fn domain(index: usize) -> Domain {
        Domain::parse(&format!("d{index}.example.com")).unwrap()
    }

    async fn probe(fake: &Fake, domains: usize) -> Probe {
        let clock = Clock::Manual(ManualClock::new("2026-11-22T12:00:00Z".parse().unwrap()));
        let mut prober = Prober::new(fake.clone(), Arc::new(ClockWatch::default()), clock, 100_000.0);
        prober
            .probe(Endpoint::OriginRatio, (0..domains).map(domain).collect())
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_is_enough_where_nothing_is_wrong() {
        let probe = probe(&Fake::default(), 20).await;
        assert_eq!((probe.calls, probe.answered.len()), (1, 20));
        assert!(probe.refused.is_empty() && probe.failure.is_none() && probe.day.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn refused_domains_are_found_and_the_others_answered() {
        for (domains, foreign) in [
            (1, vec![0]),
            (20, vec![13]),
            (20, vec![0, 19]),
            (1_000, vec![777]),
        ] {
            let fake = Fake {
                foreign: foreign.iter().copied().map(domain).collect(),
                ..Fake::default()
            };
            let probe = probe(&fake, domains).await;
            assert_eq!(probe.refused, fake.foreign, "{domains} {foreign:?}");
            assert_eq!(probe.answered.len(), domains - foreign.len(), "{domains}");
            assert!(probe.undecided.is_empty(), "{domains} {foreign:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_search_is_bounded_and_loses_no_domain() {
        let fake = Fake {
            foreign: (0..64).map(domain).collect(),
            ..Fake::default()
        };
        let probe = probe(&fake, 64).await;
        assert_eq!(probe.calls, MOST_CALLS);
        assert_eq!(fake.asked.lock().unwrap().len(), MOST_CALLS);
        assert!(!probe.undecided.is_empty());
        assert_eq!(probe.refused.len() + probe.undecided.len(), 64);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_is_too_long_shows_what_is_taken() {
        let fake = Fake {
            limit: 5,
            ..Fake::default()
        };
        let probe = probe(&fake, 20).await;
        assert_eq!((probe.fewer, probe.answered.len()), (Some(5), 20));
        assert!(probe.refused.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_signature_is_tried_with_the_days_around() {
        for (day, calls, accepted) in [
            (None, 3, None),
            (Some(DateShift::Yesterday), 2, Some(DateShift::Yesterday)),
            (Some(DateShift::Tomorrow), 3, Some(DateShift::Tomorrow)),
        ] {
            let fake = Fake {
                day,
                ..Fake::default()
            };
            let probe = probe(&fake, 1).await;
            assert_eq!(probe.calls, calls, "{day:?}");
            assert_eq!(probe.day.map(|day| day.shift), accepted, "{day:?}");
            assert_eq!(
                probe.failure.map(|failure| failure.reason),
                day.is_none().then_some(Reason::Signature)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_search_goes_on_with_the_day_that_was_taken_and_ends_with_the_provider() {
        let fake = Fake {
            day: Some(DateShift::Tomorrow),
            foreign: vec![domain(0)],
            ..Fake::default()
        };
        let first = probe(&fake, 2).await;
        assert_eq!(
            (first.refused, first.answered.len()),
            (vec![domain(0)], 1),
            "one refused, one answered"
        );
        assert_eq!(first.calls, 5);

        let fake = Fake {
            foreign: vec![domain(0)],
            down_after: Some(2),
            ..Fake::default()
        };
        let second = probe(&fake, 4).await;
        assert_eq!(second.calls, 3);
        assert_eq!(
            second.failure.map(|failure| failure.reason),
            Some(Reason::Connect)
        );
    }
}
